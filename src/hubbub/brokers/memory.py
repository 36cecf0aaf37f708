"""The embedded broker: the channels of one process, in its memory.

An `Engine` is what nodes share: it orders, keeps and hands over. A `MemoryBroker` is one node's end of it. Everything
happens at once, on the event loop of the node that asks, so all nodes of an engine live on one loop.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import islice
from typing import ClassVar

from hubbub.brokers.contract import (
    NUMBERS_TTL,
    Broker,
    Change,
    Check,
    Entry,
    Events,
    Outgoing,
    Page,
    Position,
    Presence,
    Publication,
    Published,
    Traits,
)
from hubbub.brokers.log import KEY_TTL, Log, new_epoch
from hubbub.brokers.urls import options_of
from hubbub.errors import BrokerUnavailable

__all__ = ["Engine", "MemoryBroker", "Roll"]

EXPIRED_AT_ONCE = 256  # channels that are forgotten in one call
LEFT = 64  # nodes that have gone, and whose clients are remembered for those who evict them


class Roll:
    """Who is present, by channel and by node."""

    def __init__(self) -> None:
        self._channels: dict[bytes, dict[str, Entry]] = {}
        self._nodes: dict[bytes, set[tuple[bytes, str]]] = {}

    def change(self, node: bytes, change: Change) -> None:
        entries = self._channels.setdefault(change.channel, {})
        before = entries.pop(change.client, None)
        if before is not None:
            if change.info is None and before.node != node:  # it has moved: what the old node says of it is late
                entries[change.client] = before
                return
            self._nodes[before.node].discard((change.channel, change.client))
        if change.info is not None:
            entries[change.client] = Entry(change.client, change.user, change.info, node)
            self._nodes.setdefault(node, set()).add((change.channel, change.client))
        elif not entries:
            del self._channels[change.channel]

    def of(self, channel: bytes, limit: int | None) -> Presence:
        entries = self._channels.get(channel, {})
        return Presence(
            list(islice(entries.values(), limit)), len(entries), len({entry.user for entry in entries.values()})
        )

    def evict(self, node: bytes) -> list[Change]:
        dropped: list[Change] = []
        for channel, client in sorted(self._nodes.pop(node, ())):
            entry = self._channels[channel].pop(client)
            if not self._channels[channel]:
                del self._channels[channel]
            dropped.append(Change(channel, client, entry.user))
        return dropped


class Engine:
    """Channels in memory, and the brokers of the nodes that share them.

    Args:
        position_ttl: seconds for which a channel that nobody publishes to keeps its position; left out, as long as
            the contract says.
    """

    def __init__(self, position_ttl: float | None = None) -> None:
        self.roll: Roll = Roll()
        self.brokers: dict[bytes, MemoryBroker] = {}  # by node
        self.left: dict[bytes, list[Change]] = {}  # who went with a node that has gone, until another one evicts it
        self._position_ttl = position_ttl
        self._logs: dict[bytes, Log] = {}
        self._expiring: list[tuple[float, bytes]] = []  # a heap, with an entry for each log when that is due
        self._interest: dict[bytes, dict[MemoryBroker, None]] = {}

    def close(self) -> None:
        """Nothing is appended any more."""

    def append(self, batch: Sequence[Outgoing]) -> list[Published | Exception]:
        """Append these, and hand each to the brokers that are interested in its channel."""
        now = self.now()
        self._expire(now)
        results, pending = self._order(batch, now)
        self._hand_over(pending)
        return results

    def _order(
        self, batch: Sequence[Outgoing], now: float
    ) -> tuple[list[Published | Exception], dict[bytes, list[Publication]]]:
        results: list[Published | Exception] = []
        pending: dict[bytes, list[Publication]] = {}
        for new in batch:
            log = self.log(new.channel, now)
            done = log.append(new, now, self._position_ttl)
            if isinstance(done, Publication):
                if (new.history is not None and log.kept_until < log.due) or (new.key and now + KEY_TTL < log.due):
                    self._look_again(log, new.channel, now)
                pending.setdefault(new.channel, []).append(done)
                done = Published(done.offset, done.epoch)
            results.append(done)
        return results, pending

    def _hand_over(self, pending: dict[bytes, list[Publication]]) -> None:
        for channel, publications in pending.items():
            for broker in tuple(self._interest.get(channel, ())):
                broker.events.publications(channel, publications)

    def now(self) -> float:
        """In seconds, of the clock that times to live are measured by."""
        return time.monotonic()

    def log(self, channel: bytes, now: float) -> Log:
        """The channel's log, made when there is none."""
        log = self._logs.get(channel)
        if log is None:
            log = self._logs[channel] = Log(new_epoch(), now, self._position_ttl or NUMBERS_TTL)
            heappush(self._expiring, (log.due, channel))
        return log

    def _look_again(self, log: Log, channel: bytes, now: float) -> None:
        """When something of it will have expired."""
        log.due = log.tidy(now)
        heappush(self._expiring, (log.due, channel))

    def position(self, channel: bytes) -> Position | None:
        self._expire(self.now())
        log = self._logs.get(channel)
        return None if log is None else log.position

    def page(self, channel: bytes, since: Position | None, limit: int | None, reverse: bool) -> Page:
        now = self.now()
        self._expire(now)
        return self.log(channel, now).page(since, limit, reverse, now)

    def forget(self, channel: bytes) -> None:
        self.log(channel, self.now()).forget()

    def forget_node(self, node: bytes) -> None:
        """It has gone, and who is present through it."""
        if (changes := self.roll.evict(node)) and self.brokers:
            self.left[node] = changes
            while len(self.left) > LEFT:
                del self.left[next(iter(self.left))]

    def check(self) -> list[Check]:
        """What there is to say of it."""
        return [Check("history", "in memory: it ends with this process")]

    def subscribe(self, broker: MemoryBroker, channel: bytes) -> None:
        self._interest.setdefault(channel, {})[broker] = None

    def unsubscribe(self, broker: MemoryBroker, channel: bytes) -> None:
        interested = self._interest.get(channel)
        if interested is not None:
            interested.pop(broker, None)
            if not interested:
                del self._interest[channel]

    def _expire(self, now: float) -> None:
        """Let go of histories, keys and positions: each log is looked at when it is due, and no others."""
        expiring = self._expiring
        for _ in range(EXPIRED_AT_ONCE):
            if not expiring or expiring[0][0] > now:
                break
            due, channel = heappop(expiring)
            log = self._logs.get(channel)
            if log is None or log.due != due:  # it has another entry
                continue
            if log.lives_until > now:
                self._look_again(log, channel, now)
            else:
                del self._logs[channel]


