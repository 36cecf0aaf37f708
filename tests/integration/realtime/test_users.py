"""What a program does to its users, wherever they are, and what servers subscribe them to."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from hubbub.brokers import Position
from hubbub.errors import Misuse
from hubbub.realtime import Accepted, Bounds, Client, Connected, History, Namespace, Realtime
from support.session_client import Peer

from .conftest import Place

OPEN = Namespace(
    presence=True, join_leave=True, force_push_join_leave=True, history=History(10, 60), force_recovery=True
)  # fmt: skip
PLAIN = Namespace(presence=True)


def enter(rt: Realtime) -> None:
    """Clients are who they say they are, and in the channels that they say they are in."""

    @rt.on_connect
    def connect(client: Client, data: bytes) -> Connected:
        user, *channels = json.loads(data).split()
        return Connected(user=user, channels=dict.fromkeys(channels, Accepted()))


class Door:
    """Whoever connects to this node waits in front of it, until it is opened."""

    def __init__(self, rt: Realtime) -> None:
        self.knocked = asyncio.Event()
        self.open = asyncio.Event()
        self.gone: list[str] = []

        @rt.on_connect
        async def connect(client: Client, data: bytes) -> Connected:
            user, *channels = json.loads(data).split()
            self.knocked.set()
            await self.open.wait()
            return Connected(user=user, channels=dict.fromkeys(channels, Accepted()))

        @rt.on_disconnect
        def disconnect(client: Client) -> None:
            self.gone.append(client.user)


class Pair:
    """Two nodes. `one` and `two` are sessions of `eve`, one on each; `other` of `adam`, on the second."""

    def __init__(self, nodes: list[Realtime], one: Peer, two: Peer, other: Peer) -> None:
        self.nodes = nodes
        self.one, self.two, self.other = one, two, other
        self.all = (one, two, other)


@pytest.fixture
async def pair(bare: Place, tmp_path: Path) -> Pair:
    nodes: list[Realtime] = []
    urls: list[str] = []
    for name in "first", "second":
        rt = await bare.serve(
            broker=f"local:{tmp_path / 'relay'}", insecure=True, namespaces={"": OPEN, "plain": PLAIN}, name=name,
            bounds=Bounds(expired_grace=0.1, ping=0.5, pong_timeout=0.4),
        )  # fmt: skip
        enter(rt)
        nodes.append(rt)
        urls.append(bare.url)
    peers: list[Peer] = []
    for url, user in zip((urls[0], urls[1], urls[1]), ("eve", "eve", "adam"), strict=True):
        peers.append(bare.peer(url))
        await peers[-1].connect(data=user)
    return Pair(nodes, *peers)


def kinds(peer: Peer) -> list[str]:
    return [kind for push in peer.pushes for kind in push if kind != "channel"]


async def test_everybody_hears_everybody(pair: Pair) -> None:
    for peer in pair.all:
        await peer.subscribe("one")
    await asyncio.gather(*(peer.ask(publish={"channel": "one", "data": peer.id}) for peer in pair.all))
    for peer in pair.all:
        await peer.until(lambda: len(peer.got.get("one", ())) == 3)  # noqa: B023
        assert [publication["offset"] for publication in peer.got["one"]] == [1, 2, 3]
    assert pair.one.bodies("one") == pair.two.bodies("one") == pair.other.bodies("one")


async def test_presence_and_joining_across_nodes(pair: Pair) -> None:
    for peer in pair.all:
        await peer.subscribe("one")
    everybody = {peer.id for peer in pair.all}
    for peer in pair.all:
        found: dict[str, Any] = {}
        while found.keys() != everybody:  # what the other node says takes a moment
            found = (await peer.ask(presence={"channel": "one"}))["presence"]["presence"]
        stats = (await peer.ask(presence_stats={"channel": "one"}))["presence_stats"]
        assert stats == {"num_clients": 3, "num_users": 2}
    await pair.one.until(lambda: kinds(pair.one) == ["join"] * 3)
    pair.other.kill()
    await pair.one.until(lambda: kinds(pair.one) == ["join"] * 3 + ["leave"])
    assert pair.one.pushes[-1]["leave"]["info"] == {"user": "adam", "client": pair.other.id}
    assert len(await pair.nodes[0].presence("one")) == 2
    assert await pair.nodes[0].presence_stats("one") == (2, 1)


async def test_disconnecting(pair: Pair) -> None:
    await pair.nodes[0].disconnect("eve", client=pair.two.id)
    assert await pair.two.ended() == 3503
    assert pair.two.reason == "force disconnect"
    assert "unsubscribe" in await pair.one.ask(unsubscribe={"channel": "one"})
    await pair.nodes[1].disconnect("eve", whitelist=[pair.one.id])
    assert "unsubscribe" in await pair.one.ask(unsubscribe={"channel": "one"})
    await pair.nodes[1].disconnect("eve", code=4321, reason="go")
    assert (await pair.one.ended(), pair.one.reason) == (4321, "go")
    assert "unsubscribe" in await pair.other.ask(unsubscribe={"channel": "one"})
    await pair.nodes[0].disconnect("nobody")


async def test_disconnecting_who_is_about_to_connect(pair: Pair, bare: Place) -> None:
    """Their connect is under way on a node, and it is the other one that is told."""
    door = Door(pair.nodes[1])
    eve, adam, spared = [await bare.peer().open() for _ in range(3)]
    for peer, user in (eve, "eve"), (adam, "adam"), (spared, "carl"):
        await peer.send({"id": 1, "connect": {"data": user}})
    await door.knocked.wait()
    await pair.nodes[0].disconnect("eve", code=4321, reason="go")
    await pair.nodes[0].disconnect("carl", client="another")
    door.open.set()
    assert (await eve.ended(), eve.reason, eve.heard) == (4321, "go", [])
    for peer in adam, spared:
        await peer.until(lambda: peer.heard)  # noqa: B023
        assert "connect" in peer.heard[0]
    assert door.gone == ["eve"], "the other one, for this one never was connected"
    await pair.nodes[0].disconnect("adam")
    assert await adam.ended() == 3503
    await bare.peer().connect(data="eve")  # who comes later is not concerned


async def test_what_else_is_done_to_who_is_about_to_connect(pair: Pair, bare: Place) -> None:
    door = Door(pair.nodes[1])
    peer = await bare.peer().open()
    await peer.send({"id": 1, "connect": {"data": "eve one plain:two"}})
    await door.knocked.wait()
    await pair.nodes[0].subscribe("eve", "plain:three")
    await pair.nodes[0].subscribe("eve", "plain:four")
    await pair.nodes[0].unsubscribe("eve", "one")
    await pair.nodes[0].unsubscribe("eve", "plain:four")
    door.open.set()
    await peer.until(lambda: "subscribe" in kinds(peer))
    assert peer.heard[0]["connect"]["subs"].keys() == {"one", "plain:two"}
    await pair.nodes[0].publish("one", 1)
    for channel in "plain:four", "plain:two", "plain:three":
        await pair.nodes[0].publish(channel, 1)
    await peer.until(lambda: len(peer.got) == 2)
    assert peer.got.keys() == {"plain:two", "plain:three"}
    told = {"channel": "one", "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}}
    assert told in peer.pushes


async def test_so_many_sessions_of_a_user_on_all_nodes(pair: Pair, bare: Place) -> None:
    for node in pair.nodes:
        node._service.seats._most = 3
    pair.one.kill()
    pair.two.kill()
    peers = [await bare.peer(url).open() for url in (pair.one.url, pair.two.url) * 3]
    for peer in peers:
        await peer.send({"id": 1, "connect": {"data": "dora"}})
    ended = [peer for peer in peers if (await first_word(peer)) == 3504]
    assert len(ended) == 3, "all came at once: as many are in as may be"
    await next(peer for peer in peers if peer not in ended).close()
    while await first_word(await bare.peer(pair.one.url).open(), connect="dora") == 3504:
        await asyncio.sleep(0.01)  # what the other node says takes a moment
    assert await first_word(await bare.peer(pair.two.url).open(), connect="dora") == 3504
    assert await first_word(await bare.peer(pair.two.url).open(), connect="emil") == 0


async def first_word(peer: Peer, connect: str = "") -> int:
    """0: it is connected; or the code with which it is sent away."""
    if connect:
        await peer.send({"id": 1, "connect": {"data": connect}})
    await peer.until(lambda: peer.heard or peer.code)
    return peer.code


async def test_unsubscribing(pair: Pair) -> None:
    for peer in pair.all:
        for channel in "one", "two", "plain:three":
            await peer.subscribe(channel)
    await pair.nodes[0].unsubscribe("eve", "one")
    told = {"channel": "one", "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}}
    for peer in pair.one, pair.two:
        await peer.until(lambda: told in peer.pushes)  # noqa: B023
    await pair.nodes[1].unsubscribe("eve")
    for peer in pair.one, pair.two:
        await peer.until(lambda: kinds(peer).count("unsubscribe") == 3)  # noqa: B023
    for channel in "one", "two", "plain:three":
        await pair.nodes[0].publish(channel, 1)
        await pair.other.until(lambda: pair.other.bodies(channel) == [1])  # noqa: B023
    for peer in pair.one, pair.two:
        assert "subscribe" in await peer.subscribe("plain:three")
        assert not peer.got
    assert "unsubscribe" not in kinds(pair.other)


async def test_subscribing(pair: Pair) -> None:
    first, second = pair.nodes
    epoch = (await first.publish("one", 1)).epoch
    await second.publish("one", 2)
    await first.subscribe("eve", "one", info={"a": 1}, data=b'"hello"', since=Position(1, epoch))
    for peer in pair.one, pair.two:
        await peer.until(lambda: "join" in kinds(peer) and "one" in peer.got)  # noqa: B023
        assert peer.pushes[0] == {
            "channel": "one",
            "subscribe": {
                "recoverable": True, "positioned": True, "epoch": epoch, "offset": 1,
                "data": "hello",
            },
        }  # fmt: skip
        assert peer.pushes[1]["pub"] == {"data": 2, "offset": 2}
        assert (await peer.subscribe("one"))["error"]["code"] == 105
    published = await second.publish("one", 3)
    assert published.offset == 3
    assert published.sessions == 1
    for peer in pair.one, pair.two:
        await peer.until(lambda: peer.bodies("one") == [2, 3])  # noqa: B023
    found = await first.presence("one")
    while len(found) < 2:
        found = await first.presence("one")
    assert {entry.user for entry in found.values()} == {"eve"}
    assert {bytes(entry.chan_info) for entry in found.values()} == {b'{"a":1}'}
    assert not pair.other.pushes
    await first.subscribe("eve", "plain:two", client=pair.one.id)
    await pair.one.until(lambda: pair.one.pushes[-1] == {"channel": "plain:two", "subscribe": {}})
    await first.unsubscribe("eve", "plain:two")
    await pair.one.until(lambda: "unsubscribe" in pair.one.pushes[-1])


async def test_a_publication_never_overtakes_the_subscribe_push(pair: Pair) -> None:
    """Also while commands of the session wait for something."""
    first = pair.nodes[0]
    go = asyncio.Event()

    @first.rpc("wait")
    async def wait(client: Client, data: Any) -> None:
        await go.wait()

    waiting = asyncio.ensure_future(pair.one.ask(rpc={"method": "wait"}))
    await asyncio.sleep(0.02)
    await first.subscribe("eve", "plain:one")
    await pair.one.until(lambda: pair.one.pushes)
    await first.publish("plain:one", 1)
    await pair.one.until(lambda: len(pair.one.pushes) == 2)
    assert kinds(pair.one) == ["subscribe", "pub"]
    go.set()
    await waiting


async def test_refreshing(pair: Pair) -> None:
    for node in pair.nodes:
        node._service.insecure = False  # where nothing expires otherwise
    await pair.nodes[0].refresh("eve", expire_at=time.time() + 100)
    for peer in pair.one, pair.two:
        await peer.until(lambda: peer.pushes)  # noqa: B023
        refresh = peer.pushes[0]["refresh"]
        assert refresh["expires"] is True
        assert 98 <= refresh["ttl"] <= 100
    await pair.nodes[0].refresh("eve", client=pair.two.id, expire_at=time.time())
    assert await pair.two.ended() == 3005
    await pair.nodes[1].refresh("eve", expired=True)
    assert await pair.one.ended() == 3005
    assert not pair.other.pushes


async def test_presence_shows_what_others_see_from_now_on(pair: Pair) -> None:
    await pair.one.subscribe("one")
    await pair.nodes[1].refresh("eve", info={"name": "Eve"})
    while True:  # what the other node says takes a moment
        entry = (await pair.nodes[1].presence("one")).get(pair.one.id)
        if entry is not None and bytes(entry.conn_info) == b'{"name":"Eve"}':
            break
    for what in {"info": b"{"}, {"data": object()}:
        with pytest.raises(Misuse):
            await pair.nodes[0].subscribe("eve", "one", **what)


async def test_what_there_is(pair: Pair) -> None:
    await pair.one.subscribe("one")
    await pair.two.subscribe("one")
    await pair.two.subscribe("plain:two")
    for node in pair.nodes:
        assert await node.channels() == {"one": 2, "plain:two": 1}
        assert await node.channels("plain:*") == {"plain:two": 1}
        found = {about.name: about for about in await node.info()}
        assert found.keys() == {"first", "second"}
        assert (found["first"].num_clients, found["second"].num_clients) == (1, 2)
        assert (found["first"].num_users, found["second"].num_users) == (1, 2)
        assert (found["second"].num_subs, found["second"].num_channels) == (2, 2)


async def test_server_side_subscriptions_recover(place: Place) -> None:
    rt = await place.serve(insecure=True, namespaces={"": OPEN, "plain": PLAIN})
    enter(rt)
    peer = place.peer()
    subs = (await peer.connect(data="eve one plain:two"))["connect"]["subs"]
    assert subs.keys() == {"one", "plain:two"}
    assert subs["plain:two"] == {}
    assert (subs["one"]["positioned"], subs["one"]["recoverable"]) == (True, True)
    await rt.publish("one", 1)
    await peer.until(lambda: peer.bodies("one") == [1])
    await peer.close()
    epoch = (await rt.publish("one", 2)).epoch
    for request, recovered in (
        ({"recover": True, "offset": 1, "epoch": epoch}, [2]),
        ({"recover": True, "offset": 1, "epoch": "other"}, None),
        ({}, None),
    ):
        again = place.peer()
        said = (await again.connect(data="eve one", subs={"one": request, "unwanted": request}))["connect"]
        assert said["subs"].keys() == {"one"}
        result = said["subs"]["one"]
        assert result.get("was_recovering", False) is bool(request)
        assert result.get("recovered", False) is (recovered is not None)
        assert [p["data"] for p in result.get("publications", ())] == (recovered or [])
        await rt.publish("one", 3)
        await again.until(lambda: again.bodies("one") == [3])  # noqa: B023
        await rt.history_remove("one")
        epoch = (await rt.history("one")).epoch
        await again.close()


async def test_clients_name_channels_of_the_server_that_they_might_have_themselves(place: Place) -> None:
    """As they do after a break with those that they were subscribed to meanwhile; what is new to them as well."""
    allowed = Namespace(allow_subscribe_for_client=True, allow_subscribe_for_anonymous=True)
    rt = await place.serve(anonymous=True, namespaces={"": allowed, "closed": PLAIN, "asked": allowed})

    @rt.on_subscribe("asked:*")
    def subscribe(client: Client, channel: str) -> None:
        raise AssertionError("nobody asks")

    peer = place.peer()
    wished = {name: {"recover": True} for name in ("one", "closed:one", "asked:one", "nowhere:one", "$one", "ümlaut")}
    assert (await peer.connect(subs=wished))["connect"]["subs"] == {"one": {"was_recovering": True}}
    enter(rt)
    decided = (await place.peer().connect(data="eve two ümlaut", subs=wished))["connect"]["subs"]
    assert decided == {"two": {}, "ümlaut": {"was_recovering": True}}
    await rt.publish("ümlaut", 1)


async def test_what_is_lost_is_told(place: Place) -> None:
    """Client-side subscriptions with positions are ended with 2500, server-side ones with their connection."""
    rt = await place.serve(insecure=True, namespaces={"": OPEN, "plain": PLAIN})
    enter(rt)
    peer = await place.connected(data="eve plain:mine")
    other = await place.connected(data="adam one")
    await peer.subscribe("one")
    await peer.subscribe("plain:two")
    name = b"r:one"
    rt._service.channels.missed(name, 3)
    assert await other.ended() == 3010
    assert other.reason == "insufficient state"
    await peer.until(lambda: "unsubscribe" in kinds(peer))
    ends = [push for push in peer.pushes if "unsubscribe" in push]
    assert ends == [{"channel": "one", "unsubscribe": {"code": 2500, "reason": "insufficient state"}}]
    await rt.publish("plain:two", 1)
    await peer.until(lambda: peer.bodies("plain:two") == [1])
    assert "subscribe" in await peer.subscribe("one")
    await rt.publish("one", 1)
    await peer.until(lambda: peer.bodies("one") == [1])


async def test_unsubscribing_who_the_server_is_about_to_subscribe(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    go = asyncio.Event()
    for node in pair.nodes:
        ready = node._service.channels.ready

        async def late(channel: Any, positioned: bool, ready: Any = ready) -> None:
            await go.wait()
            await ready(channel, positioned)

        monkeypatch.setattr(node._service.channels, "ready", late)
    first, second = pair.nodes
    await first.subscribe("eve", "one")
    await second.unsubscribe("eve", "one")
    await first.subscribe("eve", "two")
    go.set()
    for peer in pair.one, pair.two:
        await peer.until(lambda: "subscribe" in kinds(peer))  # noqa: B023
    assert (await first.publish("one", 1)).sessions == 0
    assert {push["channel"] for peer in (pair.one, pair.two) for push in peer.pushes} == {"two"}


@pytest.mark.parametrize("channel", ["one", ""])
async def test_unsubscribing_who_is_about_to_subscribe(place: Place, channel: str) -> None:
    rt = await place.serve(insecure=True, namespaces={"": OPEN})
    asked, go = asyncio.Event(), asyncio.Event()

    @rt.on_subscribe("one")
    async def subscribe(client: Client, channel: str) -> None:
        asked.set()
        await go.wait()

    peer = await place.connected()
    subscribing = asyncio.ensure_future(peer.subscribe("one"))
    await asked.wait()
    await rt.unsubscribe("", channel)
    go.set()
    assert "subscribe" in await subscribing
    await peer.until(lambda: any("unsubscribe" in push for push in peer.pushes))
    await rt.publish("one", 1)
    await peer.ask(unsubscribe={"channel": "one"})
    assert not peer.got
    assert "subscribe" in await peer.subscribe("one")
