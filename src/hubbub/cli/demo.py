"""`hubbub demo`: a chat in the browser."""

from __future__ import annotations

import os
import threading
import webbrowser
from typing import Annotated

import typer
from rich.console import Console

from hubbub import Misuse
from hubbub.brokers.places import folder
from hubbub.cli.options import Host, LogLevel, Port, set_up_logging
from hubbub.server.listener import bind_tcp

__all__ = ["demo"]

out: Console = Console(highlight=False, soft_wrap=True)


def demo(
    host: Host = "127.0.0.1",
    port: Port = 4545,
    broker: Annotated[
        str,
        typer.Option(
            envvar="HUBBUB_BROKER", metavar="URL", show_default="a file in a folder of your own",
            help="What keeps what is said, and joins several of these: memory:, sqlite:FILE, redis://HOST ...",
        ),
    ] = "",
    open_browser: Annotated[
        bool, typer.Option("--open", envvar="HUBBUB_OPEN", help="Open the page in the browser too.")
    ] = False,
    log_level: LogLevel = "warning",
) -> None:  # fmt: skip
    """Chat in the browser: page and sessions on one port, served by uvicorn with hubbub.

    Open the page in two tabs, pick two names, and talk. Stop the server with Ctrl+C and start it again: the tabs
    find back by themselves, and nothing is lost. Or start another one beside it with --port: both are one chat.
    """
    set_up_logging(log_level)
    broker = os.environ["HUBBUB_BROKER"] = broker or _file()
    for bound in bind_tcp(host, port):  # or say why not, and what to do
        bound.close()
    from hubbub.demo import serve

    def started(port: int) -> None:
        shown = f"http://{'127.0.0.1' if host in ('', '0.0.0.0', '::') else host}:{port}"  # noqa: S104
        out.print(f"The chat is at [bold]{shown}[/]. Open it in two tabs. Ctrl+C stops.")
        if broker.startswith("sqlite:"):
            out.print(f"What is said is kept for a day, in {broker.removeprefix('sqlite:')}")
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(shown,), daemon=True).start()

    serve(host, port, started)


def _file() -> str:
    """A broker with a file that is the user's own, and which no backup keeps; or none where there is no such place."""
    try:
        return f"sqlite:{folder() / 'demo.db'}"
    except Misuse:
        return "memory:"
