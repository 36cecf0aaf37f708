"""Hubs that share a broker: what reaches whom, in which order, and what is known to be lost."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import hubbub
from hubbub.brokers import Broker, Change, Events, Outgoing, Page, Position, Presence, Published, Traits
from hubbub.brokers.memory import Engine, MemoryBroker
from support.client import RawClient
from support.serving import serving, until

Make = Callable[..., hubbub.Hub]


@pytest.fixture(params=["memory", "local", "sqlite"])
async def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """Makes hubs that share a broker, and closes them."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    engine = Engine()
    hubs: list[hubbub.Hub] = []

    def made(**settings: Any) -> hubbub.Hub:
        urls = {"local": "local:test", "sqlite": f"sqlite:{tmp_path}/kept.db"}
        hubs.append(hubbub.Hub(broker=urls.get(request.param) or MemoryBroker(engine), **settings))
        return hubs[-1]

    made.kind = request.param  # type: ignore[attr-defined]
    yield made
    relays = {relay_of(hub) for hub in hubs}
    await asyncio.gather(*(hub.close() for hub in hubs))
    for relay in relays - {0}:
        stop(relay)


def relay_of(hub: hubbub.Hub) -> int:
    """The relay's process; 0: there is none."""
    broker = hub.statistics().broker
    assert broker is not None
    found = re.search(r"process (\d+) at", broker.reason)
    return int(found[1]) if found else 0


def stop(process: int, how: int = signal.SIGTERM) -> None:
    try:
        os.kill(process, how)
    except ProcessLookupError:
        return


@asynccontextmanager
async def member(hub: hubbub.Hub, channel: Any = "room") -> AsyncIterator[tuple[RawClient, hubbub.Socket]]:
    """A client that is a member, at a server of its own, and its Socket. What is published from here on reaches it."""
    sockets: list[hubbub.Socket] = []

    class Member(hubbub.Handler):
        def opened(self) -> None:
            hub.join(channel, self.socket)
            sockets.append(self.socket)

    async with serving(Member, hub=hub) as server:
        client = await RawClient.connect(server.port)
        await until(lambda: bool(sockets))
        await until(lambda: subscribed(hub))
        yield client, sockets[0]
        client.kill()


def subscribed(hub: hubbub.Hub) -> bool:
    reach: Any = hub._reach
    stay = reach.node._stay
    return stay is not None and stay.lines.up and not stay.lines._joining and not reach.node._wishes.changed


async def test_all_members_everywhere_get_everything_in_one_order(make: Make) -> None:
    one, other = make(), make()
    async with member(one) as (first, _), member(other) as (second, _):

        def publish(hub: hubbub.Hub, name: str) -> None:
            for number in range(100):
                hub.broadcast("room", f"{name} {number}")

        publishers = [asyncio.to_thread(publish, hub, name) for hub, name in zip([one, other] * 2, "abcd", strict=True)]
        got = await asyncio.gather(_read(first, 400), _read(second, 400), *publishers)
        assert got[0] == got[1]
        for name in "abcd":
            assert [said for said in got[0] if said.startswith(name)] == [f"{name} {n}" for n in range(100)]


async def _read(client: RawClient, count: int) -> list[str]:
    return [str(await client.read()) for _ in range(count)]


async def test_who_is_excluded_is_left_out_by_the_publishing_process_alone(make: Make) -> None:
    one, other = make(), make()
    async with member(one) as (first, socket), member(other) as (second, _):
        assert one.broadcast("room", "not to the first", exclude=socket) == 0
        assert one.broadcast("room", b"to all") == 1
        assert await second.read() == "not to the first"
        assert await second.read() == b"to all"
        assert await first.read() == b"to all"


async def test_members_are_counted_everywhere(make: Make) -> None:
    one, other = make(), make()
    async with member(one), member(other), member(other):
        assert (one.count("room"), other.count("room")) == (1, 2)
        await until(lambda: nodes(one) == nodes(other) == 2)
        assert await one.count_everywhere("room") == await other.count_everywhere("room") == 3
        assert await one.count_everywhere("elsewhere") == 0


async def test_members_are_disconnected_everywhere(make: Make) -> None:
    one, other = make(), make()
    async with member(one) as (first, _), member(other) as (second, _), member(other, "elsewhere") as (third, _):
        await until(lambda: nodes(one) == nodes(other) == 2)
        with pytest.raises(hubbub.Misuse, match="close code"):
            await one.disconnect_everywhere("room", 999)
        assert await one.disconnect_everywhere("room", 4001, "moved") == 2
        assert await first.read_close() == await second.read_close() == (4001, "moved")
        assert await one.disconnect_everywhere("room") == 0
        third.text("still here")
        assert other.disconnect("elsewhere") == 1


def nodes(hub: hubbub.Hub) -> int:
    broker = hub.statistics().broker
    assert broker is not None
    return broker.nodes


