"""One sweep a second serves every ping and timeout: no timer per connection.

Connections stand in buckets by the second in which they want to be looked at. An idle one is looked at once per ping
interval, so a sweep over 100,000 of them touches 4,000.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

__all__ = ["Sweep", "Swept"]

AT_ONCE = 0.001  # seconds of looking at connections before the loop gets a turn


class Swept(Protocol):
    due: int

    def check(self, now: float) -> float | None:
        """Do what is due, and return when to be looked at next, if ever."""


class Sweep:
    """Buckets of connections, by the tick in which they are due.

    Args:
        interval: length of a tick, in seconds: how late a timeout may be.
        clock: seconds, monotonic.
    """

    __slots__ = ("_buckets", "_clock", "_latest", "_next", "interval", "now")

    def __init__(self, interval: float, clock: Callable[[], float]) -> None:
        self._buckets: dict[int, dict[Swept, None]] = {}  # dicts as sets, in half the memory of those
        self._clock = clock
        self.interval: float = interval
        self.now: float = clock()  # as of the latest tick: what connections read instead of a clock
        self._next = int(self.now / interval)
        self._latest = 0  # the tick that was given to a connection last

    def at(self, connection: Swept, due: float) -> None:
        """Look at the connection at that time, unless it is to be looked at before."""
        tick = max(int(due / self.interval) + 1, self._next)
        if connection.due:
            if connection.due <= tick:
                return
            self.remove(connection)
        if tick != self._latest:
            self._latest = tick
        connection.due = tick = self._latest  # the same object: one for each connection would take 32 bytes
        self._buckets.setdefault(tick, {})[connection] = None

    def remove(self, connection: Swept) -> None:
        bucket = self._buckets.get(connection.due)
        if bucket is not None:
            bucket.pop(connection, None)
        connection.due = 0

    async def run(self) -> None:
        """Tick for ever."""
        while True:
            await asyncio.sleep(self.interval)
            await self.tick()

    async def tick(self) -> None:
        """Look at everything that is due by now."""
        self.now = now = self._clock()
        last = int(now / self.interval)
        until = now + AT_ONCE
        while self._next <= last:
            bucket = self._buckets.get(self._next)
            for _ in range(len(bucket) if bucket else 0):
                if not bucket:
                    break
                connection, _ = bucket.popitem()
                connection.due = 0
                again = connection.check(now)
                if again is not None:
                    self.at(connection, max(again, now))
                if self._clock() >= until:
                    await asyncio.sleep(0)
                    until = self._clock() + AT_ONCE
            if bucket:  # joined while we looked
                continue
            self._buckets.pop(self._next, None)
            self._next += 1
