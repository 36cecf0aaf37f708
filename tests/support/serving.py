"""Handlers that record what happens to them, and awaiting of what is to happen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import hubbub
from support.client import RawClient


@contextlib.asynccontextmanager
async def serving(handler: Any, **settings: Any) -> AsyncIterator[hubbub.Server]:
    """`hubbub.serve` on a free port; raw clients that are left are cut first, for a quick stop."""
    if not settings.keys() & {"uds", "sockets"}:
        settings.setdefault("port", 0)
    async with hubbub.serve(handler, **settings) as server:
        yield server
        while RawClient.alive:
            RawClient.alive.pop().kill()


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until the condition holds. Raises: TimeoutError: it did not within so many seconds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


class Recorder(hubbub.Handler):
    """Records every callback, in `events` of its own and itself in `everyone` of the class that `fresh` made."""

    everyone: list[Recorder]

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.everyone.append(self)

    @classmethod
    def fresh(cls, **members: Any) -> type[Recorder]:
        return type(cls.__name__, (cls,), {"everyone": [], **members})

    def handshake(self, request: hubbub.Request) -> str | None:
        self.events.append(("handshake", request))
        return None

    def opened(self) -> None:
        self.events.append(("opened", None))

    def message(self, data: str | bytes) -> None:
        self.events.append(("message", data))

    def dropped(self, count: int) -> None:
        self.events.append(("dropped", count))

    def closed(self, reason: hubbub.Closed) -> None:
        self.events.append(("closed", reason))

    @property
    def messages(self) -> list[str | bytes]:
        return [data for event, data in self.events if event == "message"]

    @property
    def ends(self) -> list[hubbub.Closed]:
        return [reason for event, reason in self.events if event == "closed"]


class Echo(Recorder):
    def message(self, data: str | bytes) -> None:
        super().message(data)
        self.write(data)


class ChannelHandler(hubbub.Handler):
    """`join:room`, `leave:room`, `leave` and `say:room:text`, each of which but the last is answered with ok."""

    def message(self, data: Any) -> None:
        hub = self.hub
        assert hub is not None
        match data.split(":", 2):
            case ["join", room]:
                hub.join(room, self.socket)
            case ["leave", room]:
                hub.leave(room, self.socket)
            case ["leave"]:
                hub.leave_all(self.socket)
            case ["say", room, text]:
                hub.broadcast(room, text)
                return
            case _:
                self.close(3000, "invalid payload")
                return
        self.write("ok")
