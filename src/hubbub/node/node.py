"""A node: one process among several. What of it may be called from any thread is here."""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import time
import weakref
from collections.abc import Callable, Coroutine, Iterable
from itertools import count
from threading import Condition, RLock
from typing import Any, TypeVar

from hubbub.brokers import Broker, Change, History, Outgoing, Position, Presence
from hubbub.errors import BrokerUnavailable, Misuse
from hubbub.limits import Limits
from hubbub.node.home import Home
from hubbub.node.outbox import Outbox, Waiter, may_wait
from hubbub.node.roster import Roster
from hubbub.node.statistics import BrokerStatistics, Counts
from hubbub.node.stay import Receiver, Stay
from hubbub.node.wishes import Wishes

__all__ = ["Node"]

T = TypeVar("T")


class Node:
    """One of several that share a broker.

    Args:
        make: makes the broker; asked again when the event loop on which the node lived has ended.
        receiver: whom it serves.
        limits: the bounds of the outbox, and how long it waits for the broker.
        keeps: whether a channel has a history to heal from.
    """

    def __init__(
        self, make: Callable[[], Broker], receiver: Receiver, limits: Limits, keeps: Callable[[bytes], bool]
    ) -> None:
        self._make = make
        self._receiver = receiver
        self._limits = limits
        self._keeps = keeps
        self.begin_anew()
        _nodes.add(self)

    def begin_anew(self) -> None:
        """Nothing of what was stays: in the child of a fork not even a lock may be trusted."""
        self.id: bytes = os.urandom(6)
        self.counts: Counts = Counts()
        self._ids = count(1)
        self._wishes = Wishes()
        self._roster = Roster()
        self._moving = RLock()
        self._home: Home | None = None
        self._next: asyncio.AbstractEventLoop | None = None  # where to move to
        self._stay: Stay | None = None
        self._refused = 0  # in stays that are over
        self._closed = False
        self._link = Condition()
        self.up: bool = False
        self.reason: str = "nobody has asked for it yet"
        self._down_since = time.monotonic()
        limits = self._limits
        self._outbox = Outbox(limits.max_outbox, limits.max_outbox_size, self._wake, self._failed)

    def publish(
        self, name: bytes, body: bytes, *, history: History | None = None, key: str = "", version: int = 0,
        version_epoch: str = "", ticket: Waiter | None = None, timeout: float = 0.0,
    ) -> bytes:  # fmt: skip
        """Let a publication wait for the broker, which puts it into one order with all others.

        Args:
            timeout: seconds to wait for room, or for the link, on a thread that may wait; 0: not at all.

        Returns: its id.
        Raises:
            Overloaded: the outbox is full.
            BrokerUnavailable: there has been no link for `Limits.broker_timeout`.
            Misuse: the node is closed.
        """
        self.settle()
        if not self.up and time.monotonic() - self._down_since > self._limits.broker_timeout:
            began = time.monotonic()
            with self._link:
                if not (timeout > 0 and may_wait() and self._link.wait_for(lambda: self.up, timeout)):
                    raise BrokerUnavailable(f"there is no link to the broker: {self.reason}")
            timeout -= time.monotonic() - began
        id = self.id + next(self._ids).to_bytes(6, "big")
        self._outbox.put(Outgoing(name, body, id, history, key, version, version_epoch), ticket, timeout)
        return id

    def want(self, name: bytes, loop: asyncio.AbstractEventLoop) -> None:
        """Somebody is a member of that channel, and is served by that event loop."""
        self.settle(loop)  # first: with a line it would not move any more
        self._wishes.want(name)
        self._wake()

    def unwant(self, name: bytes) -> None:
        """Nobody is any more."""
        self._wishes.unwant(name)
        self._wake()

    def settle(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Live somewhere: if it lives nowhere, or in a thread and has no line, on that loop. Without one in a thread.

        Raises: Misuse: it is closed.
        """
        home = self._home
        if home is not None and home.alive and (loop is None or home.thread is None):
            return
        with self._moving:
            if self._closed:
                if loop is not None:
                    return
                raise Misuse("this hub is closed")
            home, stay = self._home, self._stay
            if home is None or not home.alive:
                self._down_since = time.monotonic()
                self._home = Home(self._live, self._moved_out, loop)
            elif loop is not None and home.thread is not None and self._next is None and not (stay and stay.lines):
                self._next = loop
                home.end()

    def close(self, timeout: float = 5.0) -> bool:
        """Give the broker what waits, and end. On the event loop where it lives, this only begins to; so it does when
        that loop stands still.

        Returns: whether it has ended within so many seconds.
        """
        with self._moving:
            self._closed, home = True, self._home
        if home is None or not home.alive:
            return True
        home.end()
        return home.loop.is_running() and not _on(home.loop) and home.over.wait(timeout)

    def present(self, changes: Iterable[Change]) -> None:
        """Put these clients into presence, or take them out of it, from any thread. The broker is told in a moment, and
        again whenever it may have forgotten.

        Raises: Misuse: the node is closed.
        """
        self.settle(_running())
        for change in changes:
            self._roster.change(change)
        self._wake()

    async def presence(self, name: bytes, limit: int | None = None, seconds: float = 5.0) -> Presence:
        """Who is in the channel, in all processes, what was put here before included. From any event loop.

        Args:
            limit: entries at the most.
            seconds: until there has to be an answer.

        Raises: BrokerUnavailable: there is no link.
        """
        until = time.monotonic() + seconds

        async def ask(stay: Stay) -> Presence:
            while not stay.presenting.done:
                if time.monotonic() > until:
                    raise BrokerUnavailable(f"the broker is not told who is present: {self.reason}")
                await asyncio.sleep(0.002)
            return await stay.broker.presence(name, limit)

        return await self.ask(ask, seconds)

    async def survey(self, what: str, content: Any, seconds: float) -> tuple[dict[bytes, Any], set[bytes]]:
        """Ask all nodes, from any event loop. Returns the answers by node, and who did not answer in time.

        Raises: BrokerUnavailable: there is no link.
        """
        until = time.monotonic() + seconds

        async def ask(stay: Stay) -> tuple[dict[bytes, Any], set[bytes]]:
            answers, silent = await stay.colleagues.survey(what, content, until - time.monotonic())
            return dict(answers), silent

        return await self.ask(ask, seconds)

    async def ask(self, work: Callable[[Stay], Coroutine[Any, Any, T]], seconds: float | None = None) -> T:
        """What that returns, done where the node lives, as soon as there is a link. From any event loop.

        Args:
            seconds: to wait for a link; None: `Limits.broker_timeout`.

        Raises: BrokerUnavailable: there is none, or the node is closed.
        """
        loop = asyncio.get_running_loop()
        self.settle(loop)
        home = self._home
        if home is None:
            raise BrokerUnavailable("the node is closed")
        if home.loop is loop:
            stay = self._stay
            return await work(stay) if self.up and stay is not None else await self._ask(work, seconds)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._ask(work, seconds), home.loop))

    async def _ask(self, work: Callable[[Stay], Coroutine[Any, Any, T]], seconds: float | None) -> T:
        until = time.monotonic() + (self._limits.broker_timeout if seconds is None else seconds)
        while not self.up or self._stay is None:
            if self._closed:
                raise BrokerUnavailable("the node is closed")
            if time.monotonic() > until:
                raise BrokerUnavailable(f"there is no link to the broker: {self.reason}")
            await asyncio.sleep(0.005)
        return await work(self._stay)

    def stands(self, name: bytes) -> Position | None:
        """Where a wanted channel stands here, on this node's event loop; None: it is not known, or there is no link."""
        stay = self._stay
        return None if stay is None or not self.up else stay.lines.stands(name)

    def has_published(self, id: bytes) -> bool:
        """Whether the publication with that id is this node's."""
        return id[:6] == self.id

    def statistics(self, refused: int = 0) -> BrokerStatistics:
        """A frozen snapshot. `refused`: publications that the receiver did not understand."""
        stay, counts = self._stay, self.counts
        return BrokerStatistics(
            broker="" if stay is None else stay.broker.traits.name,
            node=self.id.hex(),
            up=self.up,
            reason=self.reason,
            nodes=0 if stay is None else len(stay.colleagues.living),
            lines=0 if stay is None else len(stay.lines),
            outbox=len(self._outbox),
            outbox_size=self._outbox.size,
            refused=refused + self._refused + (0 if stay is None else stay.broker.refused),
            duplicates=counts.duplicates + (0 if stay is None else stay.lines.duplicates),
            **{name: getattr(counts, name) for name in Counts.__slots__ if name != "duplicates"},
        )

    def _wake(self) -> None:
        home = self._home
        if home is None:
            return
        if _on(home.loop):
            self._rouse()
        else:
            home.call(self._rouse)

    def _rouse(self) -> None:
        if self._stay is not None:
            self._stay.rouse()

    def _failed(self, outgoing: Outgoing) -> None:
        self.counts.failed += 1
        self._receiver.failed(outgoing)

    # On the event loop where it lives

    async def _live(self, enough: asyncio.Event) -> None:
        self._wishes.changed.update(self._wishes.wanted)
        stay = self._stay = Stay(
            self.id, self._make(), self._receiver, self._outbox, self._wishes, self.counts, self._roster,
            self._limits, self._keeps, self._moved,
        )  # fmt: skip
        try:
            await stay.live(enough, lambda: self._next is not None)
        finally:
            self._stay = None
            self._refused += stay.broker.refused
            self.counts.duplicates += stay.lines.duplicates
            self._moved(False, "it has ended")

    def _moved_out(self, home: Home) -> None:
        with self._moving:
            if self._home is home:
                self._home = None
            loop, self._next = self._next, None
            if loop is not None and not self._closed:
                self.settle(loop)

    def _moved(self, up: bool, reason: str) -> None:
        if self.up and not up:
            self._down_since = time.monotonic()
        with self._link:
            self.up, self.reason = up, reason
            self._link.notify_all()


def _running() -> asyncio.AbstractEventLoop | None:
    """The event loop that this thread runs just now."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _on(loop: asyncio.AbstractEventLoop) -> bool:
    return _running() is loop


_nodes: weakref.WeakSet[Node] = weakref.WeakSet()


def _after_fork() -> None:
    for node in list(_nodes):
        node.begin_anew()


def _at_exit() -> None:
    for node in list(_nodes):
        node.close()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
