"""One stay of a node on an event loop: with one broker, from its start to its end. What the broker tells comes here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from hubbub.brokers import Broker, Change, Outgoing, Publication
from hubbub.errors import BrokerUnavailable
from hubbub.limits import Limits
from hubbub.logs import PeerLog, logger
from hubbub.node.colleagues import HEARTBEAT, Colleagues
from hubbub.node.lines import Lines
from hubbub.node.outbox import Outbox
from hubbub.node.publishing import Publishing
from hubbub.node.roster import Presenting, Roster
from hubbub.node.statistics import Counts
from hubbub.node.wishes import Wishes
from hubbub.supervision import supervise

__all__ = ["Receiver", "Stay"]

LOOKED_AFTER = 30.0  # seconds between two looks at where the channels stand
FAREWELL = 2.0  # seconds for what waits in the outbox at the end


class Receiver(Protocol):
    """Whom a node serves: plain functions, on its event loop."""

    def deliver(self, name: bytes, publications: Sequence[Publication]) -> None:
        """These follow in that channel."""

    def missed(self, name: bytes, count: int | None) -> None:
        """So many publications of it are lost for this process; None: nobody knows how many."""

    def failed(self, outgoing: Outgoing) -> None:
        """That publication was accepted, and will not be appended, or nobody knows."""

    def answer(self, question: str, content: Any) -> Any:
        """What this node answers to a survey; JSON's types."""

    def gone(self, node: bytes, changes: Sequence[Change]) -> None:
        """These clients are present no more, for their node has ended: no other node is told the same."""


