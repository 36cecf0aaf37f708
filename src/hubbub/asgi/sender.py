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
from hubbub.logs import logger
from hubbub.server import Closed, Socket
from hubbub.wire import Opcode, split

__all__ = ["Sender", "SentSocket"]

Send = Callable[[dict[str, Any]], Awaitable[None]]


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
        self.outlet.start(None, b"")
        task.add_done_callback(self._ended)

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

    def cut(self, cause: str) -> None:
        """The client does not read. All that ASGI offers is a close, behind what the server still holds."""
        if self._sending is not None:
            self._sending.cancel()
        self.outlet.detach()
        self._sending = self._loop.create_task(
            self._attempt({"type": CLOSE, "code": 1008, "reason": f"the backlog passed its limit ({cause})"})
        )

    def dropped(self, count: int) -> None:
        """Counted by the hub's statistics; an ASGI application has no callback for it."""

    def drained(self) -> None:
        """Nobody asks: an ASGI application waits for its own `send`."""

    def flushed(self) -> None:
        """The close frame was the last."""

    async def _pump(self, data: bytes) -> None:
        for opcode, payload in split(data):
            if not await self._attempt(_message(opcode, payload)):
                return
        self._held = 0
        self.outlet.resume()

    async def _attempt(self, message: dict[str, Any]) -> bool:
        try:
            async with asyncio.timeout(self._limits.backlog_timeout):
                await self._send(message)
        except Exception as error:  # the client is gone, or does not read; whatever the server says it with
            logger.debug("an ASGI server did not send: %r", error)
            self.outlet.detach()
            return False
        return True

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if self._sending is not None:
            self._sending.cancel()
        self.outlet.detach()


class SentSocket(Socket):
    """A Socket over an application's `send`, which knows no pings: the server sends its own."""

    __slots__ = ()

    def ping(self) -> bool:
        """Always False: nothing is sent."""
        return False


def _message(opcode: int, payload: bytes) -> dict[str, Any]:
    if opcode == Opcode.TEXT:
        return {"type": SEND, "text": payload.decode()}
    if opcode == Opcode.BINARY:
        return {"type": SEND, "bytes": payload}
    code = int.from_bytes(payload[:2], "big") if payload else 1000
    return {"type": CLOSE, "code": code, "reason": payload[2:].decode()}
