"""Hostile upgrade requests get an HTTP status, within a time and a size."""

from __future__ import annotations

import asyncio

import pytest

from hubbub import native
from support.client import HEAD, KEY, RawClient, encode
from support.target import MIB, attacked

LINES = HEAD.format(path="/")

BAD = {
    "body with a length": (LINES + "Content-Length: 5\r\n\r\nhello", "body"),
    "body in chunks": (LINES + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "body"),
    "two lengths": (LINES + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n", "body"),
    "two Hosts": (LINES + "Host: other\r\n\r\n", "host"),
    "two Keys": (LINES + f"Sec-WebSocket-Key: {KEY}\r\n\r\n", "key"),
    "NUL in a value": (LINES + "X-Note: a\0b\r\n\r\n", "headers"),
    "escape in a value": (LINES + "X-Note: a\x1b[2Jb\r\n\r\n", "headers"),
    "bare CR in a value": (LINES + "X-Note: a\rSet-Cookie: b\r\n\r\n", "headers"),
    "bare LF after a value": (LINES + "X-Note: a\n\r\n", "headers"),
    "DEL in a value": (LINES + "X-Note: a\x7f\r\n\r\n", "headers"),
    "control byte in a name": (LINES + "X-\x01Note: a\r\n\r\n", "headers"),
    "space before the colon": (LINES + "X-Note : a\r\n\r\n", "headers"),
    "folded line": (LINES + "X-Note: a\r\n b\r\n\r\n", "headers"),
    "control byte in the path": (HEAD.format(path="/\x1b[2J") + "\r\n", "path"),
    "byte above ASCII in the path": (HEAD.format(path="/\xe9") + "\r\n", "path"),
}


@pytest.mark.parametrize("split", [False, True], ids=["whole", "one byte at a time"])
async def test_each_bad_request_is_refused_with_400_and_its_cause(split: bool) -> None:
    async with attacked() as target:
        expected: dict[str, int] = {}
        for name, (head, cause) in BAD.items():
            client = await RawClient.dial(target.port)
            data = head.encode("latin-1")
            for piece in [data[at : at + 1] for at in range(len(data))] if split else [data]:
                client.send(piece)
                await asyncio.sleep(0)
            await client.read_answer()
            assert (client.status, client.headers["error"]) == (400, cause), name
            assert await client.at_end(), name
            expected[cause] = expected.get(cause, 0) + 1
        assert (await target.statistics())["server"]["refused"] == expected


@pytest.mark.limit("max_headers")
async def test_a_flood_of_header_lines_is_refused_with_431() -> None:
    async with attacked() as target:
        client = await RawClient.dial(target.port)
        client.send((LINES + "A:\r\n" * 100).encode())
        await client.read_answer()
        assert (client.status, client.headers["error"]) == (431, "headers")
        assert await client.at_end()
        assert (await target.statistics())["server"]["refused"] == {"headers": 1}


@pytest.mark.limit("max_header_size")
@pytest.mark.parametrize("start", [LINES + "X-Note: ", "GET /"], ids=["header", "path"])
async def test_a_line_without_an_end_is_refused_with_431(start: str) -> None:
    async with attacked() as target:
        clients = [await RawClient.dial(target.port) for _ in range(20)]
        for client in clients:
            client.send(start.encode() + b"a" * (9 * 1024))
            await client.read_answer()
            assert (client.status, client.headers["error"]) == (431, "headers")
            client.send(b"a" * (256 * 1024))  # a peer that does not stop is read and thrown away
        assert (await target.statistics())["server"]["refused"] == {"headers": 20}


@pytest.mark.limit("max_headers")
async def test_a_request_of_just_so_many_lines_is_accepted() -> None:
    async with attacked() as target:
        client = await RawClient.connect(target.port, headers="A: b\r\n" * (64 - 5))
        assert client.status == 101


@pytest.mark.limit("handshake_timeout")
async def test_a_request_that_trickles_in_is_refused_with_408_in_all_time() -> None:
    async with attacked(handshake_timeout=0.4) as target:
        silent, slow = await RawClient.dial(target.port), await RawClient.dial(target.port)
        answered = asyncio.create_task(slow.read_answer())
        for byte in LINES.encode() * 20:  # never silent: a timeout for each read would never end it
            if answered.done():
                break
            slow.send(bytes([byte]))
            await asyncio.sleep(0.005)
        await answered
        await silent.read_answer()
        for client in (slow, silent):
            assert (client.status, client.headers["error"]) == (408, "timeout")
            assert await client.at_end()
        assert (await target.statistics())["server"]["refused"] == {"timeout": 2}


@pytest.mark.limit("handshake_timeout")
async def test_many_slow_requests_are_bounded_and_cut() -> None:
    async with attacked(most=8 * MIB, handshake_timeout=0.5, close_timeout=0.3) as target:
        clients = [await RawClient.dial(target.port) for _ in range(200)]
        for client in clients:
            client.send((LINES + "X-Note: " + "a" * 4000).encode())
        assert await target.counted("server", "refused", "timeout", 200) == 200
        async with asyncio.timeout(5):
            while (await target.statistics())["server"]["connections"] > 2:
                await asyncio.sleep(0.02)


async def test_what_comes_before_the_handshake_is_decided_is_bounded_and_kept() -> None:
    message = b"early" * 2000
    # of each client 64 KiB come before; and afterwards uvloop's own transports bring 250 KiB with one read
    async with attacked(most=(12 if native.active() else 30) * MIB) as target:
        clients = [await RawClient.dial(target.port) for _ in range(50)]
        for client in clients:
            client.send(HEAD.format(path="/late").encode() + b"\r\n" + encode(2, message) * 100)
        for client in clients:
            await client.read_answer()
            assert client.status == 101
        for client in clients:
            for _ in range(100):
                assert await client.read() == message
