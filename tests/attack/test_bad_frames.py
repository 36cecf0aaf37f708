"""Frames that break the protocol are answered as soon as it shows, without the rest of the frame."""

from __future__ import annotations

import asyncio
import struct

import pytest

from support.client import RawClient, encode
from support.target import MIB, attacked

KEY = b"\x01\x02\x03\x04"


def begun(first: int, second: int = 0xFE, rest: bytes = b"\xff\xff") -> bytes:
    """The beginning of a masked frame of 65,535 bytes, none of which follows."""
    return bytes([first, second]) + rest


UNFINISHED = {
    "first reserved bit": (b"\xc1", 1002),
    "second reserved bit": (b"\xa1", 1002),
    "third reserved bit": (b"\x91", 1002),
    "reserved data opcode": (b"\x83", 1002),
    "reserved control opcode": (b"\x8b", 1002),
    "fragmented control frame": (b"\x09", 1002),
    "continuation of nothing": (b"\x80", 1002),
    "new message inside a message": (encode(1, b"a", fin=False) + b"\x81", 1002),
    "unmasked frame": (begun(0x81, 0x7E, b""), 1002),
    "control frame of 126 bytes": (begun(0x89, 0xFE, b""), 1002),
    "length not in its shortest form": (begun(0x82, 0xFE, b"\x00\x7d"), 1002),
    "length of 64 bits": (begun(0x82, 0xFF, b"\x80"), 1002),
    "invalid text": (begun(0x81) + KEY + bytes([0xFF ^ 1]), 1007),
    "surrogate in text": (begun(0x81) + KEY + bytes([0xED ^ 1, 0xA0 ^ 2]), 1007),
    "invalid text across fragments": (encode(1, b"\xc3", fin=False) + begun(0x80) + KEY + b"(", 1007),
    "close frame of one byte": (encode(8, b"\x03"), 1002),
    "close code that may not be sent": (encode(8, struct.pack("!H", 1006)), 1002),
    "close reason that is not text": (encode(8, struct.pack("!H", 1000) + b"\xff"), 1007),
}


@pytest.mark.parametrize("split", [False, True], ids=["whole", "one byte at a time"])
async def test_each_fault_is_closed_with_its_code_before_the_frame_ends(split: bool) -> None:
    async with attacked() as target:
        clients = {name: await RawClient.connect(target.port) for name in UNFINISHED}
        for name, (data, code) in UNFINISHED.items():
            client = clients[name]
            for piece in [bytes([byte]) for byte in data] if split else [data]:
                client.send(piece)
                await asyncio.sleep(0)
            assert (await client.read_close())[0] == code, name
            assert await client.at_end(), name
        failures = (await target.statistics())["server"]["failures"]
        for code in (1002, 1007):
            assert failures[str(code)] == sum(code == expected for _, expected in UNFINISHED.values())
        for client in clients.values():
            client.writer.close()
        assert await target.counted("server", "closed", "protocol error", len(UNFINISHED)) == len(UNFINISHED)


@pytest.mark.limit("max_message_size")
async def test_a_frame_that_is_too_large_is_refused_by_its_length_alone() -> None:
    async with attacked() as target:
        for length in (MIB + 1, 1 << 40, (1 << 63) - 1):
            client = await RawClient.connect(target.port)
            client.send(b"\x82\xff" + struct.pack("!Q", length))
            assert (await client.read_close())[0] == 1009
            assert await client.at_end()
        assert (await target.statistics())["server"]["failures"] == {"1009": 3}


@pytest.mark.limit("max_message_size")
async def test_a_message_that_grows_too_large_is_refused_by_the_length_of_the_next_fragment() -> None:
    async with attacked() as target:
        client = await RawClient.connect(target.port)
        client.send(encode(2, bytes(MIB), fin=False))
        client.send(b"\x80\x81")  # one byte more, whose mask and payload never come
        assert (await client.read_close())[0] == 1009
        assert (await target.statistics())["server"]["failures"] == {"1009": 1}


async def test_a_message_of_the_largest_size_comes_back() -> None:
    async with attacked() as target:
        client = await RawClient.connect(target.port)
        message = bytes(range(256)) * (MIB // 256)
        client.binary(message)
        assert await client.read() == message
