"""Coroutines that usually have nothing to wait for: begun at once, and only then given to a task if they do wait.

A command is handled by a coroutine. A task for each would cost more than most commands do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

__all__ = ["Rest", "begun", "in_task"]


class Rest:
    """What is left of a coroutine that has begun: to be awaited, in a task."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        waits_for = self._waits_for
        while True:
            try:
                sent = yield waits_for
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as error:
                step = _thrown(self._coroutine, error)
            else:
                step = _sent(self._coroutine, sent)
            if step is None:
                return
            waits_for = step[0]


def begun(coroutine: Coroutine[Any, Any, None]) -> Rest | None:
    """Run it until it waits for something. Returns the rest; None: it is done."""
    step = _sent(coroutine, None)
    return None if step is None else Rest(coroutine, step[0])


async def in_task() -> None:
    """From here on, run in a task: what the program has written may need one."""
    if asyncio.current_task() is None:
        await asyncio.sleep(0)


def _sent(coroutine: Coroutine[Any, Any, None], value: Any) -> tuple[Any] | None:
    try:
        return (coroutine.send(value),)
    except StopIteration:
        return None


def _thrown(coroutine: Coroutine[Any, Any, None], error: BaseException) -> tuple[Any] | None:
    try:
        return (coroutine.throw(error),)
    except StopIteration:
        return None
