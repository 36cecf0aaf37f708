"""A connection to an engine, whatever is spoken on it: it is watched, given up when the engine is silent, and ended."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import cast

from hubbub.errors import BrokerUnavailable

__all__ = ["Connection"]

PINGED = 1.0  # seconds without a word, until the engine is pinged


class Connection(asyncio.Protocol):
    """Subclasses say what is waited for, and read what comes, noting in `_heard` when.

    Args:
        silence: seconds without an answer, until it is given up.
    """

    transport: asyncio.Transport

    def __init__(self, silence: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._silence = silence
        self._heard: float = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self.lost: asyncio.Event = asyncio.Event()
        self.over: bool = False
        self.broken: Callable[[], object] = bool  # called when it is over, before anybody who waits is told
        self.why: str = "the server has closed the connection"

    @abstractmethod
    def _waits_since(self) -> float | None:
        """When the oldest of what is not answered was asked or went on; None: nothing is waited for."""

    @abstractmethod
    def _ping(self) -> None:
        """Ask for a word."""

    @abstractmethod
    def _fail(self) -> None:
        """Tell everybody who waits that it is over, and `why`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self.over = True
        self.broken()
        if self._timer is not None:
            self._timer.cancel()
        self._fail()
        self.lost.set()

    def write(self, *parts: bytes) -> None:
        """Raises: BrokerUnavailable: it is over."""
        if self.over or self.transport.is_closing():
            raise BrokerUnavailable(self.why)
        self.transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def give_up(self, why: str) -> None:
        """Cut it."""
        if not self.over:
            self.why = why
            self.transport.abort()

    async def end(self) -> None:
        """Close it, and wait until it is."""
        self.why = "this node has closed it"
        self.transport.close()
        hangs = self._loop.call_later(1.0, self.transport.abort)
        await self.lost.wait()
        hangs.cancel()

    def _watch(self) -> None:
        """An answer that does not come ends it. Where nothing is waited for, the engine is pinged."""
        now, since = self._loop.time(), self._waits_since()
        if since is not None and now - since > self._silence:
            return self.give_up(f"the server gave no answer for {self._silence:g} s")
        if since is None and now - self._heard > PINGED and not self.transport.is_closing():
            self._ping()
        self._timer = self._loop.call_later(PINGED / 2, self._watch)