async def test_what_became_of_a_message_can_be_known(make: Make) -> None:
    one, other = make(), make()
    async with member(other) as (client, _):
        first = await one.publish("room", "first", key="once")
        again = await one.publish("room", "first", key="once")
        assert (first.offset, first.suppressed) == (1, "")
        assert (again.offset, again.epoch, again.suppressed) == (1, first.epoch, "repeated")
        third = await asyncio.to_thread(lambda: other.publish("room", "second").wait(5))
        assert third == hubbub.Published(2, first.epoch)
        assert await client.read() == "first"
        assert await client.read() == "second"


@pytest.mark.parametrize("channel", ["room", b"room", 7, ("room", 7), "* > .{}\r\n\0" + "é" * 100])
async def test_channels_are_told_apart(make: Make, channel: Any) -> None:
    one, other = make(), make()
    async with member(other, channel) as (client, _):
        for wrong in ("rooms", b"rooms", 8, ("room", 8), (7,), "*", ""):
            one.broadcast(wrong, "to nobody")
        one.broadcast(channel, "to you")
        assert await client.read() == "to you"


async def test_an_id_that_other_processes_cannot_know_is_refused(make: Make) -> None:
    hub = make()
    with pytest.raises(TypeError, match="str, bytes, an int"):
        hub.broadcast(1.5, "x")
    async with member(hub) as (_, socket):
        with pytest.raises(TypeError, match="str, bytes, an int"):
            hub.join(object(), socket)


async def test_another_relay_takes_over_from_a_killed_one(make: Make) -> None:
    if make.kind == "memory":  # type: ignore[attr-defined]
        pytest.skip("there is no relay")
    missed: list[tuple[Any, int | None]] = []
    history = hubbub.History(100, 60) if make.kind == "sqlite" else None  # type: ignore[attr-defined]
    one = make(history=history)
    other = make(history=history, missed=lambda channel, count: missed.append((channel, count)))
    async with member(one) as (first, _), member(other) as (second, _):
        one.broadcast("room", "before")
        assert await first.read() == await second.read() == "before"
        stop(relay_of(one), signal.SIGKILL)
        for number in range(20):
            await _publish(one, str(number))
        for client in (first, second):
            got = [await client.read()]
            while got[-1] != "19":
                got.append(await client.read())
            if history is not None:
                assert got == [str(number) for number in range(20)]
            else:  # who came late to the new relay missed the first; one that was on its way may come twice
                assert list(dict.fromkeys(got)) == [str(number) for number in range(int(got[0]), 20)]
        if history is None:
            await until(lambda: missed == [("room", None)])  # what the relay held is lost, and that is told
        else:
            assert missed == []


async def _publish(hub: hubbub.Hub, text: str) -> None:
    """Until it is acknowledged; the key sees to it that it counts once."""
    while True:
        try:
            await hub.publish("room", text, key=text)
            return
        except hubbub.BrokerUnavailable:
            continue


async def test_a_process_that_serves_nobody_publishes_from_a_thread(make: Make) -> None:
    if make.kind == "memory":  # type: ignore[attr-defined]
        pytest.skip("all nodes of an engine in memory live on one event loop")
    one, other = make(), make()
    async with member(one) as (client, _):
        await asyncio.to_thread(other.broadcast, "room", "from a thread")
        assert await client.read() == "from a thread"
        async with member(other) as (second, _):  # and moves to the event loop when somebody comes
            await asyncio.to_thread(other.broadcast, "room", "from anywhere")
            assert await client.read() == await second.read() == "from anywhere"
            reach: Any = other._reach
            await until(lambda: reach.node._home is not None and reach.node._home.thread is None)


