"""The compiled codec against the pure Python one, which is its specification: whatever comes, both say the same."""

from __future__ import annotations

import itertools
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.wire import Agreed, handshake
from support.client import encode
from support.streams import AGREED, GOOD, corrupted, heads, keys, split, upgrade
from support.twins import outcome, twin_named

PYTHON = twin_named("python")
try:
    COMPILED = twin_named("compiled")
except ImportError as reason:
    pytest.skip(f"there is no compiled part here: {reason}", allow_module_level=True)

EDGES = [0, 1, 7, 8, 9, 125, 126, 127, 65535, 65536, 70000]  # where the form of a length or a loop changes
cuts = st.lists(st.integers(0, 100_000), max_size=8)


def same(reads: list[bytes], size: int, fragments: int, agreed: Agreed | None) -> list[object]:
    """What both say, as bytes for the one and as an overwritten buffer for the other."""
    expected = outcome(PYTHON, reads, size, fragments, agreed)
    shared = memoryview(bytearray(max([1, *map(len, reads)])))

    def landed() -> Any:
        for data in reads:
            shared[: len(data)] = data
            yield shared[: len(data)]
            shared[:] = bytes(len(shared))

    assert outcome(COMPILED, landed(), size, fragments, agreed) == expected
    return expected


@given(corrupted(), st.integers(1, 700), st.integers(1, 5), AGREED, cuts)
def test_right_and_wrong_streams(
    data: bytes, size: int, fragments: int, agreed: Agreed | None, places: list[int]
) -> None:
    same([data], size, fragments, agreed)
    same(split(data, places), size, fragments, agreed)
    same([data[index : index + 1] for index in range(len(data))], size, fragments, agreed)


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(1, 100), AGREED)
def test_noise(reads: list[bytes], size: int, agreed: Agreed | None) -> None:
    same(reads, size, 3, agreed)


@given(
    st.lists(st.tuples(st.sampled_from(EDGES), st.sampled_from(["a", "é", "€", "😀"]), st.booleans()), max_size=4),
    st.sampled_from(EDGES[1:]),
    keys,
    cuts,
)
def test_lengths_about_every_edge(
    messages: list[tuple[int, str, bool]], limit: int, key: bytes, places: list[int]
) -> None:
    data = b"".join(
        encode(1 if text else 2, (letter * size).encode()[:size], key=key) for size, letter, text in messages
    )
    same(split(data, places), limit, 2, None)


@given(st.text(max_size=300), st.integers(1, 300), st.integers(9, 15), st.booleans(), cuts)
def test_compressed_text_about_the_limit(text: str, size: int, bits: int, takeover: bool, places: list[int]) -> None:
    compressor = zlib.compressobj(wbits=-bits)
    data = b""
    for _ in range(2):
        deflated = (compressor.compress(text.encode()) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
        data += encode(1, deflated[:5], fin=False, rsv=4) + encode(9, b"?") + encode(0, deflated[5:])
    same(split(data, places), size, 3, Agreed(15, bits, takeover))


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_any_bytes_as_text_in_two_fragments(first: bytes, second: bytes) -> None:
    reads = [encode(1, first, fin=False), encode(0, second)]
    same([b"".join(reads)], 100, 3, None)
    whole = same([encode(1, first + second)], 100, 3, None)
    try:
        assert whole == [[(str, (first + second).decode())], False]
    except UnicodeDecodeError:
        assert whole[-1] == "text that is not UTF-8"


LEADS = (
    0x00,
    0x7F,
    0x80,
    0xBF,
    0xC0,
    0xC1,
    0xC2,
    0xDF,
    0xE0,
    0xE1,
    0xEC,
    0xED,
    0xEE,
    0xEF,
    0xF0,
    0xF1,
    0xF3,
    0xF4,
    0xF5,
    0xFF,
)
NEXT = bytes.fromhex("7f 80 8f 90 9f a0 bf c0")  # both sides of every bound of table 3-7


@pytest.mark.parametrize("prefix", [b"", b"x", b"12345678", "é".encode()], ids=["", "one", "word", "two"])
def test_utf8_fails_at_the_same_byte_for_every_combination_of_bounds(prefix: bytes) -> None:
    for sequence in itertools.product(LEADS, NEXT, NEXT, (0x80,)):
        data = encode(1, prefix + bytes(sequence) + bytes(9))[:-9]
        start = len(data) - 4
        same([data[:start], *(data[index : index + 1] for index in range(start, start + 4))], 100, 3, None)


def test_every_character() -> None:
    everything = "".join(map(chr, itertools.chain(range(0xD800), range(0xE000, 0x110000))))
    payload = everything.encode()
    middle = len(payload) // 2 + 1
    data = encode(1, payload[:middle], fin=False) + encode(0, payload[middle:])
    assert same([data], len(payload), 2, None) == [[(str, everything)], False]


def same_head(data: bytes, max_headers: int = 8, max_size: int = 400) -> None:
    """What the compiled one reads, the Python one reads alike; it leaves whatever is wrong to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handshake, "_judge_head", None)
        expected = upgrade([data], max_headers, max_size)
    assert COMPILED.read_head is not None
    found = COMPILED.read_head(data, max_headers, max_size)
    if found is not None:
        target, pairs, size = found
        assert (target, pairs, data[size:]) == expected


@given(heads(), st.integers(1, 8), st.integers(1, 300))
def test_right_and_wrong_heads(data: bytes, max_headers: int, max_size: int) -> None:
    same_head(data, max_headers, max_size)
    same_head(data)


@pytest.mark.parametrize("limit", range(5))
def test_heads_about_their_limits(limit: int) -> None:
    same_head(GOOD, max_size=len(GOOD) - 2 + limit)
    same_head(GOOD, max_headers=4 + limit)


@pytest.mark.parametrize("place", range(0, len(GOOD), 10))
def test_any_byte_at_any_place_of_a_head(place: int) -> None:
    for at in range(place, min(place + 10, len(GOOD))):
        for byte in range(256):
            same_head(GOOD[:at] + bytes([byte]) + GOOD[at + 1 :])
