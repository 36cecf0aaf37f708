"""The outbox: publications that wait for the broker, put in from any thread, and what became of them.

Putting never waits for the broker; where the outbox is full, a plain thread may wait for room.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from threading import Condition, RLock, get_ident
from typing import Any, Protocol

from hubbub.brokers import Outgoing, Published
from hubbub.errors import BrokerUnavailable, HubbubError, Overloaded
from hubbub.lock import inside
from hubbub.rounds import on_event_loop

__all__ = ["BATCH", "Outbox", "Promise", "Ticket", "Waiter", "may_wait"]

BATCH = 4096  # publications that are appended at once
BATCH_SIZE = 4 * 1024 * 1024  # bytes of the same

Result = Published | Exception


class Waiter(Protocol):
    """Who wants to know what became of one publication."""

    def _resolve(self, result: Result) -> None:
        """This did. Called once, on the thread that learns of it."""


class Promise:
    """What one task of an event loop waits for, at less cost than for a ticket: made there, where `told` is awaited."""

    __slots__ = ("_loop", "_thread", "told")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = get_ident()
        self.told: asyncio.Future[Published] = loop.create_future()

    def _resolve(self, result: Result) -> None:
        """For the node alone: this is what became of it."""
        if get_ident() == self._thread:
            return self._tell(result)
        with suppress(RuntimeError):  # nobody waits any more: the loop is closed
            self._loop.call_soon_threadsafe(self._tell, result)

    def _tell(self, result: Result) -> None:
        if self.told.done():  # the wait was given up
            return
        if isinstance(result, Exception):
            self.told.set_exception(result)
            self.told.exception()  # nobody has to look
        else:
            self.told.set_result(result)


class Ticket:
    """What became of one publication: await it on any event loop, or wait for it on a plain thread, or neither.

    Giving up the wait takes nothing back.
    """

    __slots__ = ("_callbacks", "_lock", "_result")

    def __init__(self) -> None:
        self._lock = RLock()
        self._result: Result | None = None
        self._callbacks: list[Callable[[], object]] | None = []

    @property
    def done(self) -> bool:
        """Whether it is known."""
        return self._callbacks is None

    def _resolve(self, result: Result) -> None:
        """For the node alone: this is what became of it."""
        with self._lock:
            callbacks, self._callbacks = self._callbacks, None
            if callbacks is None:
                return
            self._result = result
        for callback in callbacks:
            callback()

    def wait(self, timeout: float | None = None) -> Published:
        """Wait so many seconds; None: for ever.

        Raises:
            BrokerUnavailable: it was not appended, or nobody knows; the latter after `timeout` as well.
        """
        arrived = Condition()

        def arrive() -> None:
            with arrived:
                arrived.notify()

        with arrived:
            if self._watch(arrive):
                arrived.wait(timeout)
        return self._told(timeout)

    def __await__(self) -> Generator[Any, None, Published]:
        if not self.done:
            loop = asyncio.get_running_loop()
            waiting, thread = loop.create_future(), get_ident()

            def arrive() -> None:
                if not waiting.done():
                    waiting.set_result(None)

            def arrived() -> None:
                if get_ident() == thread:
                    return arrive()
                with suppress(RuntimeError):  # nobody waits any more: the loop is closed
                    loop.call_soon_threadsafe(arrive)

            if self._watch(arrived):
                yield from waiting
        return self._told(None)

    def _watch(self, callback: Callable[[], object]) -> bool:
        with self._lock:
            if self._callbacks is None:
                return False
            self._callbacks.append(callback)
            return True

    def _told(self, timeout: float | None) -> Published:
        if self._result is None:
            raise BrokerUnavailable(f"the broker did not answer within {timeout:g} s", "unknown")
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


_Waiting = tuple[Outgoing, Waiter | None, float]  # since when, by the monotonic clock


class Outbox:
    """Bounded by number and size.

    Args:
        filled: called when it is no longer empty, on the thread that put something in.
        failed: called with each publication that will not be appended.
    """

    def __init__(
        self, most: int, most_size: int, filled: Callable[[], None], failed: Callable[[Outgoing], None]
    ) -> None:
        self._most = most
        self._most_size = most_size
        self._filled = filled
        self._failed = failed
        self._lock = RLock()
        self._room = Condition(self._lock)
        self._waiting: deque[_Waiting] = deque()
        self.size: int = 0  # bytes, those that are being appended included
        self.in_flight: list[_Waiting] = []

    def __len__(self) -> int:
        return len(self._waiting) + len(self.in_flight)

    def put(self, outgoing: Outgoing, ticket: Waiter | None, timeout: float) -> None:
        """Let it wait for the broker.

        Args:
            timeout: seconds to wait for room, on a thread that may wait; 0: not at all.

        Raises: Overloaded: there is no room.
        """
        size = len(outgoing.body) + 64
        with self._lock:
            if not self._has_room(size):
                self._wait_for_room(size, timeout)
            empty = not self._waiting
            self._waiting.append((outgoing, ticket, time.monotonic()))
            self.size += size
        if empty:
            self._filled()

    def _has_room(self, size: int) -> bool:
        fits = len(self._waiting) + len(self.in_flight) < self._most
        return fits and (not self.size or self.size + size <= self._most_size)

    def _wait_for_room(self, size: int, timeout: float) -> None:
        timeout = timeout if may_wait() else 0
        if not (timeout > 0 and self._room.wait_for(lambda: self._has_room(size), timeout)):
            advice = f"waited {timeout:g} s for room" if timeout > 0 else "await a moment and try again"
            raise Overloaded(
                f"{len(self)} publications of {self.size} bytes wait for the broker"
                f" (Limits.max_outbox, Limits.max_outbox_size): {advice}"
            )

    def take(self) -> list[Outgoing]:
        """The next batch, which is in flight until `settle` or `put_back`."""
        assert not self.in_flight
        batch, size = self.in_flight, 0
        with self._lock:
            while self._waiting and len(batch) < BATCH and size < BATCH_SIZE:
                batch.append(self._waiting.popleft())
                size += len(batch[-1][0].body)
        return [outgoing for outgoing, _, _ in batch]

    def settle(self, results: Sequence[Result] | Exception) -> None:
        """What became of the batch in flight: of each, or of all."""
        if not isinstance(results, Exception) and len(results) != len(self.in_flight):
            results = HubbubError(f"the broker told of {len(results)} of {len(self.in_flight)} publications")
        batch, self.in_flight = self.in_flight, []
        self._let_go(batch)
        if isinstance(results, Exception):
            for outgoing, ticket, _ in batch:
                self._tell(outgoing, ticket, results)
        else:
            for (outgoing, ticket, _), result in zip(batch, results, strict=True):
                if isinstance(result, Exception):
                    self._tell(outgoing, ticket, result)
                elif ticket is not None:
                    ticket._resolve(result)

    def settle_some(self, results: Sequence[Result | None]) -> None:
        """What became of each in flight; None: it was not appended, and is among the next ones again."""
        over = [(waiting, result) for waiting, result in zip(self.in_flight, results, strict=True) if result]
        self.in_flight = [waiting for waiting, result in zip(self.in_flight, results, strict=True) if not result]
        self.put_back()
        self._let_go([waiting for waiting, _ in over])
        for (outgoing, ticket, _), result in over:
            self._tell(outgoing, ticket, result)

    def put_back(self) -> None:
        """The batch in flight was not sent: it is the next one again."""
        with self._lock:
            self._waiting.extendleft(reversed(self.in_flight))
            self.in_flight = []

    def fail_those_before(self, then: float, error: HubbubError) -> int:
        """Give up what has waited since before that moment, of the monotonic clock. Returns how many."""
        late: list[_Waiting] = []
        with self._lock:
            while self._waiting and self._waiting[0][2] <= then:
                late.append(self._waiting.popleft())
        self._let_go(late)
        for outgoing, ticket, _ in late:
            self._tell(outgoing, ticket, error)
        return len(late)

    def _let_go(self, batch: Sequence[_Waiting]) -> None:
        size = sum([len(outgoing.body) + 64 for outgoing, _, _ in batch])
        with self._lock:
            self.size -= size
            self._room.notify_all()

    def _tell(self, outgoing: Outgoing, ticket: Waiter | None, result: Result) -> None:
        if isinstance(result, Exception):
            self._failed(outgoing)
        if ticket is not None:
            ticket._resolve(result)


def may_wait() -> bool:
    """Whether this thread may: it runs no event loop, and has not the lock of all hubs."""
    return not (inside() or on_event_loop())