class Away(Broker):
    """An engine that cannot be reached, until `come`."""

    traits = Traits(name="away")

    def __init__(self) -> None:
        self.appended: list[Outgoing] = []
        self._events: Events | None = None

    async def start(self, node: bytes, events: Events) -> None:
        self._events = events
        events.state(False, "it is away")

    def come(self) -> None:
        assert self._events is not None
        self._events.state(True, "it is here")

    async def close(self) -> None: ...
    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        self.appended += batch
        return [Published(number, "epoch001") for number, _ in enumerate(batch, 1)]

    async def subscribe(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        return [None for _ in channels]

    async def unsubscribe(self, channels: Sequence[bytes]) -> None: ...
    async def positions(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        return [None for _ in channels]

    async def history(
        self, channel: bytes, since: Position | None = None, limit: int | None = None, reverse: bool = False
    ) -> Page:
        return Page((), Position(0, "epoch001"), True)

    async def forget(self, channel: bytes) -> None: ...
    async def present(self, changes: Sequence[Change]) -> None: ...
    async def presence(self, channel: bytes, limit: int | None = None) -> Presence:
        return Presence((), 0, 0)

    async def evict(self, node: bytes) -> Sequence[Change]:
        return ()

    async def control(self, data: bytes, node: bytes | None = None) -> None: ...


@pytest.mark.limit("max_outbox")
@pytest.mark.limit("max_outbox_size")
@pytest.mark.parametrize("bound", [{"max_outbox": 3}, {"max_outbox_size": 3 * (64 + 2)}])
async def test_what_waits_for_the_broker_is_bounded(bound: dict[str, int]) -> None:
    hub = hubbub.Hub(broker=Away(), limits=hubbub.Limits(**bound))
    for _ in range(3):
        assert hub.broadcast("room", "x") == 0
    with pytest.raises(hubbub.Overloaded, match="wait for the broker"):
        hub.broadcast("room", "x")
    waited = time.monotonic()
    with pytest.raises(hubbub.Overloaded, match=r"waited 0\.2 s"):
        await asyncio.to_thread(hub.broadcast, "room", "x", timeout=0.2)
    assert time.monotonic() - waited >= 0.2
    await hub.close()


@pytest.mark.limit("broker_timeout")
async def test_what_waits_for_too_long_is_given_up_and_told() -> None:
    away = Away()
    hub = hubbub.Hub(broker=away, limits=hubbub.Limits(broker_timeout=0.5))
    ticket = hub.publish("room", "late")
    with pytest.raises(hubbub.BrokerUnavailable, match="it is away") as caught:
        await ticket
    assert caught.value.outcome == "unsent"
    with pytest.raises(hubbub.BrokerUnavailable, match="no link to the broker"):
        hub.broadcast("room", "too late")
    waiting = asyncio.get_running_loop().run_in_executor(None, lambda: hub.broadcast("room", "patient", timeout=5))
    await asyncio.sleep(0.1)
    reach: Any = hub._reach
    reach.node._home.call(away.come)
    await waiting
    await until(lambda: [new.body for new in away.appended] == [b"tpatient"])
    broker = hub.statistics().broker
    assert broker is not None
    assert (broker.failed, broker.published) == (1, 1)
    await hub.close()


def test_the_environment_names_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBUB_BROKER", "memory:")
    assert hubbub.Hub().statistics().broker is not None
    assert hubbub.Hub(broker="").statistics().broker is None
    monkeypatch.setenv("HUBBUB_BROKER", "carrier-pigeon://user:secret@roof")
    with pytest.raises(hubbub.Misuse, match="no broker has the URL") as caught:
        hubbub.Hub()
    assert "secret" not in str(caught.value)


def test_workers_need_a_broker_that_joins_processes() -> None:
    for broker in ("", "memory:"):
        with pytest.raises(hubbub.Misuse, match="local:"):
            hubbub.run(hubbub.Handler, hub=hubbub.Hub(broker=broker), workers=2)


async def test_what_finds_no_room_waits_in_order_and_is_told_when_it_is_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hubbub.hub.reach.LATE", 3)
    missed: list[tuple[Any, int | None]] = []
    hub = hubbub.Hub(broker=MemoryBroker(), missed=lambda channel, count: missed.append((channel, count)))
    async with member(hub) as (client, _):
        reach: Any = hub._reach
        room, hand_out = False, reach._hand_out

        def without_room(*arguments: Any) -> None:
            if not room:
                raise hubbub.Overloaded("no room")
            hand_out(*arguments)

        monkeypatch.setattr(reach, "_hand_out", without_room)
        for number in range(5):
            await hub.publish("room", str(number))
        await until(lambda: sum(count or 0 for _, count in missed) == 2)
        assert hub.statistics().drops["overloaded"] == 2
        room = True
        assert await _read(client, 3) == ["0", "1", "2"]
        await hub.publish("room", "and on")
        assert await client.read() == "and on"
    await hub.close()


def test_a_program_whose_loop_stands_still_ends_at_once() -> None:
    program = """
import asyncio, hubbub
hub = hubbub.Hub(broker="memory:")
loop = asyncio.new_event_loop()
async def main():
    hub._reach.node.settle(asyncio.get_running_loop())
    await asyncio.sleep(0.05)
loop.run_until_complete(main())
"""
    began = time.monotonic()
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=30)
    assert time.monotonic() - began < 4  # it waited 5 s for a loop that nobody runs


async def test_a_last_message_that_is_under_way_is_not_taken_for_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where channels stand is asked for beside the link on which publications come: the answer may be there first."""
    monkeypatch.setattr("hubbub.node.lines.UNDER_WAY", 0.2)
    missed: list[tuple[Any, int | None]] = []
    hub = hubbub.Hub(broker=MemoryBroker(), missed=lambda channel, count: missed.append((channel, count)))
    async with member(hub) as (client, _):
        node: Any = hub._reach.node if hub._reach else None
        kept: list[Any] = []
        monkeypatch.setattr(node._stay, "publications", lambda *told: kept.append(told))
        await hub.publish("room", "under way")
        await hub.publish("room", "lost")
        looking = asyncio.create_task(node._stay.lines.look_after())
        await asyncio.sleep(0.05)
        node._stay.lines.take(*kept[0])
        await looking
        assert await client.read() == "under way"
        assert missed == []
        await node._stay.lines.look_after()
        await until(lambda: missed == [("room", 1)])
    await hub.close()


async def test_a_broker_that_tells_of_too_few_fails_the_batch() -> None:
    class Short(MemoryBroker):
        async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
            return (await super().append(batch))[1:]

    hub = hubbub.Hub(broker=Short())
    with pytest.raises(hubbub.HubbubError, match="0 of 1"):
        await hub.publish("room", "x")
    await hub.close()
