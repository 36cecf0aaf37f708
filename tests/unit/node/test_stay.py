"""A stay of a node: what it gives to its broker together, and that its end is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hubbub.brokers import Change, Outgoing, Position, Publication, Published
from hubbub.brokers.memory import MemoryBroker
from hubbub.errors import BrokerUnavailable
from hubbub.limits import Limits
from hubbub.node import Node, Ticket, lines
from hubbub.node.outbox import Outbox
from hubbub.node.roster import Roster
from hubbub.node.statistics import Counts
from hubbub.node.stay import Stay
from hubbub.node.wishes import Wishes


class Silent:
    """Serves nobody."""

    def deliver(self, name: bytes, publications: Sequence[Publication]) -> None: ...
    def missed(self, name: bytes, count: int | None) -> None: ...
    def failed(self, outgoing: Outgoing) -> None: ...
    def answer(self, question: str, content: Any) -> Any: ...
    def gone(self, node: bytes, changes: Sequence[Change]) -> None: ...


class Recording(MemoryBroker):
    """Knows how many publications came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        self.batches.append(len(batch))
        return await super().append(batch)


@asynccontextmanager
async def living(broker: MemoryBroker) -> AsyncIterator[Node]:
    """A node on this event loop."""
    node = Node(lambda: broker, Silent(), Limits(), lambda name: False)
    node.settle(asyncio.get_running_loop())
    while not node.up:
        await asyncio.sleep(0.001)
    yield node
    node.close()
    while node.up:
        await asyncio.sleep(0.001)


def published(node: Node) -> Ticket:
    ticket = Ticket()
    node.publish(b"s:room", b"tx", ticket=ticket)
    return ticket


async def test_what_comes_turn_after_turn_leaves_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubbub.node.publishing.MOMENT", 1.0)
    broker = Recording()
    async with living(broker) as node:
        tickets: list[Ticket] = []
        for _ in range(10):
            tickets.append(published(node))
            await asyncio.sleep(0)
        assert [(await ticket).offset for ticket in tickets] == list(range(1, 11))
    assert broker.batches == [10]


async def test_a_stream_that_does_not_end_leaves_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubbub.node.publishing.BATCH", 10**9)  # only time ends the first batch
    async with living(Recording()) as node:
        first = published(node)
        while not first.done:
            published(node)  # until the outbox is full
            await asyncio.sleep(0)


class LateNews(MemoryBroker):
    """Tells something while an append is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.called = asyncio.Event()
        self.failure: Exception | None = None

    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        self.called.set()
        try:
            return await asyncio.get_running_loop().create_future()
        finally:
            self._tell(lambda: self.events.state(True, "there again"))

    def _tell(self, event: Callable[[], None]) -> None:
        try:
            event()
        except Exception as error:
            self.failure = error


async def test_events_while_a_stay_is_cancelled_begin_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubbub.node.stay.FAREWELL", 0.1)
    broker = LateNews()
    outbox = Outbox(10, 1000, lambda: None, lambda outgoing: None)
    outbox.put(Outgoing(b"s:room", b"tx", bytes(12)), None, 0)
    stay = Stay(
        bytes(6), broker, Silent(), outbox, Wishes(), Counts(), Roster(), Limits(), lambda name: False,
        lambda up, reason: None,
    )  # fmt: skip
    living = asyncio.ensure_future(stay.live(asyncio.Event(), lambda: False))
    await broker.called.wait()
    living.cancel()
    await asyncio.wait([living])
    assert living.cancelled()
    assert broker.failure is None


async def test_nobody_waits_for_ever_for_a_channel_that_the_broker_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(MemoryBroker):
        async def subscribe(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
            raise BrokerUnavailable("not now")

    monkeypatch.setattr(lines, "SETTLES", 0.05)
    async with living(Refusing()) as node:
        node.want(b"s:room", asyncio.get_running_loop())
        with pytest.raises(BrokerUnavailable, match="did not let it be subscribed to"):
            await asyncio.wait_for(node.ask(lambda stay: stay.lines.standing(b"s:room")), 2)
        assert node.up
