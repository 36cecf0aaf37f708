"""Sockets for tests of the hub alone: real outlets over a sink in memory, which can be blocked as a full socket is."""

from __future__ import annotations

import asyncio

from hubbub.hub import Counters, Outlet
from hubbub.limits import Limits


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


class MemorySocket:
    """What a hub takes for a Socket. Make it on a running loop."""

    def __init__(self, limits: Limits | None = None, form: int | None = None) -> None:
        self.sink = MemorySink()
        self.cuts: list[str] = []
        self.drops: list[int] = []
        self.flushes = 0
        self.outlet = Outlet(self.sink, self, asyncio.get_running_loop(), limits or Limits(), Counters())
        self.sink.outlet = self.outlet
        self.outlet.start(form, b"")

    def cut(self, cause: str) -> None:
        self.cuts.append(cause)

    def dropped(self, count: int) -> None:
        self.drops.append(count)

    def drained(self) -> None:
        pass

    def flushed(self) -> None:
        self.flushes += 1

    @property
    def texts(self) -> list[str]:
        """The short text messages that the kernel took, decoded."""
        data, found = self.sink.taken, []
        while data:
            size = data[1]
            assert data[0] == 0x81
            assert size < 126
            found.append(data[2 : 2 + size].decode())
            data = data[2 + size :]
        return found


async def turns(count: int = 20) -> None:
    """Let the loop run for so many turns."""
    for _ in range(count):
        await asyncio.sleep(0)
