"""Sockets for tests of the hub alone: real outlets whose kernel can be full, of both kinds.

`MemorySocket` has the event loop's outlet over a sink in memory, `PairSocket` the compiled one over a pair of sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, ClassVar

from hubbub.hub import Counters, Outlet
from hubbub.hub.statistics import fanout
from hubbub.limits import Limits
from support.serving import until


class MemorySink:
    """Keeps asyncio's contract for a transport with a high-water mark of one byte."""

    def __init__(self) -> None:
        self.taken = b""  # what the kernel took
        self.held = b""  # what waits in the transport
        self.blocked = False
        self.outlet: Outlet | None = None

    def write(self, data: bytes, /) -> None:
        assert not self.held, "an outlet does not write to a transport that is full"
        if self.blocked:
            self.held += data
            assert self.outlet is not None
            self.outlet.pause()
        else:
            self.taken += data

    def get_write_buffer_size(self) -> int:
        return len(self.held)

    def unblock(self) -> None:
        self.blocked = False
        self.taken += self.held
        if self.held:
            self.held = b""
            assert self.outlet is not None
            self.outlet.resume()


class LocalSocket:
    """What a hub takes for a Socket. Make it on a running loop."""

    outlet: Any
    open: ClassVar[list[LocalSocket]] = []

    def __init__(self) -> None:
        self.open.append(self)
        self.cuts: list[str] = []
        self.drops: list[int] = []
        self.drained_times = 0
        self.flushes = 0

    @property
    def _outlet(self) -> Any:
        """As a Socket calls it."""
        return self.outlet

    def close(self) -> None:
        self.outlet.detach()

    @property
    def taken(self) -> bytes:
        """The bytes that the kernel took."""
        raise NotImplementedError

    def block(self) -> None:
        """The kernel takes nothing more."""
        raise NotImplementedError

    async def unblock(self) -> None:
        """It takes everything that waited."""
        raise NotImplementedError

    def cut(self, cause: str) -> None:
        self.cuts.append(cause)

    def dropped(self, count: int) -> None:
        self.drops.append(count)

    def drained(self) -> None:
        self.drained_times += 1

    def flushed(self) -> None:
        self.flushes += 1

    @property
    def texts(self) -> list[str]:
        """The short text messages that the kernel took, decoded."""
        data, found = self.taken, []
        while data:
            size = data[1]
            assert data[0] == 0x81
            assert size < 126
            found.append(data[2 : 2 + size].decode())
            data = data[2 + size :]
        return found


class MemorySocket(LocalSocket):
    """With the event loop's outlet."""

    def __init__(self, limits: Limits | None = None, form: int | None = None) -> None:
        super().__init__()
        self.sink = MemorySink()
        self.outlet = Outlet(self.sink, self, asyncio.get_running_loop(), limits or Limits(), Counters())
        self.sink.outlet = self.outlet
        self.outlet.start(form, b"")

    @property
    def taken(self) -> bytes:
        return self.sink.taken

    def block(self) -> None:
        self.sink.blocked = True

    async def unblock(self) -> None:
        self.sink.unblock()


class PairSocket(LocalSocket):
    """With the compiled outlet. What is read at the other end is what the kernel took."""

    def __init__(self, limits: Limits | None = None, form: int | None = None) -> None:
        super().__init__()
        self._ours, self._peers = socket.socketpair()
        self._read = b""
        self._filled = 0  # bytes that block it, at the head of what is to be read
        for end in (self._ours, self._peers):
            end.setblocking(False)
        loop = asyncio.get_running_loop()
        self.outlet = fanout.Outlet(self._ours.fileno(), self, loop, limits or Limits(), Counters())
        self.outlet.start(form, b"")

    def close(self) -> None:
        self.outlet.detach()
        self._ours.close()
        self._peers.close()

    @property
    def taken(self) -> bytes:
        if not self._filled:
            with contextlib.suppress(BlockingIOError):
                while data := self._peers.recv(1 << 20):
                    self._read += data
        return self._read

    def block(self) -> None:
        assert not self.taken
        for size in (1 << 16, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._filled += self._ours.send(b"\x00" * size)

    async def unblock(self) -> None:
        while self._filled:
            self._filled -= len(self._peers.recv(self._filled))
        await until(lambda: not self.outlet.buffered)


KINDS: dict[str, Callable[..., LocalSocket]] = {"transport": MemorySocket} | (
    {} if fanout is None else {"compiled": PairSocket}
)
NewSocket = Callable[..., LocalSocket]


async def turns(count: int = 20) -> None:
    """Let the loop run for so many turns."""
    for _ in range(count):
        await asyncio.sleep(0)