class Stay:
    """Made and used on the event loop.

    Args:
        moved: called when there is a link, or none any more: whether, and why.
    """

    def __init__(
        self, node: bytes, broker: Broker, receiver: Receiver, outbox: Outbox, wishes: Wishes, counts: Counts,
        roster: Roster, limits: Limits, keeps: Callable[[bytes], bool], moved: Callable[[bool, str], None],
    ) -> None:  # fmt: skip
        self._node = node
        self.broker: Broker = broker
        self._receiver = receiver
        self._outbox = outbox
        self._counts = counts
        self._limits = limits
        self._moved = moved
        self._log = PeerLog(limits.max_log_rate)
        self._others: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None
        self._up = False
        self._reason = ""
        self._beaten = 0.0
        self._looked = 0.0
        self.colleagues: Colleagues = Colleagues(
            node, broker.control, self._lose, receiver.answer, self._log, self._begin, self._was_evicted
        )  # fmt: skip
        self.presenting: Presenting = Presenting(broker, roster)
        self.lines: Lines = Lines(broker, wishes, counts, keeps, self._deliver, receiver.missed, self._begin)
        self._publishing = Publishing(broker, outbox, self.lines, counts, limits.broker_timeout)

    def rouse(self) -> None:
        """Something is in the outbox, or wanted."""
        self._publishing.filled.set()
        self.lines.changed.set()
        self.presenting.changed.set()

    async def live(self, enough: asyncio.Event, moves: Callable[[], bool]) -> None:
        """Until it is enough.

        Args:
            moves: whether the node then goes on elsewhere, and takes along what waits.
        """
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                try:
                    await self._work_until(enough)
                finally:
                    self._group = None  # before the group waits for what it began, and begins nothing more
                for task in self._others:
                    task.cancel()
        finally:
            await self._say_farewell(moves())

    async def _work_until(self, enough: asyncio.Event) -> None:
        await self.broker.start(self._node, self)
        work = {
            "publishing to the broker": self._publishing.keep_up,
            "subscribing at the broker": self.lines.keep_up,
            "telling the broker who is present": self.presenting.keep_up,
            "the node's heartbeat": self._beat,
        }
        for name, run in work.items():
            self._begin(supervise, name, run)
        self.rouse()
        await enough.wait()
        until = time.monotonic() + FAREWELL
        while self._outbox.in_flight and self._up and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    async def _say_farewell(self, moves: bool) -> None:
        """Give the broker what waits."""
        up, self._up, outbox = self._up, False, self._outbox
        self.lines.go_down()  # who waits for one of them has waited enough
        unknown = BrokerUnavailable("the node has ended", "unknown")
        try:
            if outbox.in_flight:
                outbox.settle(unknown)
            async with asyncio.timeout(FAREWELL):
                while up and not moves and (batch := outbox.take()):
                    self._publishing.settle(await self.broker.append(batch))
                if up:
                    await self.colleagues.leave()
        except Exception as error:
            if outbox.in_flight:
                outbox.settle(error if isinstance(error, BrokerUnavailable) else unknown)
        finally:
            if not moves:
                outbox.fail_those_before(time.monotonic(), BrokerUnavailable(f"the node has ended: {self._reason}"))
            await self.broker.close()

    def _begin(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
        if self._group is None:  # it is over
            return
        task = self._group.create_task(_guarded(work, *arguments))
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    async def _beat(self) -> None:
        """Say that this node lives, and look after what happens when nothing happens."""
        while True:
            await asyncio.sleep(HEARTBEAT / 5)
            now = time.monotonic()
            if not self._up:
                self._give_up_late(now)
                continue
            with suppress(BrokerUnavailable):
                if now - self._beaten >= HEARTBEAT:
                    self._beaten = now
                    await self.colleagues.beat()
                if self.colleagues.deaf:
                    self._counts.resets += 1
                    await self.broker.reset("a heartbeat was sent, and did not come back")
                if now - self._looked >= LOOKED_AFTER:
                    self._looked = now
                    await self.lines.look_after()

    def _give_up_late(self, now: float) -> None:
        timeout = self._limits.broker_timeout
        late = BrokerUnavailable(f"there was no link to the broker for {timeout:g} s: {self._reason}")
        if given_up := self._outbox.fail_those_before(now - timeout, late):
            self._log.write(30, "%d publications were given up: %s", given_up, str(late))

    def _deliver(self, name: bytes, publications: Sequence[Publication]) -> None:
        try:
            self._receiver.deliver(name, publications)
        except Exception as error:
            self._log.failure("a publication could not be delivered", error)

    def _lose(self, node: bytes) -> None:
        self._begin(self._evict, node)

    async def _evict(self, node: bytes) -> None:
        """And tell it, for it may live after all: it was frozen, or its link was."""
        if changes := await self.broker.evict(node):
            self._receiver.gone(node, changes)
        await self.colleagues.tell_evicted(node)

    def _was_evicted(self) -> None:
        """Another node took this one for dead."""
        self.presenting.tell_again()

    # Events of the broker

    def publications(self, channel: bytes, batch: Sequence[Publication]) -> None:
        """These came."""
        self.lines.take(channel, batch)

    def control(self, node: bytes, data: bytes) -> None:
        """A message between nodes came."""
        self.colleagues.hear(node, data)

    def gone(self, node: bytes) -> None:
        """That node has ended, says the broker."""
        self.colleagues.lose(node)

    def gap(self, channels: Sequence[bytes] | None) -> None:
        """Something may be missing."""
        self.lines.hold(channels)

    def state(self, up: bool, reason: str) -> None:
        """There is a link, or none any more."""
        was_up, self._up, self._reason = self._up, up, reason
        self._publishing.up = self.presenting.up = up
        self.lines.go_down()
        if up:
            self._counts.links += 1
            self._beaten, self._looked = 0.0, time.monotonic()
            self.lines.up = True
            self.presenting.tell_again()
            logger.info("there is a link to the broker: %s", reason)
            self._begin(self.colleagues.greet)
        elif was_up:
            logger.warning("the link to the broker broke: %s", reason)
        self._moved(up, reason)
        self.rouse()


async def _guarded(work: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
    """One failure ends that piece of work alone."""
    try:
        await work(*arguments)
    except BrokerUnavailable:  # when there is a link again, all is looked at again
        pass
    except Exception:
        logger.exception("a piece of the node's work failed")
