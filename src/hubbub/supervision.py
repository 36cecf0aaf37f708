"""Whatever runs for long is started again when it fails: logged, counted, after a growing pause."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hubbub.logs import logger

__all__ = ["Pauses", "supervise"]


class Pauses:
    """The pauses before each new start: doubling from `first` to `longest`, and short again after a long good run.

    Args:
        first: the first pause, in seconds.
        longest: the last and every later pause, in seconds. A run that lasts longer than this counts as good.
    """

    __slots__ = ("_first", "_longest", "_next", "failures")

    def __init__(self, first: float = 0.1, longest: float = 30.0) -> None:
        self._first = first
        self._longest = longest
        self._next = first
        self.failures: int = 0

    def after(self, lasted: float) -> float:
        """The pause after a run that lasted so many seconds and then failed."""
        self.failures += 1
        if lasted > self._longest:
            self._next = self._first
        pause, self._next = self._next, min(self._next * 2, self._longest)
        return pause


async def supervise(name: str, run: Callable[[], Awaitable[None]], pauses: Pauses | None = None) -> None:
    """Run `run` until it returns; whenever it raises, say so and start it again. Cancelling ends it."""
    pauses = pauses or Pauses()
    clock = asyncio.get_running_loop().time
    while True:
        started = clock()
        try:
            return await run()
        except Exception:
            pause = pauses.after(clock() - started)
            logger.exception("%s failed; starting it again in %.1f s", name, pause)
        await asyncio.sleep(pause)
