"""Sessions that come, go and come back while others publish: on one node and on two."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from hubbub.errors import BrokerUnavailable
from hubbub.realtime import Bounds, History, Namespace, Realtime
from support.serving import serving
from support.session_client import Peer, PeerClosed

OPEN = Namespace(history=History(2000, 60), force_recovery=True)


class Site:
    """Some nodes, each with a server."""

    def __init__(self) -> None:
        self.nodes: list[Realtime] = []
        self.urls: list[str] = []


@pytest.fixture(params=["memory", "local, two nodes", "sqlite, two nodes"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    kind = str(request.param)
    broker = {"m": "memory:", "l": f"local:{tmp_path / 'relay'}", "s": f"sqlite:{tmp_path / 'chat.db'}"}[kind[0]]
    made = Site()
    async with AsyncExitStack() as stack:
        for _ in range(2 if "two" in kind else 1):
            node = Realtime(broker=broker, insecure=True, namespaces={"": OPEN}, bounds=Bounds(max_publications=1000))
            server = await stack.enter_async_context(serving(node.handler, hub=node.hub))
            stack.push_async_callback(node.close)
            made.nodes.append(node)
            made.urls.append(f"ws://127.0.0.1:{server.port}")
        yield made


async def test_nobody_misses_anything_or_gets_it_twice(site: Site) -> None:
    """Sessions are cut at any moment, and come back to any node, while all nodes publish."""
    chance = random.Random(7)
    over = False
    published = 0

    async def publish(node: Realtime, number: int) -> None:
        nonlocal published
        for count in range(150):
            await node.publish("room", {"by": number, "count": count})
            published += 1
            await asyncio.sleep(chance.uniform(0, 0.006))

    async def come_and_go(peer: Peer) -> None:
        while not over:
            peer.url = chance.choice(site.urls)
            with suppress(PeerClosed):
                await peer.connect()
                await peer.subscribe("room")
                await asyncio.sleep(chance.uniform(0, 0.2))
            peer.kill()
            await peer.close()

    peers = [Peer(site.urls[0]) for _ in range(20)]
    first = await site.nodes[0].publish("room", "first")
    moving = [asyncio.ensure_future(come_and_go(peer)) for peer in peers]
    await asyncio.gather(*(publish(node, number) for number, node in enumerate(site.nodes)))
    over = True
    await asyncio.gather(*moving)
    last = (await site.nodes[0].publish("room", "last")).offset
    for peer in peers:
        await peer.connect()
        await peer.subscribe("room")
        await peer.until(lambda: peer.positions["room"][0] == last)  # noqa: B023
        await peer.close()
    assert last == first.offset + published + 1
    for peer in peers:
        offsets = [publication["offset"] for publication in peer.got["room"]]
        assert offsets == list(range(offsets[0], last + 1)), "one sequence, without gaps and repetitions"
        assert not peer.gaps
    sequences = {tuple(map(str, peer.bodies("room")[-50:])) for peer in peers}
    assert len(sequences) == 1


async def test_what_is_trimmed_cannot_be_recovered_and_says_so(site: Site) -> None:
    peer = Peer(site.urls[0])
    node = site.nodes[-1]
    await node.publish("room", 0)
    await peer.connect()
    await peer.subscribe("room")
    await peer.close()
    for count in range(1001):  # more than is given at once
        await node.publish("room", count)
    await peer.connect()
    reply = (await peer.subscribe("room"))["subscribe"]
    assert reply["was_recovering"]
    assert "recovered" not in reply
    assert "publications" not in reply
    assert reply["offset"] == 1002
    await peer.close()


async def test_a_slow_session_is_told_of_the_channel_that_it_lacks(site: Site) -> None:
    slow, other = Peer(site.urls[0]), Peer(site.urls[-1])
    node = site.nodes[0]
    await slow.connect()
    await slow.subscribe("busy")
    await slow.subscribe("idle")
    await other.connect()
    await other.subscribe("busy")
    slow.socket.transport.pause_reading()
    for count in range(300):
        await node.publish("busy", "x" * 30_000 + str(count))
    slow.socket.transport.resume_reading()
    await slow.until(lambda: "busy ends" in slow.gaps)
    await node.publish("idle", "to all")
    await slow.until(lambda: slow.bodies("idle") == ["to all"])
    await other.until(lambda: len(other.got["busy"]) == 300)
    reply = (await slow.subscribe("busy"))["subscribe"]
    assert reply["recovered"]
    offsets = [publication["offset"] for publication in slow.got["busy"]]
    assert offsets == list(range(1, 301))
    await slow.close()
    await other.close()


async def test_who_asks_a_closed_node_is_told_at_once() -> None:
    """And whoever waits for it: nothing hangs until the server gives up on it."""
    node = Realtime(broker="memory:", insecure=True, namespaces={"": OPEN})
    await node.publish("room", 1)
    waiting = asyncio.ensure_future(node._service.node.ask(lambda stay: stay.lines.standing(b"r:nobody wants it")))
    await node.close()
    for work in (waiting, node.history("room")):
        with pytest.raises(BrokerUnavailable):
            await asyncio.wait_for(work, 3)
