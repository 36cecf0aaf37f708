"""The upgrade: RFC 6455, section 4.2, with the heads that browsers send."""

from __future__ import annotations

import base64
import hashlib

import pytest

import hubbub
from hubbub.errors import HandshakeError
from hubbub.wire import HandshakeReader, Request, accept, accept_key, refuse
from support.twins import Twin

pytestmark = pytest.mark.usefixtures("twin")

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GOOD = {
    "Host": "server.example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}
FIREFOX = f"""GET /chat?room=1 HTTP/1.1
Host: 127.0.0.1:4545
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0
Accept: */*
Accept-Language: en-US,en;q=0.5
Accept-Encoding: gzip, deflate, br, zstd
Sec-WebSocket-Version: 13
Origin: http://127.0.0.1:4545
Sec-WebSocket-Extensions: permessage-deflate
Sec-WebSocket-Key: {KEY}
DNT: 1
Connection: keep-alive, Upgrade
Cookie: a=b; c=d
Sec-Fetch-Dest: empty
Sec-Fetch-Mode: websocket
Sec-Fetch-Site: same-origin
Pragma: no-cache
Cache-Control: no-cache
Upgrade: websocket
"""
CHROMIUM = f"""GET /chat?room=1 HTTP/1.1
Host: 127.0.0.1:4545
Connection: Upgrade
Pragma: no-cache
Cache-Control: no-cache
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36
Upgrade: websocket
Origin: http://127.0.0.1:4545
Sec-WebSocket-Version: 13
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-US,en;q=0.9
Sec-WebSocket-Key: {KEY}
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits
"""
SAFARI = f"""GET /chat?room=1 HTTP/1.1
Host: 127.0.0.1:4545
Sec-WebSocket-Key: {KEY}
Sec-WebSocket-Version: 13
Upgrade: websocket
Sec-WebSocket-Extensions: permessage-deflate
Cache-Control: no-cache
Pragma: no-cache
Connection: Upgrade
User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15
"""


def head(first: str = "GET / HTTP/1.1", lines: tuple[str, ...] = (), **changes: str | None) -> bytes:
    """A request; headers are changed by name with underscores, None leaves one out."""
    headers = dict(GOOD)
    for name, value in changes.items():
        headers.pop(name := name.replace("_", "-"))
        if value is not None:
            headers[name] = value
    return "\r\n".join([first, *(f"{k}: {v}" for k, v in headers.items()), *lines, "", ""]).encode("latin-1")


def read(data: bytes, max_headers: int = 64, max_size: int = 8192) -> Request | None:
    return HandshakeReader(max_headers, max_size).receive(data)


def cause(data: bytes, **limits: int) -> tuple[str, int]:
    with pytest.raises(HandshakeError) as caught:
        read(data, **limits)
    return caught.value.cause, caught.value.status


@pytest.mark.parametrize("filler", range(0, 256, 15))
def test_each_key_has_its_answer(filler: int) -> None:
    key = base64.b64encode(bytes([filler, *range(filler, filler + 15)] if filler < 240 else [filler] * 16)).decode()
    request = read(head(Sec_WebSocket_Key=key))
    assert request is not None
    digest = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
    assert accept(request).decode() == (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {digest}\r\n\r\n"
    )
    more = accept(request, subprotocol="a", extensions="b", headers=[("X", "y")]).decode()
    assert more.endswith(
        f"Accept: {digest}\r\nSec-WebSocket-Protocol: a\r\nSec-WebSocket-Extensions: b\r\nX: y\r\n\r\n"
    )


@pytest.mark.parametrize("text", [FIREFOX, CHROMIUM, SAFARI], ids=["firefox", "chromium", "safari"])
def test_browsers_are_understood(text: str, twin: Twin) -> None:
    data = text.replace("\n", "\r\n").encode() + b"\r\n"
    if twin.read_head is not None:
        assert twin.read_head(data, 64, 8192) is not None, "the usual request is what it is for"
    request = read(data)
    assert request is not None
    assert (request.path, dict(request.query), request.target) == ("/chat", {"room": "1"}, "/chat?room=1")
    assert request.headers["HOST"] == "127.0.0.1:4545"
    assert "permessage-deflate" in request.headers["sec-websocket-extensions"]


@pytest.mark.parametrize(
    "data",
    [
        head(),
        head("get / http/1.1"),
        head("GET http://server.example.com/ HTTP/1.1"),
        head(Connection="keep-alive, Upgrade"),
        head(Connection="KEEP-ALIVE,uPGRADE"),
        head(Connection=None, lines=("connection: keep-alive", "CONNECTION: upgrade")),
        head(Upgrade="h2c, WebSocket"),
        head(Upgrade=None, lines=("upgrade: h2c", "Upgrade: websocket")),
        head(lines=("Content-Length: 0",)),
        head(lines=("X-Empty:", "X-Blank:   ", "X-Padded: \t a b \t")),
        head(lines=("X-Latin: \xe4",)),
    ],
)
def test_what_is_right_in_any_form_is_accepted(data: bytes) -> None:
    request = read(data)
    assert request is not None
    assert request.path == "/"


@pytest.mark.parametrize("method", ["", " ", "POST", "post", "g_et", " get"])
def test_another_method_is_refused(method: str) -> None:
    assert cause(head(f"{method} / HTTP/1.1")) == ("method", 400)


@pytest.mark.parametrize("path", ["", " ", "chat", "*", "ftp://a/", "/\x01", "/#part\x7f"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    assert cause(head(f"GET {path} HTTP/1.1")) == ("path", 400)


@pytest.mark.parametrize("protocol", ["http/1.0", "http/1.1a", "", " ", "HTTP/2", "HTTP/1.1 "])
def test_another_protocol_is_refused(protocol: str) -> None:
    assert cause(head(f"GET / {protocol}")) == ("protocol", 400)


@pytest.mark.parametrize(
    "line",
    [
        "hi",
        ": value",
        "na me: x",
        "name : x",
        " folded: x",
        "\tfolded",
        "a: b\x00c",
        "a: \x1b[31m",
        "a: b\rc",
        "ä: x",
        "a: \x7f",
    ],
)
def test_a_header_line_that_is_none_is_refused(line: str) -> None:
    assert cause(head(lines=(line,))) == ("headers", 400)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\nHost: x\n\n", b"GET / HTTP/1.1\r\nHost: x\n\r\n"])
def test_bare_line_feeds_are_refused(data: bytes) -> None:
    assert cause(data) == ("headers", 400)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (head(Sec_WebSocket_Key=None), "key"),
        (head(Sec_WebSocket_Key="c2hvcnQ="), "key"),
        (head(Sec_WebSocket_Key="not base64 of 16 bytes!!"), "key"),
        (head(lines=(f"Sec-WebSocket-Key: {KEY}",)), "key"),
        (head(Host=None), "host"),
        (head(Host=""), "host"),
        (head(lines=("Host: other.example.com",)), "host"),
        (head(Sec_WebSocket_Version=None), "version"),
        (head(Sec_WebSocket_Version=""), "version"),
        (head(Upgrade=None), "upgrade"),
        (head(Upgrade="websockets"), "upgrade"),
        (head(Connection=None), "connection"),
        (head(Connection="keep-alive"), "connection"),
        (head(lines=("Content-Length: 5",)), "body"),
        (head(lines=("Transfer-Encoding: chunked",)), "body"),
        (head(lines=("Content-Length: 0", "Content-Length: 5")), "body"),
    ],
)
def test_what_is_missing_or_wrong_is_named(data: bytes, expected: str) -> None:
    assert cause(data) == (expected, 400)


@pytest.mark.parametrize("version", ["8", "12", "14", "13, 8", "x"])
def test_another_version_gets_426_and_is_told_which_we_speak(version: str) -> None:
    with pytest.raises(HandshakeError) as caught:
        read(head(Sec_WebSocket_Version=version))
    assert (caught.value.cause, caught.value.status) == ("version", 426)
    assert caught.value.headers == (("Sec-WebSocket-Version", "13"),)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /favicon.ico HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nAccept: text/html\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    ],
)
def test_a_request_that_is_no_websockets_is_told_what_this_is(data: bytes) -> None:
    with pytest.raises(HandshakeError) as caught:
        read(data)
    assert (caught.value.cause, caught.value.status) == ("upgrade", 426)
    assert "WebSocket client" in caught.value.text
    assert ("Content-Type", "text/plain; charset=utf-8") in caught.value.headers


