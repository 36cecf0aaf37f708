"""Encoding: RFC 6455, section 5; compressed frames: RFC 7692, section 7.2.1."""

from __future__ import annotations

import random
import zlib

import pytest

import hubbub
from hubbub.wire import Opcode, close, encode, frame, ping, pong, split
from support.twins import Twin

pytestmark = pytest.mark.usefixtures("twin")


@pytest.mark.parametrize(
    ("data", "wire"),
    [
        (encode(1, b"Hello"), "81 05 48 65 6c 6c 6f"),  # the examples of section 5.7
        (encode(1, b"Hello", mask_key=bytes.fromhex("37fa213d")), "81 85 37 fa 21 3d 7f 9f 4d 51 58"),
        (encode(1, b"Hel", fin=False), "01 03 48 65 6c"),
        (encode(0, b"lo"), "80 02 6c 6f"),
        (ping(b"Hello"), "89 05 48 65 6c 6c 6f"),
        (close(), "88 00"),
        (close(1000, "x"), "88 03 03 e8 78"),
    ],
)
def test_frames_are_encoded_as_the_standard_shows(data: bytes, wire: str) -> None:
    assert data == bytes.fromhex(wire)


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, "82 00"),
        (125, "82 7d"),
        (126, "82 7e 00 7e"),
        (65535, "82 7e ff ff"),
        (65536, "82 7f 00 00 00 00 00 01 00 00"),
    ],
)
def test_lengths_take_their_shortest_form(size: int, head: str) -> None:
    assert encode(2, bytes(size)) == bytes.fromhex(head) + bytes(size)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 1000, 64 * 1024 + 3])
def test_masking_twice_gives_the_data_back_and_once_is_the_standards_xor(size: int, twin: Twin) -> None:
    chance = random.Random(size)
    data, key = chance.randbytes(size), chance.randbytes(4)
    masked = twin.mask(data, key)
    assert masked == bytes(byte ^ key[index % 4] for index, byte in enumerate(data))
    assert twin.mask(masked, key) == data


def test_a_frame_is_immutable_and_equal_by_what_it_says() -> None:
    one = hubbub.text("früh")
    assert one == hubbub.text("früh".encode())
    assert hash(one) == hash(hubbub.text("früh"))
    assert one != hubbub.binary("früh".encode())
    with pytest.raises(AttributeError):
        one.payload = b"other"
    assert repr(one) == "<Frame text 5 bytes b'fr\\xc3\\xbch'>"
    assert len(one) == 7


@pytest.mark.parametrize("data", [b"\x00\xff", bytearray(b"\x00\xff"), memoryview(b"\x00\xff")])
def test_bytes_of_any_kind_become_binary_messages(data: object) -> None:
    assert frame(data) == hubbub.binary(b"\x00\xff")


def test_what_is_no_message_is_refused_with_advice() -> None:
    with pytest.raises(TypeError, match="encode it first, as JSON"):
        frame({"a": 1})
    with pytest.raises(hubbub.Misuse, match="UTF-8"):
        hubbub.text(b"\xff")


@pytest.mark.parametrize("bits", range(9, 16))
def test_a_compressed_frame_inflates_to_its_payload_and_is_made_once(bits: int) -> None:
    message = hubbub.text("hubbub " * 100)
    data = message._encoded(bits)
    assert data is message._encoded(bits)
    assert data[0] == 0xC1
    ((opcode, payload),) = split(data)
    assert opcode == Opcode.TEXT
    assert zlib.decompressobj(wbits=-bits).decompress(payload + b"\x00\x00\xff\xff") == message.payload


def test_what_does_not_shrink_stays_plain() -> None:
    noise = hubbub.binary(random.Random(1).randbytes(500))
    assert noise._encoded(15) == noise._wire
    short = hubbub.text("aaaa")
    assert short._encoded(15) is short._wire
    assert short._encoded(None) is short._wire


def test_joined_frames_are_split_again() -> None:
    messages = [(1, b""), (2, bytes(125)), (1, bytes(126)), (2, bytes(70000)), (8, b"\x03\xe8")]
    assert list(split(b"".join(encode(opcode, payload) for opcode, payload in messages))) == messages


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536, -1])
def test_close_codes_that_may_not_be_sent_are_refused(code: int) -> None:
    with pytest.raises(hubbub.Misuse, match="may not be sent"):
        close(code)


def test_control_frames_have_at_most_125_bytes() -> None:
    assert len(ping(bytes(125))) == 127
    for make in (ping, pong):
        with pytest.raises(hubbub.Misuse, match="125"):
            make(bytes(126))
    assert len(close(1000, "ü" * 61)) == 126
    with pytest.raises(hubbub.Misuse, match="123"):
        close(1000, "ü" * 62)
