"""The Protobuf dialect: the same messages, each behind its length."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from hubbub.errors import Misuse
from hubbub.realtime.protocol import (
    PROTOBUF,
    Command,
    Disconnects,
    Errors,
    Fault,
    Publication,
    Unsubscribe,
    push,
    reply,
    schema,
)
from hubbub.realtime.protocol.commands import (
    ConnectRequest,
    HistoryRequest,
    PublishRequest,
    StreamPosition,
    SubscribeRequest,
)
from hubbub.realtime.protocol.replies import (
    ClientInfo,
    ConnectResult,
    HistoryResult,
    Join,
    PresenceResult,
    PresenceStatsResult,
    PublishResult,
    SubscribeResult,
)

pytest.importorskip("google.protobuf", reason="pip install 'hubbub[realtime]'")
INFO = ClientInfo(user="u", client="c", conn_info=Raw(b"\xff"))


def only(frame: bytes | str) -> Command:
    (command,) = PROTOBUF.commands(frame)
    return command


# Written out by hand from the encoding's rules: a field is its number * 8 + 2 and a length, or + 0 and a varint.
@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (Command(id=1, connect=ConnectRequest()), "04 08 01 22 00"),
        (Command(id=300, subscribe=SubscribeRequest(channel="a", recover=True, offset=5)),
         "0c 08 ac 02 2a 07 0a 01 61 18 01 38 05"),
        (Command(id=1, publish=PublishRequest(channel="a", data=Raw(b"\x00"))), "0a 08 01 3a 06 0a 01 61 12 01 00"),
        (Command(id=1, history=HistoryRequest(limit=-1, since=StreamPosition(epoch="e"))),
         "14 08 01 52 10 38 ff ff ff ff ff ff ff ff ff 01 42 03 12 01 65"),
        (reply(2, Errors.BAD_REQUEST), "13 08 02 12 0f 08 6b 12 0b 62 61 64 20 72 65 71 75 65 73 74"),
        (reply(2, PublishResult()), "04 08 02 42 00"),
        (reply(2, ConnectResult(ping=25, pong=True)), "08 08 02 2a 04 38 19 40 01"),
        (push(Publication(data=Raw(b"x"), offset=1), "c"), "0c 22 0a 12 01 63 22 05 22 01 78 30 01"),
        (push(Unsubscribe(code=2000, reason="x"), "c"), "0d 22 0b 12 01 63 3a 06 10 d0 0f 1a 01 78"),
    ],
)  # fmt: skip
def test_messages_on_the_wire(message: Any, wire: str) -> None:
    encoded = PROTOBUF.encode(message)
    assert encoded == bytes.fromhex(wire)
    read = PROTOBUF.commands if isinstance(message, Command) else PROTOBUF.replies
    assert list(read(encoded)) == [message]


@pytest.mark.parametrize(
    "message",
    [
        reply(1, HistoryResult(publications=[Publication(info=INFO, tags={"a": ""})], epoch="e", offset=2**64 - 1)),
        reply(1, HistoryResult(publications=[], epoch="", offset=0)),
        reply(1, PresenceResult(presence={"c": INFO})),
        reply(1, PresenceResult(presence={})),
        reply(1, PresenceStatsResult(num_clients=0, num_users=0)),
        reply(1, ConnectResult(subs={"a": SubscribeResult(publications=[Publication(offset=1, epoch="e")])})),
        push(Join(info=INFO), "ch"),
        push(Join(info=ClientInfo(user="", client="")), "ch"),
    ],
)
def test_what_was_written_is_read(message: Any) -> None:
    assert list(PROTOBUF.replies(PROTOBUF.encode(message))) == [message]


def test_a_frame_has_several_commands_in_order() -> None:
    frame = PROTOBUF.join([PROTOBUF.encode(Command(id=1, connect=ConnectRequest(token="t" * 300))), b"\0"])
    first, second = PROTOBUF.commands(frame)
    assert first.connect == ConnectRequest(token="t" * 300)
    assert second.pong


def test_a_ping_is_one_byte() -> None:
    assert PROTOBUF.ping == b"\0"
    assert list(PROTOBUF.replies(PROTOBUF.ping)) == [type(reply(0, PublishResult()))()]


def test_unknown_fields_are_passed_over() -> None:
    assert only(bytes.fromhex("08 08 01 f2 07 03 61 62 63")).id == 1


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x05",
        b"\x05\x08\x01",
        b"\x80",
        b"\xff" * 20,
        b"\x80\x80\x80\x80\x80\x80\x01",
        b"\xff\xff\xff\xff\x0f\x08",
        b"\x01\x08",
        b"\x02\x08\x96",
        b"\x02\x22\x05",
        b"\x05\x3a\x03\x0a\x01\xff",
        b"\x01\xff",
        b"\x00\xff",
        "ÿ",
    ],
)
def test_what_is_no_command_is_a_bad_request(frame: bytes | str) -> None:
    with pytest.raises(Fault) as raised:
        list(PROTOBUF.commands(frame))
    assert raised.value.verdict is Disconnects.BAD_REQUEST


def test_filters_that_hold_each_other_too_deeply_are_refused() -> None:
    node = b""
    for _ in range(5000):
        node = b"\x32" + _varint(len(node)) + node
    for tag in (b"\x6a", b"\x2a"):
        node = tag + _varint(len(node)) + node
    with pytest.raises(Fault):
        list(PROTOBUF.commands(_varint(len(node)) + node))


def test_an_offset_is_at_most_what_brokers_count_to() -> None:
    wire = bytes.fromhex("0f 08 01 2a 0b 38 ff ff ff ff ff ff ff ff ff 01")
    assert only(wire).subscribe.offset == 2**63 - 1  # type: ignore[union-attr]


def test_a_join_without_info_is_one_of_nobody() -> None:
    (read,) = PROTOBUF.replies(bytes.fromhex("04 22 02 2a 00"))
    assert read == push(Join(info=ClientInfo(user="", client="")))


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(schema, "import_module", missing)
    schema._runtime.cache_clear()
    with pytest.raises(Misuse, match=r"hubbub\[realtime\]"):
        PROTOBUF.encode(Command())
    monkeypatch.undo()
    assert PROTOBUF.encode(Command()) == PROTOBUF.ping


def _varint(number: int) -> bytes:
    low, number = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(number) if number else bytes([low])