@pytest.mark.parametrize("missing", ["Upgrade", "Connection"])
def test_what_a_proxy_has_left_out_is_explained(missing: str) -> None:
    with pytest.raises(HandshakeError) as caught:
        read(head(**{missing: None}))
    assert (caught.value.cause, caught.value.status) == (missing.lower(), 400)
    assert "a proxy between you and it leaves out the headers" in caught.value.text


def test_a_426_says_what_to_upgrade_to() -> None:
    answer = refuse(426, (("Sec-WebSocket-Version", "13"),))
    assert b"\r\nUpgrade: websocket\r\n" in answer
    assert b"\r\nConnection: Upgrade, close\r\n" in answer
    assert refuse(426, (("Upgrade", "h2c"),)).count(b"Upgrade: ") == 1
    assert b"Upgrade:" not in refuse(400)


def test_a_request_without_a_key_is_told_so_in_words() -> None:
    with pytest.raises(HandshakeError) as caught:
        read(head(Sec_WebSocket_Key=None))
    assert (caught.value.cause, caught.value.status) == ("key", 400)
    assert caught.value.text == "Missing Sec-WebSocket-Key header.\n"


def test_a_hello_of_tls_is_told_at_its_first_byte() -> None:
    with pytest.raises(HandshakeError) as caught:
        read(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert (caught.value.cause, caught.value.status) == ("tls", 400)
    assert "ws://" in caught.value.text


@pytest.mark.parametrize("before", [b"\r\n", b"\r\n\r\n"])
def test_empty_lines_before_a_request_are_passed_over(before: bytes) -> None:
    for chunks in (
        [before + head() + b"rest"],
        [before, head() + b"rest"],
        [before[:1], before[1:] + head() + b"rest"],
    ):
        reader = HandshakeReader(64, 8192)
        found = [reader.receive(chunk) for chunk in chunks][-1]
        assert found is not None
        assert (found.path, reader.rest) == ("/", b"rest")


def test_empty_lines_without_end_are_too_many() -> None:
    assert cause(b"\r\n" * 5000) == ("headers", 431)
    reader = HandshakeReader(64, 8192)
    for _ in range(4096):
        assert reader.receive(b"\r\n") is None
    with pytest.raises(HandshakeError, match="headers"):
        reader.receive(b"\r\n")
    assert cause(b"\n" + head()) == ("method", 400)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("ws://example.com", "/", ""),
        ("WS://example.com:80", "/", ""),
        ("http://example.com?a=b/c", "/", "a=b/c"),
        ("wss://example.com/", "/", ""),
        ("http://example.com/chat?x?y", "/chat", "x?y"),
        ("http://[::1]:80/chat", "/chat", ""),
        ("/chat?http://example.com", "/chat", "http://example.com"),
    ],
)
def test_a_target_is_a_path_whatever_its_form(target: str, path: str, query: str) -> None:
    request = read(head(f"GET {target} HTTP/1.1"))
    assert request is not None
    assert (request.path, request.target.partition("?")[2]) == (path, query)


