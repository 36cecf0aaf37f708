"""The way out on other ASGI servers: a sink that hands each frame to the application's `send`.

Outlet, backlog and overflow policy are the same as everywhere; only what stands for the kernel is slower.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hubbub.asgi.conversation import CLOSE, SEND
from hubbub.hub import Counters, Outlet
from hubbub.limits import Limits
from hubbub.logs import PeerLog, logger
from hubbub.server import Closed, Socket
from hubbub.wire import Opcode, split

__all__ = ["Sender", "SentSocket", "says_gone"]

Send = Callable[[dict[str, Any]], Awaitable[None]]

# What servers and frameworks raise when the client is gone, or the endpoint has closed. The ASGI specification wants an
# OSError for the first; these are the names and words of those that raise something else.
GONE_NAMES = frozenset({"WebSocketDisconnect", "WebSocketDisconnected", "ClosedResourceError", "BrokenResourceError"})
GONE_WORDS = (
    "after sending 'websocket.close'",  # uvicorn
    "once a close message has been sent",  # Starlette before 1.0
    "state ASGIWebsocketState.CLOSED",  # hypercorn
    "state ASGIWebsocketState.HTTPCLOSED",
    "on a closed protocol",  # daphne
)

_log = PeerLog(Limits().max_log_rate)


class Sender:
    """Sink, owner and link of one outlet, bound to the life of the task that serves the endpoint."""

    def __init__(self, send: Send, task: asyncio.Task[Any], peer: Any, limits: Limits) -> None:
        self._send = send
        self._peer = peer
        self._limits = limits
        self._held = 0  # bytes given to us and not yet sent
        self._sending: asyncio.Task[Any] | None = None
        self._loop = asyncio.get_running_loop()
        self.outlet: Outlet = Outlet(self, self, self._loop, limits, Counters())
        self.socket: Socket = SentSocket(self, self.outlet)
        self.outlet.start(None, b"")
        task.add_done_callback(self._ended)

    def end(self) -> None:
        """The client is gone, or is given up: the socket is closed, and leaves every channel."""
        self.socket._remember()
        self.outlet.detach()

    # As a sink

    def write(self, data: bytes, /) -> None:
        self._held = len(data)
        self.outlet.pause()
        self._sending = self._loop.create_task(self._pump(data))

    def get_write_buffer_size(self) -> int:
        return self._held

    # As an owner and a link

    def peer(self) -> Any:
        return self._peer

    def closing(self, closed: Closed) -> None:
        """The close frame goes out as `websocket.close`; the server does the rest."""

    def on_its_way(self) -> int:
        return 0

    def cut(self, cause: str) -> None:
        """The client does not read. All that ASGI offers is a close, behind what the server still holds."""
        if self._sending is not None:
            self._sending.cancel()
        self.end()
        self._sending = self._loop.create_task(self._goodbye(1008, f"the backlog passed its limit ({cause})"))

    def dropped(self, count: int) -> None:
        """Counted by the hub's statistics, too; an ASGI application has no callback for it."""
        if self.socket._tell_dropped is not None:
            self.socket._tell_dropped(count)
        self.socket._outlet.go_on()

    def drained(self) -> None:
        """Nobody asks: an ASGI application waits for its own `send`."""

    def flushed(self) -> None:
        """The close frame was the last."""

    # Sending

    async def _pump(self, data: bytes) -> None:
        for opcode, payload in split(data):
            if not await self._attempt(_message(opcode, payload)):
                return
        self._held = 0
        self.outlet.resume()

    async def _attempt(self, message: dict[str, Any]) -> bool:
        deadline = asyncio.timeout(self._limits.backlog_timeout)
        try:
            async with deadline:
                await self._send(message)
        except asyncio.CancelledError:
            self.end()
            raise
        except BaseException as error:
            if deadline.expired():
                await self._give_up("overflow", 1008, "took no message in time")
            elif says_gone(error):
                logger.debug("an ASGI server says that the client is gone: %r", error)
                self.end()
            else:
                _log.failure("an ASGI server's send raised; the connection is closed", error)
                await self._give_up("error", 1011, "internal error")
                if isinstance(error, SystemExit | KeyboardInterrupt):
                    raise
            return False
        return True

    async def _give_up(self, drop: str, code: int, reason: str) -> None:
        self.outlet.counters.drops[drop] += 1
        self.end()
        await self._goodbye(code, reason)

    async def _goodbye(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(self._limits.backlog_timeout):
                await self._send({"type": CLOSE, "code": code, "reason": reason})
        except Exception as error:
            logger.debug("an ASGI server did not close: %r", error)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if self._sending is not None:
            self._sending.cancel()
        self.end()


class SentSocket(Socket):
    """A Socket over an application's `send`, which knows no pings: the server sends its own."""

    __slots__ = ()

    def ping(self) -> bool:
        """Always False: nothing is sent."""
        return False


def says_gone(error: BaseException) -> bool:
    """Whether what a `send` raised means that the client is gone or the endpoint has closed, and no mistake."""
    if isinstance(error, OSError) or any(kind.__name__ in GONE_NAMES for kind in type(error).__mro__):
        return True
    return any(words in str(error) for words in GONE_WORDS)


def _message(opcode: int, payload: bytes) -> dict[str, Any]:
    if opcode == Opcode.TEXT:
        return {"type": SEND, "text": payload.decode()}
    if opcode == Opcode.BINARY:
        return {"type": SEND, "bytes": payload}
    code = int.from_bytes(payload[:2], "big") if payload else 1000
    return {"type": CLOSE, "code": code, "reason": payload[2:].decode()}
