"""One deadline for a round of the event loop, shared by all that hubbub does on that loop.

A peer may send a million messages at once, and a thousand peers one each: what is not done when a round's time is up
waits for the next one, and the loop goes round. Those whose input waits stand in a queue and take turns.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol
from weakref import WeakKeyDictionary

__all__ = ["Round", "Waiting", "allowed_starts", "on_event_loop", "round_of"]

ALLOWANCE = 0.002  # seconds of one round for what peers have sent
SHARE = 0.0005  # of them for one peer, before the others have their turn
GOAL = 0.003  # length of a whole round to which asynchronous callbacks are held
FEW = 8  # of those are always allowed, however long they take: the rest of the loop may be what takes long
FIRST = 64  # are allowed before it is known how long they take
MANY = 1 << 16  # are as good as no bound
LATER = 3  # rounds within which a callback runs that was started: one by itself, some behind futures


class Waiting(Protocol):
    """Somebody whose input waits."""

    def go_on(self, until: float) -> None:
        """Take in some of it, at least one message and then until that time, and call `later` again for the rest."""


def allowed_starts(allowed: int, started: int, took: float) -> int:
    """How many asynchronous callbacks a round may start.

    Args:
        allowed: what the round before was allowed.
        started: how many of those that may have run in it were started.
        took: seconds that it lasted.
    """
    if took > GOAL:
        return max(FEW, int(min(allowed, started) * GOAL / took))
    return min(allowed + allowed // 8 + 1, MANY)


class Round:
    """What is left of this round of a loop. All of it is used on the loop's thread.

    What is done is added up; as soon as that is more than a little, a callback is due with which the next round begins.
    """

    __slots__ = ("_allowed", "_loop", "_queue", "_recent", "_starts", "_ticked", "_ticking", "_used", "clock", "closed")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop = loop
        self.clock: Callable[[], float] = clock
        self.closed: bool = False
        """Nothing more is to be taken in, whatever time is left: enough callbacks were started that run later."""
        self._used = 0.0
        self._ticking = False  # a callback is due with which the next round begins
        self._ticked = 0.0  # when the last one began, if the round before did not end in idleness
        self._starts = 0
        self._allowed = FIRST
        self._recent: deque[int] = deque([0] * LATER, LATER)  # starts of the rounds before
        self._queue: deque[Waiting] = deque()

    def left(self) -> float:
        """Seconds; never less than nothing."""
        return 0.0 if self.closed else max(0.0, ALLOWANCE - self._used)

    def spend(self, seconds: float) -> None:
        """So long something took."""
        self._used += seconds
        if self._used > ALLOWANCE / 4:
            self._tick_soon()

    def start(self) -> None:
        """An asynchronous callback was started: the loop runs it when this is over."""
        self._starts += 1
        if self._starts >= FEW:
            self._tick_soon()
            self.closed = self._starts >= self._allowed

    def later(self, waiting: Waiting) -> None:
        """Call its `go_on` in the next round, when it is its turn."""
        self._queue.append(waiting)
        self._tick_soon()

    def _tick_soon(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._loop.call_soon(self._tick)

    def _tick(self) -> None:
        """A round begins."""
        now = self.clock()
        self._recent.append(self._starts)
        if self._ticked:
            self._allowed = allowed_starts(self._allowed, max(self._recent), now - self._ticked)
        busy = self._used > 0 or any(self._recent) or bool(self._queue)
        self._ticked = now if busy else 0.0
        self._ticking = self.closed = False
        self._used, self._starts = 0.0, 0
        if busy:
            self._tick_soon()
        if self._queue:
            self._serve(now, now + ALLOWANCE / 2)  # the other half is for what comes in
            self._used += self.clock() - now

    def _serve(self, now: float, until: float) -> None:
        for _ in range(len(self._queue)):
            self._queue.popleft().go_on(min(until, now + SHARE))
            now = self.clock()
            if now >= until or self.closed:
                return


_rounds: WeakKeyDictionary[asyncio.AbstractEventLoop, Round] = WeakKeyDictionary()


def round_of(loop: asyncio.AbstractEventLoop) -> Round:
    """The one of that loop."""
    found = _rounds.get(loop)
    if found is None:
        found = _rounds[loop] = Round(loop)
    return found


def on_event_loop() -> bool:
    """Whether this thread runs one, which must not be blocked."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
