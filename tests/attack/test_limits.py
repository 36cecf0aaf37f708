"""The bounds of `hubbub.Limits` that no attack of the other files reaches, each at its edge."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import hubbub
from hubbub.logs import PeerLog
from support.certificates import contexts
from support.client import RawClient, encode
from support.outlets import MemorySocket, turns
from support.serving import Echo, Recorder, serving, until


def limited(**limits: Any) -> Any:
    """A server of echoes under these limits."""
    return serving(Echo.fresh(), limits=hubbub.Limits(**limits))


async def answers(client: RawClient, text: str = "still here") -> bool:
    client.text(text)
    return await client.read() == text


async def refused(client: RawClient, cause: str) -> bool:
    return (client.status, client.headers["error"]) == (503, cause) and await client.at_end()


# Counts of connections


@pytest.mark.limit("max_connections")
async def test_a_connection_too_many_gets_503_until_another_leaves() -> None:
    async with limited(max_connections=2) as server:
        first, second = await RawClient.connect(server.port), await RawClient.connect(server.port)
        third = await RawClient.connect(server.port)
        assert await refused(third, "capacity")
        third.kill()
        first.kill()
        await until(lambda: server.statistics().connections == 1)
        fourth = await RawClient.connect(server.port)
        assert await answers(second)
        assert await answers(fourth)
        assert server.statistics().refused == {"capacity": 1}


@pytest.mark.limit("max_connections_per_address")
async def test_a_connection_too_many_of_one_address_gets_503_and_other_addresses_none() -> None:
    async with limited(max_connections_per_address=1) as server:
        first = await RawClient.connect(server.port)
        again = await RawClient.connect(server.port)
        assert await refused(again, "address")
        other = await RawClient.connect(server.port, local_addr=("127.0.0.2", 0))
        assert await answers(other)
        again.kill()
        first.kill()
        await until(lambda: server.statistics().connections == 1)
        assert await answers(await RawClient.connect(server.port))
        assert server.statistics().refused == {"address": 1}


@pytest.mark.limit("max_connections_per_address")
async def test_who_is_refused_for_something_else_is_not_taken_off_what_its_address_has() -> None:
    async with limited(max_connections_per_address=2, max_connections=3) as server:
        there = [await RawClient.connect(server.port) for _ in range(2)]
        other = await RawClient.connect(server.port, local_addr=("127.0.0.2", 0))
        for _ in range(3):
            refused_for_capacity = await RawClient.connect(server.port)
            assert await refused(refused_for_capacity, "capacity")
            refused_for_capacity.kill()
            await until(lambda: server.statistics().connections == 3)
        other.kill()
        await until(lambda: server.statistics().connections == 2)
        assert await refused(await RawClient.connect(server.port), "address")
        assert all([await answers(client) for client in there])


@pytest.mark.limit("max_connections_per_address")
async def test_connections_over_tls_give_back_what_they_took_of_their_address() -> None:
    context, trusting = contexts()
    async with serving(Echo.fresh(), limits=hubbub.Limits(max_connections_per_address=1), ssl=context) as server:
        for _ in range(3):
            client = await RawClient.connect(server.port, ssl=trusting)
            assert client.status == 101
            client.kill()
            await until(lambda: server.statistics().connections == 0)


@pytest.mark.limit("max_accept_rate")
async def test_connections_beyond_the_rate_get_503_until_the_next_second() -> None:
    async with limited(max_accept_rate=3) as server:
        clients = [await RawClient.connect(server.port) for _ in range(12)]
        upgraded = [client for client in clients if client.status == 101]
        assert 3 <= len(upgraded) <= 6  # the second may have changed once meanwhile
        assert all([await refused(client, "rate") for client in clients if client not in upgraded])
        assert server.statistics().refused == {"rate": 12 - len(upgraded)}
        assert await answers(upgraded[0])


# Time


@pytest.mark.limit("ping_interval")
async def test_a_silent_peer_is_pinged_and_stays_when_it_answers() -> None:
    async with limited(ping_interval=0.1, pong_timeout=0.1) as server:
        client = await RawClient.connect(server.port)
        for _ in range(3):
            assert await client.frame() == (0x89, b"")
            client.send(encode(10, b""))
        assert await answers(client)


@pytest.mark.limit("pong_timeout")
async def test_a_peer_that_answers_no_ping_is_cut() -> None:
    async with limited(ping_interval=0.1, pong_timeout=0.1) as server:
        client = await RawClient.connect(server.port)
        assert await client.frame() == (0x89, b"")
        assert (await client.read_close())[0] == 1011
        assert await client.at_end()
        await until(lambda: server.statistics().closed == {"timeout": 1})


@pytest.mark.limit("message_timeout")
@pytest.mark.parametrize("begun", [b"\x81", b"\x81\x85\x00\x00\x00\x00a", encode(1, b"a", fin=False)])
async def test_a_message_that_is_never_finished_is_closed_with_1008(begun: bytes) -> None:
    async with limited(message_timeout=0.2) as server:
        client, other = await RawClient.connect(server.port), await RawClient.connect(server.port)
        client.send(begun)
        code, reason = await client.read_close()
        assert (code, reason) == (1008, "a message was not finished in time")
        client.kill()
        await until(lambda: server.statistics().closed == {"timeout": 1})
        assert server.statistics().failures == {1008: 1}
        assert await answers(other)


@pytest.mark.limit("close_timeout")
async def test_a_peer_that_does_not_answer_a_close_frame_is_cut() -> None:
    class Goodbye(Recorder):
        def opened(self) -> None:
            self.close(3000, "goodbye")

    handler = Goodbye.fresh()
    async with serving(handler, limits=hubbub.Limits(close_timeout=0.1)) as server:
        client = await RawClient.connect(server.port)
        assert await client.read_close() == (3000, "goodbye")
        assert await client.at_end()
        await until(lambda: handler.everyone[0].ends)
        assert handler.everyone[0].ends[0].code == 3000


@pytest.mark.limit("shutdown_timeout")
async def test_a_stop_cuts_who_does_not_say_goodbye_in_time() -> None:
    handler = Recorder.fresh()
    limits = hubbub.Limits(shutdown_timeout=0.2, close_timeout=60)
    async with asyncio.timeout(5):
        async with hubbub.serve(handler, port=0, limits=limits) as server:
            client = await RawClient.connect(server.port)
    assert (await client.read_close())[0] == 1001
    assert await client.at_end()
    client.kill()
    RawClient.alive.remove(client)
    assert [end.cause for end in handler.everyone[0].ends] == ["shutdown"]


# What waits for a handler


class Stuck(Recorder):
    """Its messages wait for the gate."""

    gate: asyncio.Event

    async def message(self, data: str | bytes) -> None:  # type: ignore[override]
        await self.gate.wait()
        super().message(data)


@pytest.mark.parametrize(
    ("limit", "size"),
    [
        pytest.param({"max_inbox": 4}, 1, marks=pytest.mark.limit("max_inbox")),
        pytest.param({"max_inbox_size": 4096}, 2048, marks=pytest.mark.limit("max_inbox_size")),
    ],
)
async def test_a_handler_that_cannot_keep_up_stops_the_reading_and_loses_nothing(limit: Any, size: int) -> None:
    handler = Stuck.fresh(gate=asyncio.Event())
    async with serving(handler, limits=hubbub.Limits(**limit)) as server:
        client = await RawClient.connect(server.port)
        sent = [f"{number:06d}".ljust(size, ".") for number in range(500)]
        for text in sent:
            client.text(text)
        await until(lambda: server.statistics().paused == 1)
        assert handler.everyone[0].messages == []
        handler.gate.set()
        await until(lambda: len(handler.everyone[0].messages) == len(sent))
        assert handler.everyone[0].messages == sent


async def test_a_stop_ends_a_stuck_handler_and_what_waits_behind_it() -> None:
    handler = Stuck.fresh(gate=asyncio.Event())
    async with asyncio.timeout(5):
        async with hubbub.serve(handler, port=0, limits=hubbub.Limits(shutdown_timeout=0.1)) as server:
            client = await RawClient.connect(server.port)
            for number in range(20):
                client.text(str(number))
            client.send(encode(9, b"all read"))
            assert await client.frame() == (0x8A, b"all read")
    assert [end.cause for end in handler.everyone[0].ends] == ["shutdown"]
    assert handler.everyone[0].messages == []
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    client.kill()
    RawClient.alive.remove(client)


# The hub


@pytest.mark.limit("max_channels")
async def test_a_channel_too_many_is_not_opened() -> None:
    hub = hubbub.Hub(limits=hubbub.Limits(max_channels=2))
    one, other = MemorySocket(), MemorySocket()
    assert hub.join("a", one)
    assert hub.join("b", one)
    with pytest.raises(hubbub.LimitReached, match="max_channels"):
        hub.join("c", one)
    assert hub.channels_of(one) == ["a", "b"]
    assert hub.join("a", other)
    hub.leave("b", one)
    assert hub.join("c", other)


@pytest.mark.limit("max_channels_per_socket")
async def test_a_channel_too_many_of_one_socket_is_not_joined() -> None:
    hub = hubbub.Hub(limits=hubbub.Limits(max_channels_per_socket=2))
    one, other = MemorySocket(), MemorySocket()
    assert hub.join("a", one)
    assert hub.join("b", one)
    with pytest.raises(hubbub.LimitReached, match="max_channels_per_socket"):
        hub.join("c", one)
    assert hub.statistics().channels == 2
    assert not hub.join("a", one)  # again: nothing more is asked for
    assert hub.join("c", other)
    hub.leave("a", one)
    assert hub.join("c", one)


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        pytest.param({"max_mailbox": 3}, "x", marks=pytest.mark.limit("max_mailbox")),
        pytest.param({"max_mailbox_size": 306}, "x" * 100, marks=pytest.mark.limit("max_mailbox_size")),
    ],
)
async def test_a_full_mailbox_refuses_at_once_and_gives_what_it_took(limit: Any, text: str) -> None:
    hub = hubbub.Hub(limits=hubbub.Limits(**limit))
    socket = MemorySocket()
    hub.join("room", socket)
    for _ in range(3):
        assert hub.broadcast("room", text) == 1
    with pytest.raises(hubbub.Overloaded):
        hub.broadcast("room", text)
    assert hub.statistics().drops == {"overloaded": 1}
    await turns()
    assert socket.texts == [text] * 3
    assert hub.broadcast("room", text) == 1


# The log


@pytest.mark.limit("max_log_rate")
def test_lines_beyond_the_rate_are_counted_and_the_count_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    log = PeerLog(2, lambda: now)
    with caplog.at_level(logging.INFO, "hubbub"):
        for number in range(5):
            log.write(logging.INFO, "%s: %d", "peer", number)
        assert caplog.messages == ["peer: 0", "peer: 1"]
        now = 1.0
        log.write(logging.INFO, "%s: %d", "peer", 5)
    assert caplog.messages[2:] == ["3 more log lines about peers were suppressed", "peer: 5"]
    assert log.suppressed == 3
