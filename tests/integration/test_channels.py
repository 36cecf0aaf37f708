"""Channels over real sockets, unsharded and sharded: what the two originals promised."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import hubbub
from support.client import RawClient, encode
from support.outlets import MemorySocket
from support.serving import ChannelHandler, Recorder, serving, until

BOTH_LOOPS = True

SHARDS = {"small": 1, "medium": 4, "large": 7}


def shards(channel: Any) -> int:
    return SHARDS.get(channel.split("_")[0], 1) if isinstance(channel, str) else 1


@pytest.fixture(params=list(SHARDS))
def room(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def hub() -> hubbub.Hub:
    return hubbub.Hub(shards=shards)


@pytest.fixture
async def server(hub: hubbub.Hub) -> AsyncIterator[hubbub.Server]:
    async with serving(ChannelHandler, hub=hub) as server:
        yield server


async def joined(server: hubbub.Server, room: str) -> RawClient:
    client = await RawClient.connect(server.port)
    client.text(f"join:{room}")
    assert await client.read() == "ok"
    return client


@pytest.mark.parametrize("fault", [False, True], ids=["closed by the program", "broke the protocol"])
async def test_a_socket_that_closes_has_left_at_once_though_its_peer_does_not_answer(room: str, fault: bool) -> None:
    hub, handler = hubbub.Hub(shards=shards), Recorder.fresh()
    async with serving(handler, hub=hub) as server:
        client = await RawClient.connect(server.port)
        socket = handler.everyone[0].socket
        hub.join(room, socket)
        hub.broadcast(room, "last words")
        if fault:
            client.send(b"\xff")
        else:
            assert socket.close(3000, "kicked")
        await until(lambda: not socket.is_open)
        assert (hub.count(room), hub.channels_of(socket), hub.broadcast(room, "nobody")) == (0, [], 0)
        assert await client.read() == "last words"
        assert (await client.read_close())[0] == (1002 if fault else 3000)


async def test_a_member_joins_leaves_and_rejoins_with_its_first_meta(hub: hubbub.Hub, room: str) -> None:
    user = MemorySocket()
    assert not hub.is_member(room, user)
    assert hub.join(room, user)
    assert hub.is_member(room, user)
    assert [(member.socket, member.meta) for member in hub.members(room)] == [(user, None)]
    assert hub.channels_of(user) == [room]
    assert not hub.join(room, user, "another meta")
    assert [meta for _, meta in hub.members(room)] == [None]
    assert hub.leave(room, user)
    assert not hub.leave(room, user)
    assert not hub.is_member(room, user)
    assert hub.channels_of(user) == []
    assert hub.join(room, user, (1, 2))
    assert not hub.join(room, user, (3, 4))
    assert [meta for _, meta in hub.members(room)] == [(1, 2)]


async def test_a_member_of_several_channels_leaves_one_of_them(hub: hubbub.Hub, room: str) -> None:
    user = MemorySocket()
    rooms = [f"{room}_{suffix}" for suffix in "abc"]
    for name in rooms:
        hub.join(name, user)
    assert hub.channels_of(user) == rooms
    hub.leave(rooms[1], user)
    assert [hub.count(name) for name in rooms] == [1, 0, 1]
    assert hub.channels_of(user) == [rooms[0], rooms[2]]
    assert hub.leave_all(user) == 2
    assert hub.leave_all(user) == 0


async def test_a_thousand_members_come_and_go(hub: hubbub.Hub, room: str) -> None:
    users = [MemorySocket() for _ in range(1000)]
    for user in users:
        assert hub.join(room, user)
        assert hub.is_member(room, user)
    assert {member.socket for member in hub.members(room)} == set(users)
    while users:
        user = users.pop()
        assert hub.leave(room, user)
        assert not hub.is_member(room, user)
        if len(users) % 100 == 0:
            assert {member.socket for member in hub.members(room)} == set(users)
    assert hub.statistics().channels == 0


async def test_ids_of_mixed_types_live_side_by_side(hub: hubbub.Hub) -> None:
    user = MemorySocket()
    ids: list[Any] = ["1", 1, (1, "1"), b"1", None, frozenset({1}), 1.5]
    for id in ids:
        assert hub.join(id, user)
    assert hub.channels_of(user) == ids
    assert hub.leave(1, user)
    assert not hub.is_member(1, user)
    assert hub.is_member("1", user)


async def test_members_can_be_reduced(hub: hubbub.Hub, room: str) -> None:
    for age in (30, 40, 50):
        hub.join(room, MemorySocket(), age)
    assert functools.reduce(lambda total, member: total + member.meta, hub.members(room), 0) == 120


async def test_members_is_a_snapshot(hub: hubbub.Hub, room: str) -> None:
    users = [MemorySocket() for _ in range(3)]
    for user in users:
        hub.join(room, user)
    seen = []
    for member in hub.members(room):
        hub.leave_all(member.socket)
        seen.append(member.socket)
    assert set(seen) == set(users)


async def test_a_hundred_sockets_come_one_by_one_and_go_one_by_one(
    hub: hubbub.Hub, server: hubbub.Server, room: str
) -> None:
    clients: list[RawClient] = []
    for _ in range(100):
        clients.append(await joined(server, room))
        assert hub.broadcast(room, "over 9000!") == len(clients)
        for client in clients:
            assert await client.read() == "over 9000!"
    message = hubbub.text("ghanima")
    while clients:
        clients.pop().kill()
        await until(lambda: hub.count(room) == len(clients))
        assert hub.broadcast(room, message) == len(clients)
        for client in clients:
            assert await client.read() == "ghanima"


async def test_framed_messages_keep_their_type(hub: hubbub.Hub, server: hubbub.Server, room: str) -> None:
    client = await joined(server, room)
    for message in ("text", b"bytes", hubbub.text(b"framed text"), hubbub.binary(b"framed bytes"), hubbub.binary(b"")):
        hub.broadcast(room, message)
    assert [await client.read() for _ in range(5)] == ["text", b"bytes", "framed text", b"framed bytes", b""]


async def test_leaving_over_the_wire(hub: hubbub.Hub, server: hubbub.Server, room: str) -> None:
    client, other = await joined(server, room), await joined(server, room)
    client.text(f"leave:{room}")
    assert await client.read() == "ok"
    assert hub.broadcast(room, "for the other") == 1
    assert await other.read() == "for the other"
    other.text("leave")
    assert await other.read() == "ok"
    assert hub.count(room) == 0
    assert hub.broadcast(room, "for nobody") == 0


async def test_the_sender_can_be_excluded(hub: hubbub.Hub, room: str) -> None:
    one, two, three = (MemorySocket() for _ in range(3))
    for user in (one, two, three):
        hub.join(room, user)
    stranger = MemorySocket()
    assert hub.broadcast(room, "a", exclude=one) == 2
    assert hub.broadcast(room, "b", exclude=[one, two, stranger]) == 1
    assert hub.broadcast(room, "c") == 3
    await until(lambda: len(three.texts) == 3)
    assert [user.texts for user in (one, two, three)] == [["c"], ["a", "c"], ["a", "b", "c"]]


async def test_a_broadcast_from_a_plain_thread(hub: hubbub.Hub, server: hubbub.Server, room: str) -> None:
    client = await joined(server, room)
    thread = threading.Thread(target=hub.broadcast, args=(room, "from a thread"))
    thread.start()
    assert await client.read() == "from a thread"
    await asyncio.to_thread(thread.join)


async def test_broadcasts_of_several_threads_reach_everyone_in_one_order(hub: hubbub.Hub, room: str) -> None:
    handler = Recorder.fresh(opened=lambda self: self.hub.join(room, self.socket))
    threads, messages, members = 4, 1000, 25

    def publish(thread: int) -> None:
        for number in range(messages):
            hub.broadcast(room, f"{thread}:{number:06}")

    async def digest(client: RawClient) -> tuple[str, list[bytes]]:
        data = await client.reader.readexactly(threads * messages * 10)
        return hashlib.sha256(data).hexdigest(), [data[at + 2 : at + 10] for at in range(0, len(data), 10)]

    async with serving(handler, hub=hub) as server:
        clients = [await RawClient.connect(server.port) for _ in range(members)]
        await until(lambda: hub.count(room) == members)
        publishing = [asyncio.to_thread(publish, thread) for thread in range(threads)]
        results = await asyncio.gather(*map(digest, clients), *publishing)
    digests = results[:members]
    assert len({sequence for sequence, _ in digests}) == 1
    order = digests[0][1]
    for thread in range(threads):
        mine = [message for message in order if message.startswith(b"%d:" % thread)]
        assert mine == sorted(mine)
        assert len(mine) == messages


async def test_a_closed_socket_has_left_everything_when_closed_is_called(hub: hubbub.Hub, room: str) -> None:
    seen: list[tuple[list[Any], int, bool]] = []

    def closed(self: Recorder, reason: hubbub.Closed) -> None:
        seen.append((hub.channels_of(self.socket), hub.count(room), hub.join(room, self.socket)))

    handler = Recorder.fresh(opened=lambda self: self.hub.join(room, self.socket), closed=closed)
    async with serving(handler, hub=hub) as server:
        client = await RawClient.connect(server.port)
        await until(lambda: hub.count(room) == 1)
        client.kill()
        await until(lambda: seen)
    assert seen == [([], 0, False)]
    assert hub.statistics().memberships == 0


ENDINGS: dict[str, Callable[[RawClient, hubbub.Socket], object]] = {
    "the client breaks off": lambda client, socket: client.kill(),
    "the client closes": lambda client, socket: client.send(encode(8, b"")),
    "the client breaks the protocol": lambda client, socket: client.send(b"\xff"),
    "the program closes": lambda client, socket: socket.close(),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
async def test_a_closed_socket_tells_what_it_has_left(
    hub: hubbub.Hub, room: str, end: Callable[[RawClient, hubbub.Socket], object]
) -> None:
    seen: list[tuple[tuple[Any, ...], bool, list[Any]]] = []

    def closed(self: Recorder, reason: hubbub.Closed) -> None:
        seen.append((self.socket.left, self.socket.is_open, hub.channels_of(self.socket)))

    handler = Recorder.fresh(closed=closed)
    async with serving(handler, limits=hubbub.Limits(close_timeout=0.1)) as server:
        client = await RawClient.connect(server.port)
        socket = handler.everyone[0].socket
        for channel in (room, 2, "left before"):
            hub.join(channel, socket)
        hub.leave("left before", socket)
        assert socket.left == ()
        end(client, socket)
        await until(lambda: seen)
    assert seen == [((room, 2), False, [])]


class Everywhere(hubbub.Handler):
    """Joins every room, and sends what comes to all of them."""

    rooms = tuple(f"room {number}" for number in range(40))

    def opened(self) -> None:
        assert self.hub is not None
        for room in self.rooms:
            self.hub.join(room, self.socket)

    def message(self, data: str) -> None:
        assert self.hub is not None
        for room in self.rooms:
            self.hub.broadcast(room, f"{room}: {data}")


async def test_one_turn_that_broadcasts_to_many_small_rooms_reaches_everyone_in_order(hub: hubbub.Hub) -> None:
    async with serving(Everywhere, hub=hub) as server:
        clients = [await RawClient.connect(server.port) for _ in range(20)]  # more sends than a turn's end makes itself
        await until(lambda: hub.count(Everywhere.rooms[-1]) == len(clients))
        clients[0].send(encode(1, b"a") + encode(1, b"b"))
        for client in clients:
            got = [await client.read() for _ in range(2 * len(Everywhere.rooms))]
            assert sorted(got) == sorted(f"{room}: {data}" for room in Everywhere.rooms for data in "ab")
            assert all(got.index(f"{room}: a") < got.index(f"{room}: b") for room in Everywhere.rooms)