@pytest.mark.parametrize("target", ["ws://", "ws:///", "ws://?x", "example.com", "?x", "mailto:a"])
def test_a_target_that_has_no_host_or_path_is_refused(target: str) -> None:
    assert cause(head(f"GET {target} HTTP/1.1")) == ("path", 400)


def test_a_subprotocol_that_is_no_token_is_never_answered() -> None:
    request = read(head(lines=("Sec-WebSocket-Protocol: chat, a b, x;q=1, \xe4, <i>, , v1.chat",)))
    assert request is not None
    assert request.subprotocols == ["chat", "v1.chat"]
    for chosen in ("a b", "x;q=1", "", "a,b", "ä", "a\r\nX: y"):
        with pytest.raises(hubbub.Misuse, match="may not be sent"):
            accept(request, subprotocol=chosen)


def test_floods_of_headers_get_431() -> None:
    many = tuple(f"X-{number}: y" for number in range(60))
    assert cause(head(lines=many)) == ("headers", 431)
    assert cause(head(lines=("X-Long: " + "y" * 9000,))) == ("headers", 431)
    assert cause(b"GET /" + b"x" * 9000) == ("headers", 431)
    assert read(head(lines=many[:59])) is not None


def test_a_bad_line_is_refused_before_the_rest_comes() -> None:
    assert cause(b"POST / HTTP/1.1\r\n") == ("method", 400)
    assert cause(b"GET / HTTP/1.1\r\nhi\r\n") == ("headers", 400)
    assert read(b"POST / HTTP/1.1\r") is None


def test_what_follows_the_head_is_kept() -> None:
    reader = HandshakeReader(64, 8192)
    assert reader.receive(head() + b"\x81\x80") is not None
    assert reader.rest == b"\x81\x80"


def test_headers_are_found_whatever_their_case() -> None:
    request = read(
        head(lines=("X-Thing: one", "x-thing: two", "Sec-WebSocket-Protocol: a, b", "sec-websocket-protocol: c"))
    )
    assert request is not None
    headers = request.headers
    assert headers["x-THING"] == "one, two"
    assert headers.get_all("X-Thing") == ["one", "two"]
    assert headers.get("nothing") is None
    assert "Host" in headers
    assert "nothing" not in headers
    with pytest.raises(KeyError):
        headers["nothing"]
    assert len(headers) == 7
    assert list(headers)[:2] == ["host", "upgrade"]
    assert request.subprotocols == ["a", "b", "c"]


def test_the_key_is_answered_as_the_standard_shows() -> None:
    assert accept_key(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_answer_has_what_was_chosen() -> None:
    request = read(head())
    assert request is not None
    answer = accept(request, subprotocol="chat", extensions="permessage-deflate", headers=(("X-Mine", "1"),))
    assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert answer.endswith(b"\r\nX-Mine: 1\r\n\r\n")
    assert b"\r\nSec-WebSocket-Protocol: chat\r\n" in answer
    assert b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n" in answer


@pytest.mark.parametrize(
    ("name", "value"), [("X", "a\r\nB: c"), ("X\r\nB", "c"), ("X", "a\nb"), ("", "a"), ("X", "\x00")]
)
def test_headers_cannot_be_injected(name: str, value: str) -> None:
    request = read(head())
    assert request is not None
    with pytest.raises(hubbub.Misuse, match="may not be sent"):
        accept(request, headers=((name, value),))
    with pytest.raises(hubbub.Misuse, match="may not be sent"):
        refuse(400, ((name, value),))


def test_a_refusal_frames_its_own_body() -> None:
    answer = refuse(401, (("Content-Length", "99"), ("Transfer-Encoding", "chunked"), ("X", "y")), b"no")
    assert answer == b"HTTP/1.1 401 Unauthorized\r\nX: y\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    assert refuse(499).startswith(b"HTTP/1.1 499 Refused\r\n")
