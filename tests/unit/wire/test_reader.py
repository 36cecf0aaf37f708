"""What a peer's bytes come to: RFC 6455, sections 5 to 8. Faults are named as early as they can be known."""

from __future__ import annotations

import tracemalloc
import zlib
from typing import Any

import pytest

from hubbub.errors import InvalidPayload, MessageTooBig, PeerError, PolicyViolation, ProtocolError
from hubbub.wire import Agreed, Close, Event, Failure, Ping, Pong, Protocol
from support.client import encode

pytestmark = pytest.mark.usefixtures("twin")

BOTH = Agreed(server_window_bits=15, client_window_bits=15, client_context_takeover=False)


def receive(*chunks: bytes, agreed: Agreed | None = None, **limits: Any) -> list[Event]:
    settings = {"max_message_size": 1000, "max_fragments": 10, **limits}
    protocol = Protocol(agreed=agreed, **settings)
    return [event for chunk in chunks for event in protocol.receive(chunk)]


def fault(*chunks: bytes, **settings: Any) -> tuple[type[PeerError], str]:
    *before, last = receive(*chunks, **settings)
    assert not [event for event in before if isinstance(event, Failure)]
    assert isinstance(last, Failure)
    assert last.reply[2:4] == last.error.code.to_bytes(2, "big")
    return type(last.error), str(last.error)


def deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 1000])
def test_messages_of_any_length(size: int) -> None:
    assert receive(encode(2, bytes(size))) == [bytes(size)]
    assert receive(encode(1, b"x" * size)) == ["x" * size]


def test_several_messages_in_one_read_and_one_that_is_not_finished() -> None:
    data = encode(1, b"one") + encode(2, b"two") + encode(1, b"three")
    assert receive(data[:-1]) == ["one", b"two"]
    assert receive(data[:-1], data[-1:]) == ["one", b"two", "three"]


def test_fragments_are_put_together_with_control_frames_between_them() -> None:
    parts = [
        encode(1, b"fr", fin=False),
        encode(9, b"?"),
        encode(0, "ü".encode()[:1], fin=False),
        encode(10, b"!"),
        encode(0, "ü".encode()[1:] + b"h"),
    ]
    assert receive(*parts) == [Ping(b"?"), Pong(b"!"), "früh"]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (encode(1, b"x", rsv=4)[:1], "a reserved bit"),
        (encode(1, b"x", rsv=2)[:1], "a reserved bit"),
        (encode(1, b"x", rsv=1)[:1], "a reserved bit"),
        (encode(3, b"x")[:1], "a reserved opcode"),
        (encode(7, b"x")[:1], "a reserved opcode"),
        (encode(11, b"x")[:1], "a reserved opcode"),
        (encode(15, b"x")[:1], "a reserved opcode"),
        (encode(9, b"x", fin=False)[:1], "a fragmented control frame"),
        (encode(0, b"x")[:1], "a continuation of nothing"),
        (encode(1, b"x", fin=False) + encode(1, b"y")[:1], "a new message inside a fragmented one"),
        (encode(1, b"x", key=None)[:2], "an unmasked frame"),
        (encode(9, bytes(126))[:2], "a control frame of more than 125 bytes"),
        (b"\x82\xfe\x00\x7d", "a length that is not in its shortest form"),
        (b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff", "a length that is not in its shortest form"),
        (b"\x82\xff\x80", "a length of more than 63 bits"),
        (encode(8, b"x"), "a close frame of one byte"),
    ],
)
def test_what_the_protocol_forbids_fails_before_the_rest_comes(data: bytes, what: str) -> None:
    kind, said = fault(data)
    assert kind is ProtocolError
    assert what in said
    if len(data) > 1:  # and no sooner than it is known
        assert not receive(data[:-1])


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_close_codes_that_may_not_be_sent(code: int) -> None:
    assert fault(encode(8, code.to_bytes(2, "big")))[0] is ProtocolError


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 4999])
def test_close_codes_that_may(code: int) -> None:
    (event,) = receive(encode(8, code.to_bytes(2, "big") + b"why"))
    assert event == Close(code, "why", b"\x88\x02" + code.to_bytes(2, "big"))


def test_a_close_without_a_code_is_1005_and_answered_alike() -> None:
    assert receive(encode(8, b"")) == [Close(1005, "", b"\x88\x00")]


def test_a_close_reason_is_utf8() -> None:
    assert fault(encode(8, b"\x03\xe8\xff"))[0] is InvalidPayload


def test_nothing_after_a_close_or_a_fault_is_looked_at() -> None:
    assert len(receive(encode(8, b"") + encode(1, b"more"), encode(1, b"more"))) == 1
    assert len(receive(b"\xff" + encode(1, b"more"), encode(1, b"more"))) == 1


