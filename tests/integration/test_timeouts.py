"""Whoever keeps a connection waiting: in the handshake, with pongs, with messages, with reading, with closing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import hubbub
from hubbub import Cause
from support.client import HEAD, RawClient, encode
from support.serving import Echo, Recorder, serving, until

BOTH_LOOPS = True

SOON = 0.1  # seconds


def limits(**settings: Any) -> hubbub.Limits:
    return hubbub.Limits(**{"close_timeout": SOON, **settings})


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "half a request"])
async def test_a_handshake_that_is_not_finished_in_time(sent: bytes) -> None:
    async with serving(Recorder.fresh(), limits=limits(handshake_timeout=SOON)) as server:
        client = await RawClient.dial(server.port)
        client.send(sent)
        await client.read_answer()
        assert (client.status, client.headers["error"]) == (408, "timeout")
        assert await client.at_end()
        await until(lambda: server.statistics().connections == 0)
        assert server.statistics().refused == {"timeout": 1}


async def test_a_handshake_that_trickles_has_no_more_time_than_others() -> None:
    async with serving(Recorder.fresh(), limits=limits(handshake_timeout=SOON)) as server:
        client = await RawClient.dial(server.port)
        answer = asyncio.create_task(client.read_answer())
        for byte in HEAD.format(path="/").encode() * 3:
            if answer.done():
                break
            client.send(bytes([byte]))
            await asyncio.sleep(0.005)
        await answer
        assert client.status == 408


@pytest.mark.parametrize("cancels", [True, False])
async def test_a_handlers_own_handshake_that_takes_too_long(cancels: bool) -> None:
    class Slow(Recorder):
        async def handshake(self, request: hubbub.Request) -> None:  # type: ignore[override]
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if cancels:
                    raise

    handler = Slow.fresh()
    async with serving(handler, limits=limits(handshake_timeout=SOON)) as server:
        client = await RawClient.connect(server.port)
        assert client.status == 408
        client.kill()
        await until(lambda: handler.everyone[0].ends)
        assert [end.cause for end in handler.everyone[0].ends] == [Cause.TIMEOUT]


async def test_a_peer_is_pinged_and_told_and_cut_if_it_stays_silent() -> None:
    handler = Recorder.fresh()
    async with serving(handler, limits=limits(ping_interval=SOON, pong_timeout=SOON, close_timeout=60)) as server:
        client = await RawClient.connect(server.port)
        assert await client.frame() == (0x89, b"")
        assert await client.read_close() == (1011, "keepalive ping timeout")
        assert await client.at_end()
        await until(lambda: handler.everyone[0].ends)
        cause, code, text, _ = handler.everyone[0].ends[0]
        assert (cause, code) == (Cause.TIMEOUT, 1011)
        assert "pong" in text


async def test_a_peer_that_answers_pings_or_talks_stays() -> None:
    handler = Echo.fresh()
    async with serving(handler, limits=limits(ping_interval=SOON, pong_timeout=SOON)) as server:
        client = await RawClient.connect(server.port)
        for number in range(4):
            assert await client.frame() == (0x89, b"")
            client.send(encode(10, b"") if number % 2 else encode(1, b""))
            if not number % 2:
                assert await client.frame() == (0x81, b"")
        assert not handler.everyone[0].ends


async def test_a_message_that_is_never_finished() -> None:
    handler = Recorder.fresh()
    async with serving(handler, limits=limits(message_timeout=SOON)) as server:
        client = await RawClient.connect(server.port)
        client.send(encode(1, b"once upon a time", fin=False))
        assert (await client.read_close())[0] == 1008
        client.kill()
        await until(lambda: handler.everyone[0].ends)
        assert handler.everyone[0].ends[0].cause is Cause.TIMEOUT


async def test_messages_that_are_finished_have_each_their_own_time() -> None:
    handler = Recorder.fresh()
    async with serving(handler, limits=limits(message_timeout=4 * SOON)) as server:
        client = await RawClient.connect(server.port)
        for _ in range(4):
            client.send(encode(1, b"a", fin=False))
            await asyncio.sleep(1.5 * SOON)
            client.send(encode(0, b"b"))
        await until(lambda: len(handler.everyone[0].messages) == 4)
        assert not handler.everyone[0].ends


async def test_a_peer_that_does_not_answer_our_close_is_cut() -> None:
    handler = Recorder.fresh()
    async with serving(handler, limits=limits()) as server:
        client = await RawClient.connect(server.port)
        handler.everyone[0].close(4000, "go")
        assert await client.read_close() == (4000, "go")
        assert await client.at_end()
        await until(lambda: handler.everyone[0].ends)
        assert handler.everyone[0].ends == [hubbub.Closed(Cause.SERVER, 4000, "go")]


async def test_a_peer_that_takes_no_byte_is_cut() -> None:
    handler = Recorder.fresh()
    settings = limits(backlog_timeout=SOON, max_backlog=1 << 30, max_total_backlog=1 << 31)
    async with serving(handler, limits=settings) as server:
        await RawClient.connect(server.port, limit=1024)
        for _ in range(200):
            handler.everyone[0].write(bytes(100_000))
        assert handler.everyone[0].buffered > 0
        await until(lambda: handler.everyone[0].ends)
        assert handler.everyone[0].ends[0].cause is Cause.OVERFLOW


async def test_a_stop_ends_what_does_not_end_by_itself() -> None:
    class Stuck(Recorder):
        async def message(self, data: str | bytes) -> None:  # type: ignore[override]
            await asyncio.Event().wait()

    handler = Stuck.fresh()
    settings = hubbub.Limits(shutdown_timeout=SOON)
    async with asyncio.timeout(5), hubbub.serve(handler, port=0, limits=settings) as server:
        client = await RawClient.connect(server.port)
        client.text("never done")
        await until(lambda: server.statistics().connections)
    assert [end.cause for end in handler.everyone[0].ends] == [Cause.SHUTDOWN]


async def test_answers_to_our_pings_pass_no_limit_and_others_do() -> None:
    handler = Recorder.fresh()
    async with serving(handler, limits=hubbub.Limits(max_control_rate=20)) as server:
        client = await RawClient.connect(server.port)
        for _ in range(60):
            handler.everyone[0].socket.ping()
        for _ in range(60):
            assert await client.frame() == (0x89, b"")
            client.send(encode(10, b""))
        client.text("still here")
        await until(lambda: handler.everyone[0].events[-1] == ("message", "still here"))
        for _ in range(30):
            client.send(encode(10, b""))
        assert (await client.read_close())[0] == 1008
