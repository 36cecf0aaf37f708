"""`hubbub demo`: a chat in the browser."""

from __future__ import annotations

import threading
import webbrowser
from typing import Annotated

import typer
from rich.console import Console

from hubbub.cli.options import Host, LogLevel, Port, set_up_logging
from hubbub.server.listener import bind_tcp

__all__ = ["demo"]

out: Console = Console(highlight=False, soft_wrap=True)


def demo(
    host: Host = "127.0.0.1",
    port: Port = 4545,
    open_browser: Annotated[
        bool, typer.Option("--open", envvar="HUBBUB_OPEN", help="Open the page in the browser too.")
    ] = False,
    log_level: LogLevel = "warning",
) -> None:
    """Chat in the browser: page and WebSockets on one port, served by uvicorn with hubbub.

    Open the page in two tabs, pick two names, and talk. Stop the server with Ctrl+C and start it again: the tabs
    find back by themselves.
    """
    set_up_logging(log_level)
    from hubbub.demo import serve

    for bound in bind_tcp(host, port):  # or say why not, and what to do
        bound.close()

    def started(port: int) -> None:
        shown = f"http://{'127.0.0.1' if host in ('', '0.0.0.0', '::') else host}:{port}"  # noqa: S104
        out.print(f"The chat is at [bold]{shown}[/]. Open it in two tabs. Ctrl+C stops.")
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(shown,), daemon=True).start()

    serve(host, port, started)
