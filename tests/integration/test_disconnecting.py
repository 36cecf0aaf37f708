"""Which channels there are, who is sent away, and what the end tells of where somebody was."""

from __future__ import annotations

import asyncio
import threading

import pytest

import hubbub
from hubbub import Cause
from support.client import RawClient
from support.serving import Recorder, serving, until

BOTH_LOOPS = True


class Member(Recorder):
    """Joins the channels that the query names."""

    async def handshake(self, request: hubbub.Request) -> str | None:
        self.rooms = request.query.get_all("room")
        return None

    def opened(self) -> None:
        assert self.hub is not None
        for room in self.rooms:
            self.hub.join(room, self.socket)


async def joined(server: hubbub.Server, hub: hubbub.Hub, *rooms: str) -> RawClient:
    before = hub.count(rooms[-1])
    client = await RawClient.connect(server.port, "/?" + "&".join(f"room={room}" for room in rooms))
    await until(lambda: hub.count(rooms[-1]) == before + 1)
    return client


async def test_channels_are_those_with_members() -> None:
    hub, handler = hubbub.Hub(), Member.fresh()
    async with serving(handler, hub=hub) as server:
        assert hub.channels() == []
        await joined(server, hub, "a", "b")
        second = await joined(server, hub, "b")
        hub.join(("room", 3), handler.everyone[1].socket)
        assert set(hub.channels()) == {"a", "b", ("room", 3)}
        await second.close()
        await until(lambda: set(hub.channels()) == {"a", "b"})


class SameHash:
    """A channel's id that shares its hash with all of its kind."""

    def __hash__(self) -> int:
        return 1


async def test_channels_whose_ids_share_a_hash_are_all_there() -> None:
    hub, handler = hubbub.Hub(), Member.fresh()
    ids = [SameHash() for _ in range(5)]
    async with serving(handler, hub=hub) as server:
        await RawClient.connect(server.port)
        for id in ids:
            hub.join(id, handler.everyone[0].socket)
        assert set(hub.channels()) == set(ids)
        hub.leave(ids[2], handler.everyone[0].socket)
        assert set(hub.channels()) == {*ids[:2], *ids[3:]}


@pytest.mark.parametrize("thread", [False, True], ids=["on the loop", "from a thread"])
async def test_a_channel_is_disconnected_after_what_was_said_in_it(thread: bool) -> None:
    hub, handler = hubbub.Hub(), Member.fresh()
    async with serving(handler, hub=hub) as server:
        one, two = await joined(server, hub, "a", "b"), await joined(server, hub, "a")
        other = await joined(server, hub, "b")
        hub.broadcast("a", "last words")
        found: list[int] = []

        def disconnect() -> None:
            found.append(hub.disconnect("a", 4001, "moved"))

        if thread:
            await asyncio.to_thread(disconnect)
        else:
            disconnect()
        assert found == [2]
        assert (hub.count("a"), hub.count("b")) == (0, 1)  # at once, whoever of them answers
        for client in (one, two):
            assert await client.read() == "last words"
            assert await client.read_close() == (4001, "moved")
            client.send(b"\x88\x80\x01\x02\x03\x04")
        await until(lambda: all(one.ends for one in handler.everyone[:2]))
        assert handler.everyone[0].ends == [hubbub.Closed(Cause.SERVER, 4001, "moved", ("a", "b"))]
        assert handler.everyone[1].ends == [hubbub.Closed(Cause.SERVER, 4001, "moved", ("a",))]
        hub.broadcast("b", "still here")
        assert await other.read() == "still here"
        assert hub.disconnect("a") == 0


async def test_one_socket_is_disconnected_or_stays() -> None:
    hub, handler = hubbub.Hub(), Member.fresh()
    async with serving(handler, hub=hub) as server:
        clients = [await joined(server, hub, "a") for _ in range(3)]
        first, second, third = (one.socket for one in handler.everyone)
        assert hub.disconnect(second, 4002) == 1
        assert await clients[1].read_close() == (4002, "")
        assert hub.disconnect(second) == 0
        assert hub.disconnect("a", exclude=[first, second]) == 1
        assert await clients[2].read_close() == (1000, "")
        assert [member.socket for member in hub.members("a")] == [first]
        assert (first.is_open, third.is_open) == (True, False)


async def test_what_cannot_be_sent_disconnects_nobody() -> None:
    hub, handler = hubbub.Hub(), Member.fresh()
    async with serving(handler, hub=hub) as server:
        await joined(server, hub, "a")
        for code, reason in ((999, ""), (1005, ""), (1000, "x" * 124), ("1000", "")):
            with pytest.raises(hubbub.Misuse):
                hub.disconnect("a", code, reason)  # type: ignore[arg-type]
            with pytest.raises(hubbub.Misuse):
                hub.disconnect("nobody", code, reason)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="pass its `socket`"):
            hub.disconnect(handler.everyone[0])
        assert hub.count("a") == 1


@pytest.mark.parametrize("end", ["client", "reset", "server", "protocol error", "leave"])
async def test_closed_is_told_the_channels_however_it_ends(end: str) -> None:
    hub, handler = hubbub.Hub(), Member.fresh()
    async with serving(handler, hub=hub) as server:
        client = await joined(server, hub, "b", "a", "c")
        one = handler.everyone[0]
        hub.leave("c", one.socket)
        match end:
            case "client":
                await client.close()
            case "reset":
                client.kill()
            case "server":
                one.close()
                client.send(b"\x88\x80\x01\x02\x03\x04")
            case "protocol error":
                client.send(b"\xff")
                assert (await client.read_close())[0] == 1002
                client.kill()
            case "leave":
                hub.leave_all(one.socket)
                await client.close()
        await until(lambda: one.ends)
        assert one.ends[0].channels == (() if end == "leave" else ("b", "a"))
        assert one.socket.left == one.ends[0].channels
        assert hub.channels_of(one.socket) == []


async def test_a_channel_is_disconnected_while_its_members_come_and_go() -> None:
    hub, handler = hubbub.Hub(), Member.fresh()
    async with serving(handler, hub=hub) as server:
        stop = threading.Event()

        def disconnect() -> int:
            total = 0
            while not stop.is_set():
                total += hub.disconnect("a", 4000)
                hub.channels()
            return total

        closing = asyncio.create_task(asyncio.to_thread(disconnect))
        clients = [await RawClient.connect(server.port, "/?room=a") for _ in range(50)]
        for client in clients:
            assert await client.read_close() == (4000, "")
        stop.set()
        assert await closing == 50
        assert hub.count("a") == 0