class MemoryBroker(Broker):
    """One node's end of an engine in memory.

    Args:
        engine: what it shares with other nodes of this event loop; left out, it has one of its own.
    """

    traits: ClassVar[Traits] = Traits(name="memory", processes=False)
    events: Events

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine: Engine = engine or Engine()
        self._node = b""
        self._started = False
        self._subscribed: set[bytes] = set()

    @classmethod
    def from_url(cls, url: str) -> MemoryBroker:
        options_of(url)
        return cls()

    def _linked(self) -> Engine:
        if not self._started:
            raise BrokerUnavailable("the broker is not started, or closed")
        return self.engine

    async def start(self, node: bytes, events: Events) -> None:
        self._node, self.events, self._started = node, events, True
        self.engine.brokers[node] = self
        self.engine.left.pop(node, None)
        events.state(True, "in this process")

    async def close(self) -> None:
        if not self._started:
            return
        await self.unsubscribe(list(self._subscribed))
        self._started = False
        if self.engine.brokers.get(self._node) is self:  # and the node is not back already, by another broker
            del self.engine.brokers[self._node]
            self.engine.forget_node(self._node)
            for other in tuple(self.engine.brokers.values()):
                other.events.gone(self._node)

    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        return self._linked().append(batch)

    async def subscribe(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        engine = self._linked()
        for channel in channels:
            self._subscribed.add(channel)
            engine.subscribe(self, channel)
        return [engine.position(channel) for channel in channels]

    async def unsubscribe(self, channels: Sequence[bytes]) -> None:
        engine = self._linked()
        for channel in channels:
            self._subscribed.discard(channel)
            engine.unsubscribe(self, channel)

    async def positions(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        engine = self._linked()
        return [engine.position(channel) for channel in channels]

    async def history(
        self, channel: bytes, since: Position | None = None, limit: int | None = None, reverse: bool = False
    ) -> Page:
        return self._linked().page(channel, since, limit, reverse)

    async def forget(self, channel: bytes) -> None:
        self._linked().forget(channel)

    async def present(self, changes: Sequence[Change]) -> None:
        roll = self._linked().roll
        for change in changes:
            roll.change(self._node, change)

    async def presence(self, channel: bytes, limit: int | None = None) -> Presence:
        return self._linked().roll.of(channel, limit)

    async def evict(self, node: bytes) -> Sequence[Change]:
        engine = self._linked()
        return [*engine.left.pop(node, ()), *engine.roll.evict(node)]

    async def control(self, data: bytes, node: bytes | None = None) -> None:
        brokers = self._linked().brokers
        for broker in [*brokers.values()] if node is None else [brokers.get(node)]:
            if broker is not None:
                broker.events.control(self._node, data)

    async def check(self) -> Sequence[Check]:
        return self.engine.check()
