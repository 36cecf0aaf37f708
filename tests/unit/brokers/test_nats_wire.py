"""NATS' protocol: the parser, however its bytes arrive."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.brokers.nats.wire import Garbled, Message, Other, Parser, connect, header, publish, status_of, value_of

STREAM = (
    b'INFO {"version":"2.15.1"}\r\nPING\r\n'
    b"MSG a.b 1 5\r\nhello\r\n"
    b"MSG a.b 12 re.ply 0\r\n\r\n"
    b"HMSG a 3 22 27\r\nNATS/1.0\r\nA: b\r\nC:\r\n\r\nbo\r\ny\r\n"
    b"+OK\r\n-ERR 'Authorization Violation'\r\npong\r\n"
)
SAID = [
    Other(b"INFO", b'{"version":"2.15.1"}'),
    Other(b"PING", b""),
    Message(b"a.b", b"1", b"", b"hello"),
    Message(b"a.b", b"12", b"", b""),
    Message(b"a", b"3", b"NATS/1.0\r\nA: b\r\nC:\r\n\r\n", b"bo\r\ny"),
    Other(b"+OK", b""),
    Other(b"-ERR", b"'Authorization Violation'"),
    Other(b"PONG", b""),
]


@given(st.lists(st.integers(0, len(STREAM))))
def test_it_is_the_same_however_the_bytes_arrive(cuts: list[int]) -> None:
    parser, said = Parser(), []
    places = [0, *sorted(cuts), len(STREAM)]
    for begin, end in pairwise(places):
        said += list(parser.feed(STREAM[begin:end]))
    assert said == SAID


def test_it_is_the_same_byte_by_byte() -> None:
    parser = Parser()
    assert [said for byte in STREAM for said in parser.feed(bytes([byte]))] == SAID


@pytest.mark.parametrize("line", [b"MSG a 1 x", b"MSG a 1 -1", b"MSG 1", b"HMSG a 1 9 3", b"MSG a 1 99999999999"])
def test_a_message_without_a_sensible_size_is_garbled(line: bytes) -> None:
    with pytest.raises(Garbled):
        list(Parser().feed(line + b"\r\n"))


def test_a_line_without_an_end_is_garbled() -> None:
    with pytest.raises(Garbled):
        list(Parser().feed(b"x" * 100_000))


@given(st.binary())
def test_no_other_error_escapes(data: bytes) -> None:
    with suppress(Garbled):
        list(Parser().feed(data))


def test_what_we_say() -> None:
    assert publish(b"s", b"r", b"", b"body") == b"PUB s r 4\r\nbody\r\n"
    head = header(Nats_Msg_Id=b"k")
    assert publish(b"s", b"r", head, b"body") == b"HPUB s r 28 32\r\nNATS/1.0\r\nNats-Msg-Id: k\r\n\r\nbody\r\n"
    assert json.loads(connect(user='"\r\n').partition(b" ")[2]) == {"user": '"\r\n'}


def test_what_headers_say() -> None:
    head = b"NATS/1.0\r\nNats-Sequence: 1\r\nNats-Sequence: 27\r\nX: y\r\n\r\n"
    assert value_of(head, b"Nats-Sequence") == b"27"
    assert value_of(head, b"Sequence") == b""
    assert status_of(head) == 0
    assert status_of(b"NATS/1.0 404 Message Not Found\r\n\r\n") == 404
    assert status_of(b"NATS/1.0 503\r\n\r\n") == 503
