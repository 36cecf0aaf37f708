"""Floods, trickles and bombs run into limits, and what they hold meanwhile is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import zlib

import pytest

from support.client import RawClient, encode
from support.target import MIB, Target, attacked

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"


async def closed_with(client: RawClient, code: int, target: Target, failures: int = 1) -> None:
    assert (await client.read_close())[0] == code
    assert await target.counted("server", "failures", str(code), failures) == failures


@pytest.mark.limit("max_fragments")
@pytest.mark.parametrize("payload", [b"", b"x"], ids=["empty", "tiny"])
async def test_a_flood_of_fragments_is_closed_at_the_limit(payload: bytes) -> None:
    async with attacked() as target:
        client = await RawClient.connect(target.port)
        client.send(encode(2, payload, fin=False) + encode(0, payload, fin=False) * 50_000)
        await closed_with(client, 1008, target)


@pytest.mark.limit("max_fragments")
async def test_a_message_of_just_so_many_fragments_comes_back() -> None:
    async with attacked(max_fragments=100) as target:
        client = await RawClient.connect(target.port)
        client.send(encode(2, b"x", fin=False) + encode(0, b"x", fin=False) * 98 + encode(0, b"x"))
        assert await client.read() == b"x" * 100
        assert (await target.statistics())["server"]["failures"] == {}


async def test_a_large_message_in_the_smallest_reads_costs_its_size_only() -> None:
    async with attacked(most=8 * MIB) as target:
        client = await RawClient.connect(target.port)
        payload = os.urandom(MIB)
        frame = memoryview(encode(2, payload))
        for at in range(30_000):  # one byte for each turn of the loop: so it comes, but for what the kernel joins
            client.send(frame[at : at + 1])
            if at % 8 == 0:
                await asyncio.sleep(0)
        for at in range(30_000, len(frame), 61):
            client.send(frame[at : at + 61])
            if at % 8 == 0:
                await asyncio.sleep(0)
        assert await client.read() == payload


async def test_half_finished_messages_on_many_connections_cost_what_was_sent() -> None:
    count, size = 200, 32 * 1024
    async with attacked(most=24 * MIB) as target:
        clients = [await RawClient.connect(target.port, "/sink") for _ in range(count)]
        for client in clients:
            client.send(b"\x82\xff" + struct.pack("!Q", MIB) + bytes(4) + bytes(size))
        for client in clients:
            await client.writer.drain()
        for client in clients[::2]:  # one that tells that all before it has been read: a ping cannot, inside a frame
            client.kill()
        assert await target.counted("server", "closed", "reset", count // 2) == count // 2
        assert (await target.statistics())["server"]["connections"] == count // 2 + 2


async def test_lengths_that_are_announced_and_never_sent_allocate_nothing() -> None:
    async with attacked(most=8 * MIB) as target:
        clients = [await RawClient.connect(target.port, "/sink") for _ in range(200)]
        for client in clients:
            client.send(b"\x82\xff" + struct.pack("!Q", MIB) + bytes(4) + b"x")
        assert (await target.statistics())["server"]["connections"] == 202


@pytest.mark.limit("max_control_rate")
@pytest.mark.parametrize("opcode", [9, 10], ids=["pings", "pongs"])
async def test_a_flood_of_control_frames_is_closed_at_the_rate(opcode: int) -> None:
    async with attacked() as target:
        client = await RawClient.connect(target.port)
        client.send(encode(opcode, b"x" * 125) * 20_000)
        await closed_with(client, 1008, target)
        assert (await target.statistics())["server"]["pings"] <= 200  # two seconds' worth, if the flood met a new one


async def test_pongs_for_a_peer_that_does_not_read_are_joined_to_the_latest() -> None:
    async with attacked(most=8 * MIB, max_control_rate=1_000_000, backlog_timeout=60) as target:
        client = await RawClient.connect(target.port, "/room")
        client.writer.transport.pause_reading()
        backlog = await target.clog()
        for number in range(20_000):
            client.send(encode(9, f"{number:0125d}".encode()))
            if number % 500 == 0:
                await client.writer.drain()
        assert await target.counted("server", "pings", None, 20_000) == 20_000
        assert (await target.statistics())["hub"]["backlog"] == backlog + 127
        client.writer.transport.resume_reading()
        while (frame := await client.frame())[0] == 0x81:
            pass
        assert frame == (0x8A, f"{19_999:0125d}".encode())


@pytest.mark.limit("max_message_rate")
async def test_a_flood_of_messages_is_closed_at_the_rate() -> None:
    async with attacked(max_message_rate=1000) as target:
        client = await RawClient.connect(target.port, "/sink")
        client.send(encode(1, b"x") * 20_000)
        await closed_with(client, 1008, target)


@pytest.mark.limit("max_inbox")
@pytest.mark.limit("max_inbox_size")
@pytest.mark.parametrize("size", [1, 64 * 1024])
async def test_what_waits_for_stuck_handlers_is_bounded_for_the_peers_are_not_read(size: int) -> None:
    async with attacked(most=24 * MIB, shutdown_timeout=0.1) as target:
        clients = [await RawClient.connect(target.port, "/stuck") for _ in range(8)]
        data = encode(2, bytes(size)) * (8 * MIB // (size + 6))
        for client in clients:
            client.send(data)
        assert await target.counted("server", "paused", None, len(clients)) == len(clients)


async def bomb(target: Target, data: bytes, code: int) -> None:
    client = await RawClient.connect(target.port, "/sink", DEFLATE)
    assert "permessage-deflate" in client.headers["sec-websocket-extensions"]
    client.send(encode(2, data, rsv=4))
    await closed_with(client, code, target)


@pytest.mark.limit("max_message_size")
async def test_a_message_that_inflates_beyond_the_limit_is_closed_and_never_held() -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = deflater.compress(bytes(512 * MIB)) + deflater.flush(zlib.Z_SYNC_FLUSH)
    async with attacked(most=12 * MIB, compression=True) as target:
        await bomb(target, data[:MIB], 1009)


@pytest.mark.limit("max_message_size")
async def test_many_bombs_at_once_are_bounded() -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = deflater.compress(bytes(16 * MIB)) + deflater.flush(zlib.Z_SYNC_FLUSH)
    async with attacked(most=16 * MIB, compression=True) as target:
        clients = [await RawClient.connect(target.port, "/sink", DEFLATE) for _ in range(20)]
        for client in clients:
            client.send(encode(1, data[:-4], rsv=4))
        for client in clients:
            assert (await client.read_close())[0] == 1009
        assert await target.counted("server", "failures", "1009", 20) == 20


@pytest.mark.limit("max_fragments")
async def test_a_message_of_very_many_deflate_streams_is_closed() -> None:
    async with attacked(compression=True) as target:
        await bomb(target, b"\x03\x00" * 100_000, 1008)


async def test_compressed_data_that_is_none_is_closed_before_the_frame_ends() -> None:
    async with attacked(compression=True) as target:
        client = await RawClient.connect(target.port, "/sink", DEFLATE)
        client.send(b"\xc2\xfe\xff\xff" + bytes(4) + b"\xff" * 16)
        await closed_with(client, 1007, target)


@pytest.mark.limit("close_timeout")
async def test_a_peer_that_goes_on_after_its_fault_is_thrown_away_and_cut() -> None:
    async with attacked(most=8 * MIB, close_timeout=0.3) as target:
        client = await RawClient.connect(target.port)
        client.send(b"\xff")
        assert (await client.read_close())[0] == 1002
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                while not client.writer.is_closing():
                    client.send(bytes(64 * 1024))
                    await client.writer.drain()
        assert await target.counted("server", "closed", "protocol error") == 1
        assert (await target.statistics())["server"]["failures"] == {"1002": 1}
