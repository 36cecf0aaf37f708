"""The upgrade as a client sees it."""

from __future__ import annotations

import pytest

from hubbub.errors import Misuse, ProtocolError
from hubbub.load.upgrade import LARGEST, Answer, request
from hubbub.wire import HandshakeReader, accept, accept_key, refuse

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def test_hubbub_reads_the_request() -> None:
    sent = request("/a?b=c", "a.example:1", KEY, [("Authorization", "Bearer x")], ["one", "two"])
    found = HandshakeReader(max_headers=64, max_size=8192).receive(sent)
    assert found is not None
    assert (found.target, found.headers["host"], found.subprotocols) == ("/a?b=c", "a.example:1", ["one", "two"])
    assert found.headers["authorization"] == "Bearer x"
    own = request("/", "a.example", KEY, [("Host", "b.example")], [])
    assert own.count(b"Host:") == 1
    answer = Answer(KEY, ["one", "two"])
    assert answer.receive(accept(found, subprotocol="two") + b"\x81\x00") == b"\x81\x00"


@pytest.mark.parametrize("header", [("a b", ""), ("a", "b\r\nc: d"), ("Connection", "close"), ("", "x"), ("a", "\0")])
def test_headers_that_may_not_be_sent(header: tuple[str, str]) -> None:
    with pytest.raises(Misuse):
        request("/", "a", KEY, [header], [])


def test_subprotocols_are_words() -> None:
    with pytest.raises(Misuse):
        request("/", "a", KEY, [], ["a, b"])


GOOD = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    f"Sec-WebSocket-Accept: {accept_key(KEY)}\r\n\r\n"
)


def test_any_split_of_a_good_answer_does() -> None:
    for at in range(1, len(GOOD)):
        answer = Answer(KEY, [])
        assert answer.receive(GOOD[:at].encode()) is None
        assert answer.receive(GOOD[at:].encode()) == b""


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (refuse(403, [("Error", "no_entry")]).decode(), "refused with HTTP 403 Forbidden, error: no_entry"),
        (refuse(302, [("Location", "/x")]).decode(), "302 Found, location: /x"),
        ("HTTP/1.1 799\r\n\r\n", "HTTP 799"),
        ("SSH-2.0-OpenSSH\r\n", "is not HTTP"),
        ("HTTP/1.1 ok\r\n\r\n", "is not HTTP"),
        ("HTTP/1.1 101 x\r\n" + "a: b\r\n" * LARGEST, "is not HTTP"),
        (GOOD.replace("WebSocket\r", "h2c\r"), "does not upgrade"),
        (GOOD.replace(", Upgrade", ""), "does not upgrade"),
        (GOOD.replace(accept_key(KEY), "x"), "wrong Sec-WebSocket-Accept"),
        (GOOD[:-2] + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", "extension that was not offered"),
        (GOOD[:-2] + "Sec-WebSocket-Protocol: \x1b[2J\r\n\r\n", r"not offered: \x1b[2J"),
    ],
)
def test_any_other_answer_is_an_error_that_says_what_it_is(answer: str, complaint: str) -> None:
    with pytest.raises(ProtocolError) as error:
        Answer(KEY, ["chat"]).receive(answer.encode())
    assert complaint in str(error.value)
