"""What a node does when its link breaks: one suite over all brokers, each behind a proxy of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from faults.engines import ENGINES
from hubbub import BrokerUnavailable
from hubbub.brokers import Broker, Change
from hubbub.node import Node, Ticket
from support.node_world import ROOM, NodeWorld
from support.serving import until

BROKERS = [name for name, kind in ENGINES.items() if not kind.only]


@pytest.fixture(params=BROKERS)
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[NodeWorld]:
    engine = ENGINES[request.param](tmp_path, request.node.callspec.params.get("history", 1000))
    await engine.start()
    made = NodeWorld(engine, monkeypatch)
    yield made
    await made.close()


def publish(node: Node, world: NodeWorld, body: bytes) -> Ticket:
    ticket = Ticket()
    node.publish(ROOM, body, history=world.kept, ticket=ticket)
    return ticket


async def top(auditor: Broker) -> int:
    (position,) = await auditor.positions([ROOM])
    return position.offset if position else 0


@pytest.mark.parametrize("history", [1000, 0])
@pytest.mark.parametrize("lost", ["reply", "request"])
async def test_what_was_on_its_way_when_the_link_broke(world: NodeWorld, lost: str, history: int) -> None:
    """With history it is found there, or appended again, in order and once; without, nobody knows."""
    node, other = await world.node(), await world.node()
    auditor = await world.auditor()
    loop = asyncio.get_running_loop()
    for one in (node, other):
        one.want(ROOM, loop)
    await until(lambda: all(one._stay and one._stay.lines and not one._stay.lines._joining for one in (node, other)))
    await publish(node, world, b"first")
    proxy = world.engine.proxies[0]
    stood = await top(auditor)
    setattr(proxy, "deaf" if lost == "reply" else "mute", True)
    tickets = [publish(node, world, b"%d" % number) for number in range(5)]
    if lost == "reply":
        async with asyncio.timeout(5):
            while await top(auditor) == stood:
                await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    later = publish(node, world, b"later")
    proxy.repair()
    results = await asyncio.gather(*tickets, return_exceptions=True)
    await later
    await until(lambda: world.receivers[1].got[-1].body == b"later")
    bodies = [p.body for p in world.receivers[1].got]
    if history:
        assert not [result for result in results if isinstance(result, BaseException)]
        assert bodies == [b"first", *(b"%d" % number for number in range(5)), b"later"]
        page = await auditor.history(ROOM)
        assert [p.body for p in page.publications] == bodies
        assert [p.offset for p in page.publications[1:6]] == [result.offset for result in results]  # type: ignore[union-attr]
        assert node.counts.unknown == 0
        assert node.counts.repeated == (5 if lost == "request" else 0)
        await until(lambda: [p.body for p in world.receivers[0].got] == bodies)
    else:
        assert all(isinstance(result, BrokerUnavailable) and result.outcome == "unknown" for result in results)
        assert bodies == [b"first", *(b"%d" % number for number in range(5) if lost == "reply"), b"later"]
        assert (node.counts.unknown, node.counts.repeated) == (5, 0)
    await auditor.close()


async def clients(auditor: Broker) -> list[str]:
    return sorted(entry.client for entry in (await auditor.presence(ROOM)).entries)


async def until_present(auditor: Broker, wanted: list[str]) -> None:
    async with asyncio.timeout(10):
        while await clients(auditor) != wanted:
            await asyncio.sleep(0.01)


async def test_who_is_present_is_put_again_after_a_link_broke(world: NodeWorld) -> None:
    """Who left while there was no link is present no more."""
    node, other = await world.node(), await world.node()
    auditor = await world.auditor()
    node.present([Change(ROOM, name, "user", b"") for name in ("leaves", "stays")])
    other.present([Change(ROOM, "another's", "user", b"")])
    found = await node.presence(ROOM)
    assert (found.clients, found.users) == (3, 1) or await until_present(
        auditor, ["another's", "leaves", "stays"]
    ) is None
    proxy = world.engine.proxies[0]
    for _ in range(3):
        links = node.counts.links
        proxy.sever()
        await until(lambda: not node.up)
        node.present([Change(ROOM, "leaves"), Change(ROOM, "comes", "user", b"")])
        await until(lambda: node.up and node.counts.links > links)  # noqa: B023
        await until_present(auditor, ["another's", "comes", "stays"])
        node.present([Change(ROOM, "comes"), Change(ROOM, "leaves", "user", b"")])
        await until_present(auditor, ["another's", "leaves", "stays"])
    found = await other.presence(ROOM, 2)
    assert (len(found.entries), found.clients, found.users) == (2, 3, 1)
    await asyncio.to_thread(node.close)
    await until_present(auditor, ["another's"])
    await auditor.close()


async def test_a_node_that_was_taken_for_dead_and_lives_puts_its_own_again(world: NodeWorld) -> None:
    node, other = await world.node(), await world.node()
    auditor = await world.auditor()
    node.present([Change(ROOM, "a", "user", b""), Change(ROOM, "b", "user", b"")])
    await until_present(auditor, ["a", "b"])
    stay = other._stay
    assert stay is not None
    await until(lambda: node.id in stay.colleagues.living)
    stay.colleagues.lose(node.id)  # its lease was over, for it was frozen
    await until(lambda: len(world.receivers[1].left) == 2)
    assert sorted(change.client for change in world.receivers[1].left) == ["a", "b"]
    await until_present(auditor, ["a", "b"])
    await auditor.close()


async def test_who_was_present_through_a_dead_node_is_told_to_one_of_the_others(
    world: NodeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubbub.node.stay.HEARTBEAT", 0.3)
    monkeypatch.setattr("hubbub.node.colleagues.LEASE", 1.5)
    node, *others = [await world.node() for _ in range(3)]
    auditor = await world.auditor()
    node.present([Change(ROOM, "a", "user", b""), Change(ROOM, "b", "user", b"")])
    others[0].present([Change(ROOM, "c", "user", b"")])
    await until_present(auditor, ["a", "b", "c"])
    await until(lambda: all(other._stay and node.id in other._stay.colleagues.living for other in others))
    await world.engine.proxies[0].close()
    await until_present(auditor, ["c"])
    await until(lambda: sum(len(receiver.left) for receiver in world.receivers[1:]) == 2)
    left = [change.client for receiver in world.receivers[1:] for change in receiver.left]
    assert sorted(left) == ["a", "b"]
    await auditor.close()
