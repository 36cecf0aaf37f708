"""`hubbub connect`: a WebSocket client in the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeAlias

import typer
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.asyncio.client import connect as tcp_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException

from hubbub.cli.options import by_line, to_headers
from hubbub.cli.terminal import Screen, lines_of
from hubbub.logs import printable

__all__ = ["connect"]

Dial: TypeAlias = Callable[..., tcp_connect]
HELP = "Lines are sent as text. /ping measures the round trip, /binary HEX sends bytes, /close [CODE] ends."


def connect(
    url: Annotated[
        str,
        typer.Argument(
            envvar="HUBBUB_URL",
            help="What a server says that it listens on: ws://HOST:PORT, wss:// or unix:PATH; ws:// may be left out.",
        ),
    ],
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

    `unix:/run/chat.sock` connects to a Unix socket, `unix:/run/chat.sock:/rooms/a` to a path there. On a terminal the
    arrow keys find what you typed before, here and the last time.

    Every message is shown with the time since the connection opened, and how long after your last line it came.
    Lines are sent as text; `/ping` measures the round trip, `/binary HEX` sends bytes, `/close [CODE]` or Ctrl+D ends.
    """
    shown, dial = _address(url)
    context = ssl.create_default_context() if shown.startswith("wss:") else None
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
        raise typer.Exit(asyncio.run(_talk(shown, partial(dial, **settings), 0.0 if sys.stdin.isatty() else wait)))


def _address(url: str) -> tuple[str, Dial]:
    """The address as it is shown, and what dials it."""
    if url.startswith("unix:"):
        path, _, rest = url.removeprefix("unix:").partition(":")
        return url, partial(unix_connect, path, f"ws://localhost/{rest.removeprefix('/')}")
    if url.startswith(("http://", "https://")):  # as servers of applications say it
        url = f"ws{url.removeprefix('http')}"
    elif "://" not in url:
        url = f"ws://{url}"
    return url, partial(tcp_connect, url)


async def _talk(url: str, dial: Dial, wait: float) -> int:
    screen = Screen()
    started = time.perf_counter()
    try:
        connection = await dial()
    except InvalidStatus as error:
        answer = error.response
        cause = answer.headers.get("Error")
        screen.say("red", f"{url} refuses: HTTP {answer.status_code}" + (f", {printable(cause)}" if cause else ""))
        return 1
    except InvalidURI as error:
        screen.say("red", str(error))
        return 1
    except (OSError, TimeoutError, WebSocketException) as error:
        said = printable(error) or type(error).__name__
        advice = "Does a server run there?"
        if isinstance(error, ssl.SSLCertVerificationError):
            said = f"its certificate is not trusted ({printable(error.verify_message)})"
            advice = "With --insecure any is accepted, such as one of your own"
        screen.say("red", f"cannot connect to {url}: {said}. {advice}")
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


async def _send_lines(connection: ClientConnection, screen: Screen, wait: float) -> None:
    async for line in lines_of(screen):
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
