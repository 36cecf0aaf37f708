"""What was put off is taken in later: whole, in order, before the end, and no more of it than somebody wants."""

from __future__ import annotations

import asyncio
import time
import zlib
from typing import Any

import pytest

import hubbub
from support.client import RawClient, encode
from support.serving import Recorder, serving, until

BOTH_LOOPS = True


def deflated(payload: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return encode(2, (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv=4)


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
async def test_an_inbox_takes_one_message_beyond_its_bound_and_the_rest_stays_as_it_came(compressed: bool) -> None:
    going = asyncio.Event()
    heard: list[int] = []

    class Slow(hubbub.Handler):
        async def message(self, data: str | bytes) -> None:
            heard.append(len(data))
            await going.wait()

    limits = hubbub.Limits(max_inbox_size=4096, max_message_size=64 * 1024)
    async with serving(Slow, limits=limits, compression=hubbub.Deflate()) as server:
        headers = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if compressed else ""
        client = await RawClient.connect(server.port, headers=headers)
        size = 40_000 if compressed else 2_000
        one = deflated(bytes(size)) if compressed else encode(2, bytes(size))
        client.send(one * 20)
        await until(lambda: server.statistics().paused)
        await asyncio.sleep(0.02)
        (connection,) = server._context.connections
        inbox: Any = connection._inbox  # type: ignore[attr-defined]
        assert len(inbox) <= (1 if compressed else 3)  # one is being heard
        going.set()
        await until(lambda: heard == [size] * 20)


class Working(Recorder):
    """Takes so long that a read is not taken in within a round."""

    def message(self, data: str | bytes) -> None:
        end = time.perf_counter() + 0.0005
        while time.perf_counter() < end:
            pass
        super().message(data)


@pytest.mark.parametrize("end", ["eof", "close", "fault"])
async def test_all_that_came_before_the_end_is_heard_before_it(end: str) -> None:
    handler = Working.fresh()
    async with serving(handler) as server:
        client = await RawClient.connect(server.port)
        sent = [str(number) for number in range(100)]
        last = {"eof": b"", "close": encode(8, b"\x03\xe8"), "fault": b"\xff"}[end]
        client.send(b"".join(encode(1, text.encode()) for text in sent) + last)
        if end == "eof":
            client.writer.write_eof()
        if end == "fault":
            assert await client.read_close() == (1002, "a reserved bit is set")
            client.kill()
        await until(lambda: handler.everyone and handler.everyone[0].events[-1][0] == "closed")
        events = handler.everyone[0].events
        assert [value for name, value in events if name == "message"] == sent
        code = {"eof": 1006, "close": 1000, "fault": 1002}[end]
        assert events[-1][1].code == code


async def test_what_comes_meanwhile_is_heard_behind_it() -> None:
    handler = Working.fresh()
    async with serving(handler) as server:
        client = await RawClient.connect(server.port)
        sent = [str(number) for number in range(300)]
        for at in range(0, 300, 30):
            client.send(b"".join(encode(1, text.encode()) for text in sent[at : at + 30]))
            await asyncio.sleep(0.004)
        await until(lambda: handler.everyone and len(handler.everyone[0].events) == 302)
        assert [value for name, value in handler.everyone[0].events if name == "message"] == sent


async def test_a_handler_that_closes_hears_nothing_of_what_waits() -> None:
    class Closing(Working):
        def message(self, data: str | bytes) -> None:
            super().message(data)
            if data == "50":
                self.close(3000, "enough")

    handler = Closing.fresh()
    async with serving(handler) as server:
        client = await RawClient.connect(server.port)
        client.send(b"".join(encode(1, str(number).encode()) for number in range(100)))
        assert await client.read_close() == (3000, "enough")
        client.send(encode(8, b"\x0b\xb8"))
        await until(lambda: handler.everyone[0].events[-1][0] == "closed")
        assert [value for name, value in handler.everyone[0].events if name == "message"][-1] == "50"
        assert handler.everyone[0].events[-1][1].cause == "server"
