"""`hubbub connect`: a WebSocket client in the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException

from hubbub.cli.options import by_line, to_headers
from hubbub.logs import printable

__all__ = ["connect"]

HELP = "Lines are sent as text. /ping measures the round trip, /binary HEX sends bytes, /close [CODE] ends."


def connect(
    url: Annotated[str, typer.Argument(envvar="HUBBUB_URL", help="ws:// or wss:// address; ws:// may be left out.")],
    subprotocol: Annotated[
        list[str] | None, typer.Option(envvar="HUBBUB_SUBPROTOCOL", help="Offer this subprotocol; may be repeated.")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            envvar="HUBBUB_HEADER",
            callback=by_line,
            metavar="'NAME: VALUE'",
            help="Send this header too; may be repeated.",
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option(envvar="HUBBUB_INSECURE", help="Accept any TLS certificate, such as one of your own.")
    ] = False,
    timeout: Annotated[float, typer.Option(envvar="HUBBUB_TIMEOUT", help="Seconds for connecting.")] = 10.0,
    wait: Annotated[
        float, typer.Option(envvar="HUBBUB_WAIT", help="Seconds to stay for answers when the input is a pipe and ends.")
    ] = 1.0,
) -> None:
    """Talk to a WebSocket server: type lines, see messages, with colours and timings.

    Every message is shown with the time since the connection opened, and how long after your last line it came.
    Lines are sent as text; `/ping` measures the round trip, `/binary HEX` sends bytes, `/close [CODE]` or Ctrl+D ends.
    """
    if "://" not in url:
        url = f"ws://{url}"
    context = ssl.create_default_context() if url.startswith("wss:") else None
    if context is not None and insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    settings: dict[str, Any] = {
        "subprotocols": subprotocol or None,
        "additional_headers": to_headers(header or []),
        "ssl": context,
        "open_timeout": timeout,
        "max_size": None,
        "proxy": None,
    }
    with contextlib.suppress(KeyboardInterrupt):
        raise typer.Exit(asyncio.run(_talk(url, settings, 0.0 if sys.stdin.isatty() else wait)))


async def _talk(url: str, settings: dict[str, Any], wait: float) -> int:
    screen = Screen()
    started = time.perf_counter()
    try:
        connection = await dial(url, **settings)
    except InvalidStatus as error:
        answer = error.response
        cause = answer.headers.get("Error")
        screen.say("red", f"{url} refuses: HTTP {answer.status_code}" + (f", {printable(cause)}" if cause else ""))
        return 1
    except InvalidURI as error:
        screen.say("red", str(error))
        return 1
    except (OSError, TimeoutError, WebSocketException) as error:
        screen.say(
            "red", f"cannot connect to {url}: {printable(error) or type(error).__name__}. Does a server run there?"
        )
        return 1
    took = (time.perf_counter() - started) * 1000
    chosen = f", subprotocol {connection.subprotocol}" if connection.subprotocol else ""
    screen.say("green", f"connected to {url} in {took:.1f} ms{chosen}")
    screen.say("dim", HELP)
    typing = asyncio.create_task(_send_lines(connection, screen, wait))
    try:
        async for message in connection:
            screen.received(message)
    except ConnectionClosed:
        pass
    typing.cancel()
    code, reason = connection.close_code, connection.close_reason
    screen.say("yellow", f"closed with {code}" + (f": {printable(reason)}" if reason else ""))
    return 0 if code in (1000, 1001, 1005) else 1


class Screen:
    """What the user sees, with the times behind it."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._opened = time.perf_counter()
        self.sent: float = 0.0

    def say(self, style: str, line: str) -> None:
        self._console.print(Text(line, style=style))

    def received(self, message: str | bytes) -> None:
        now = time.perf_counter()
        stamp = f"{now - self._opened:9.3f} s"
        after = f"  +{(now - self.sent) * 1000:.1f} ms" if self.sent else ""
        if isinstance(message, bytes):
            shown = Text(
                f"{message[:64].hex(' ')}{' ...' if len(message) > 64 else ''} ({len(message)} bytes)", "magenta"
            )
        else:
            shown = Text("".join(c if c.isprintable() else repr(c)[1:-1] for c in message), "cyan")
        self._console.print(Text(stamp, "dim"), shown, Text(after, "dim"))


async def _send_lines(connection: ClientConnection, screen: Screen, wait: float) -> None:
    async for line in _lines():
        try:
            if await _command(line, connection, screen):
                return
        except ConnectionClosed:
            return
        except ValueError as error:
            screen.say("red", f"{error}. {HELP}")
    await asyncio.sleep(wait)
    await connection.close()


async def _command(line: str, connection: ClientConnection, screen: Screen) -> bool:
    """Do what a line says. Returns whether it was the last."""
    word, _, rest = line.partition(" ")
    screen.sent = time.perf_counter()
    match word:
        case "/ping":
            latency = await (await connection.ping())
            screen.say("green", f"pong after {latency * 1000:.2f} ms")
        case "/binary":
            await connection.send(bytes.fromhex(rest))
        case "/close":
            await connection.close(_code(rest or "1000"))
            return True
        case _:
            await connection.send(line)
    return False


def _code(text: str) -> int:
    if text != "1000" and not (text.isdecimal() and 3000 <= int(text) <= 4999):
        raise ValueError(f"no close code {text!r}: 1000 is the usual one, 3000 to 4999 are your own")
    return int(text)


async def _lines() -> AsyncIterator[str]:
    """Lines of standard input, read in a thread: a terminal, a pipe and a file all do."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[str | None]()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: we are done
            for line in sys.stdin:
                loop.call_soon_threadsafe(lines.put_nowait, line.rstrip("\n"))
            loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    while (line := await lines.get()) is not None:
        yield line