@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90", b"a\x80"])
def test_text_that_is_not_utf8_fails_at_the_first_bad_byte(bad: bytes) -> None:
    unfinished = encode(1, bad + bytes(500))[: 8 + len(bad)]
    assert fault(unfinished)[0] is InvalidPayload
    assert fault(encode(1, bad, fin=False))[0] is InvalidPayload
    assert fault(encode(1, bad))[0] is InvalidPayload


def test_text_that_ends_within_a_character_fails_at_its_end() -> None:
    euro = "€".encode()
    assert receive(encode(1, euro[:2], fin=False)) == []
    assert fault(encode(1, euro[:2]))[0] is InvalidPayload
    assert fault(encode(1, euro[:2], fin=False), encode(0, b""))[0] is InvalidPayload


@pytest.mark.parametrize("size", [1001, 65536, 2**40])
def test_a_frame_that_is_too_big_fails_at_its_length(size: int) -> None:
    start = encode(2, b"")[:1] + (
        b"\xfe" + size.to_bytes(2, "big") if size < 65536 else b"\xff" + size.to_bytes(8, "big")
    )
    assert fault(start)[0] is MessageTooBig


def test_a_message_that_grows_too_big_fails_at_the_length_of_the_frame_that_does_it() -> None:
    assert fault(encode(2, bytes(600), fin=False), encode(0, bytes(401))[:4])[0] is MessageTooBig
    assert receive(encode(2, bytes(600), fin=False), encode(0, bytes(400))) == [bytes(1000)]


@pytest.mark.parametrize("payload", [b"", b"x"], ids=["empty", "tiny"])
def test_a_message_has_so_many_fragments(payload: bytes) -> None:
    nine = [encode(2, payload, fin=False), *[encode(0, payload, fin=False)] * 8]
    assert receive(*nine, encode(0, payload)) == [payload * 10]
    assert fault(*nine, encode(0, payload, fin=False), encode(0, payload))[0] is PolicyViolation


def test_compressed_messages_are_inflated_whole_and_in_fragments() -> None:
    data = deflate(b"hubbub " * 50)
    assert receive(encode(1, data, rsv=4), agreed=BOTH) == ["hubbub " * 50]
    parts = [encode(2, data[:3], fin=False, rsv=4), encode(9, b""), encode(0, data[3:])]
    assert receive(*parts, agreed=BOTH) == [Ping(b""), b"hubbub " * 50]
    assert receive(encode(1, b"plain"), agreed=BOTH) == ["plain"]
    assert receive(encode(1, b"\x00", rsv=4), agreed=BOTH) == [""]


@pytest.mark.parametrize(
    "data",
    [encode(9, b"", rsv=4), encode(1, b"", fin=False, rsv=4) + encode(0, b"", rsv=4)],
    ids=["control", "continuation"],
)
def test_only_a_messages_first_frame_may_be_marked_as_compressed(data: bytes) -> None:
    assert fault(data, agreed=BOTH)[0] is ProtocolError


def test_data_that_does_not_inflate_or_inflates_to_bad_text() -> None:
    assert fault(encode(2, b"\xff\xff\xff\xff", rsv=4), agreed=BOTH)[0] is InvalidPayload
    assert fault(encode(1, deflate(b"\xff" * 50), rsv=4), agreed=BOTH)[0] is InvalidPayload


def test_an_inflate_bomb_stops_at_the_limit_and_costs_no_more_memory() -> None:
    limit = 100_000
    bomb = encode(2, deflate(bytes(200 * limit)), rsv=4)
    assert len(bomb) < limit
    tracemalloc.start()
    try:
        assert fault(bomb, agreed=BOTH, max_message_size=limit)[0] is MessageTooBig
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * limit


def test_streams_that_end_and_begin_again_within_a_message_are_counted() -> None:
    compressor = zlib.compressobj(wbits=-15)
    ended = compressor.compress(b"x") + compressor.flush(zlib.Z_FINISH)
    assert receive(encode(2, ended * 5, rsv=4), agreed=BOTH) == [b"xxxxx"]
    assert fault(encode(2, ended * 50, rsv=4), agreed=BOTH)[0] is PolicyViolation


def test_context_is_kept_between_messages_where_that_was_agreed() -> None:
    compressor = zlib.compressobj(wbits=-15)
    first, second = (
        (compressor.compress(b"the same words again") + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4] for _ in range(2)
    )
    assert len(second) < len(first)
    kept = BOTH._replace(client_context_takeover=True)
    assert receive(encode(1, first, rsv=4), encode(1, second, rsv=4), agreed=kept) == ["the same words again"] * 2
    assert fault(encode(1, first, rsv=4), encode(1, second, rsv=4), agreed=BOTH)[0] is InvalidPayload


def test_one_byte_at_a_time_costs_one_buffer() -> None:
    data = encode(2, bytes(50_000))
    protocol = Protocol(max_message_size=100_000, max_fragments=10)
    tracemalloc.start()
    try:
        events = [event for index in range(len(data)) for event in protocol.receive(data[index : index + 1])]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert events == [bytes(50_000)]
    assert peak < 300_000
