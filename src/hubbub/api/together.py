"""Coroutines that run beside each other in one task.

Each begins, in their order, before any is waited for. A task for each of a hundred publications would cost as much as
publishing them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Iterable, Sequence
from typing import Any, TypeVar

__all__ = ["together"]

T = TypeVar("T")


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> Sequence[T | Exception]:
    """What each returns or raises. None of them may bound its time with `asyncio.timeout`, which needs a task."""
    begun = [_Run(coroutine) for coroutine in coroutines]
    try:
        for run in begun:
            if run.waits:
                await run
        return [run.result for run in begun]
    finally:
        for run in begun:
            if run.waits:  # the task is cancelled
                run.close()


class _Run:
    """One of them, as far as it has come."""

    __slots__ = ("_coroutine", "_waits_for", "result", "waits")

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._waits_for: Any = None
        self.result: Any = None
        self.waits: bool = True
        self._step()

    def __await__(self) -> Generator[Any, None, None]:
        while self.waits:
            future = self._waits_for
            if not (isinstance(future, asyncio.Future) and future.done()):
                yield future
            self._step()

    def close(self) -> None:
        self.waits = False
        self._coroutine.close()

    def _step(self) -> None:
        try:
            self._waits_for = self._coroutine.send(None)
        except StopIteration as done:
            self.result, self.waits = done.value, False
        except Exception as error:
            self.result, self.waits = error, False
