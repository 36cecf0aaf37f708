"""The upgrade: RFC 6455, section 4.2, on the HTTP/1.1 of RFC 9112. Strict, and judged line by line as it comes."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from hashlib import sha1
from http import HTTPStatus
from typing import Any

from hubbub import native
from hubbub.errors import HandshakeError, Misuse
from hubbub.wire.values import Headers, Values, cookies_of, query_of

__all__ = ["HandshakeReader", "Request", "accept", "accept_key", "read_usual", "refuse"]

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
VERSION = "13"

_codec = native.compiled("_codec")
_judge_head: Any = None if _codec is None else _codec.judge_head
_read_head: Any = None if _codec is None else _codec.read_head
_ACCEPT = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_HEADER = re.compile(rb"(" + _TOKEN + rb"):[ \t]*((?:[!-~\x80-\xff]+(?:[ \t]+[!-~\x80-\xff]+)*)?)[ \t]*")
_TARGET = re.compile(rb"(/[!-~]*)|(?:https?|wss?)://[!\"$-.0->@-~]+((?:[/?][!-~]*)?)", re.IGNORECASE)
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_NAME = re.compile(_TOKEN.decode())
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})
_TLS_HELLO = b"\x16"  # the type of its first record; no request begins with that
_NO_TLS = "A TLS hello came to a port without TLS: connect with ws:// instead of wss://.\n"
_NO_KEY = "Missing Sec-WebSocket-Key header.\n"
_NO_UPGRADE = (
    "This is a WebSocket server: open it with a WebSocket client, such as `new WebSocket(url)` in a browser.\n"
    "If you did, a proxy between you and it leaves out the headers Upgrade and Connection, which it has to pass on.\n"
)


class Request:
    """An upgrade request."""

    __slots__ = ("_headers", "_peer", "_query", "target")

    _query: Values

    def __init__(self, target: str, headers: Headers, peer: Any = None) -> None:
        self.target: str = target
        """What was asked for, as sent: the path, and the query behind its question mark."""
        self._headers = headers
        self._peer = peer  # or what tells it

    def __repr__(self) -> str:
        return f"<Request {self.target!r} from {self.peer}>"

    @property
    def headers(self) -> Headers:
        """The headers, as sent."""
        return self._headers

    @property
    def peer(self) -> Any:
        """The client's address, as asyncio gives it: `(host, port)` for TCP."""
        return self._peer() if callable(self._peer) else self._peer

    @peer.setter
    def peer(self, peer: Any) -> None:
        self._peer = peer

    @property
    def path(self) -> str:
        """The path, as sent: not percent-decoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> Values:
        """What follows the question mark, decoded: `request.query["room"]`, or `request.query.get_all("tag")`."""
        try:
            return self._query
        except AttributeError:  # nobody has asked before
            self._query = query_of(self.target.partition("?")[2])
            return self._query

    @property
    def cookies(self) -> Values:
        """The cookies, in the order in which the browser sends them, which is with the nearest path first."""
        return cookies_of(self.headers.get_all("cookie"))

    @property
    def subprotocols(self) -> list[str]:
        """What the client offers to speak, its favourite first; without what is no token, and may not be answered."""
        offers = _tokens(self.headers.get_all("sec-websocket-protocol"))
        return [offer for offer in offers if _NAME.fullmatch(offer)]


class UsualRequest(Request):
    """One that compiled code has judged: its headers are read when somebody asks, and its answer is there already.

    Args:
        head: what the headers are in.
        answer: the whole 101, with nothing but what it needs.
    """

    __slots__ = ("_head", "answer")

    def __init__(self, target: str, head: bytes, answer: bytes) -> None:
        super().__init__(target, _UNREAD)
        self._head = head
        self.answer: bytes = answer

    @property
    def headers(self) -> Headers:
        if self._headers is _UNREAD:
            self._headers = Headers(_read_head(self._head, len(self._head), len(self._head))[1])
        return self._headers


_UNREAD = Headers([])


def read_usual(data: bytes | memoryview, max_headers: int, max_size: int) -> tuple[Request, bytes] | None:
    """The request and what follows it, if all of it is there, right, and in the usual form, and something is compiled;
    else None, and a HandshakeReader is to be asked."""
    if _judge_head is None or (found := _judge_head(data, max_headers, max_size, _ACCEPT)) is None:
        return None
    target, head, answer = found
    rest = b"" if len(head) == len(data) else bytes(data[len(head) :])
    return UsualRequest(target, head, answer), rest


class HandshakeReader:
    """Reads one upgrade request.

    Args:
        max_headers: header lines.
        max_size: bytes of the whole head.
    """

    __slots__ = ("_at", "_buffer", "_max_headers", "_max_size", "_pairs", "_target", "rest")

    def __init__(self, max_headers: int, max_size: int) -> None:
        self._max_headers = max_headers
        self._max_size = max_size
        self._buffer = b""
        self._at = 0  # where the next line begins
        self._target: str | None = None
        self._pairs: list[tuple[str, str]] = []
        self.rest: bytes = b""
        """What followed the head, once it is complete."""

    @property
    def path(self) -> str:
        """What is asked for, without its query; "" if that has not come."""
        return (self._target or "").partition("?")[0]

    def receive(self, data: bytes | memoryview) -> Request | None:
        """The request, as soon as it is complete. `data` may be overwritten after the call.

        Raises: HandshakeError: as soon as the line is complete that says so; any split gives the same error.
        """
        if not self._buffer and (usual := read_usual(data, self._max_headers, self._max_size)) is not None:
            request, self.rest = usual
            return request
        buffer = self._buffer = self._buffer + data
        if buffer.startswith(_TLS_HELLO):
            raise HandshakeError("tls", text=_NO_TLS)
        while (end := buffer.find(b"\n", self._at)) >= 0:
            if end >= self._max_size:
                break
            line, self._at = buffer[self._at : end], end + 1
            if self._take(line):
                self.rest = buffer[self._at :]
                self._buffer = b""
                headers = Headers(self._pairs)
                _judge(headers)
                return Request(str(self._target), headers)
        if len(buffer) > self._max_size:
            raise HandshakeError("headers", status=431)
        return None

    def _take(self, line: bytes) -> bool:
        """Whether the head ends with that line."""
        whole = line.endswith(b"\r")
        content = line[:-1] if whole else line
        if self._target is None:
            if line != b"\r":  # empty lines before a request are passed over: RFC 9112, section 2.2
                self._target = _request_line(content)
        elif whole and content:
            self._header(content)
        if not whole:
            raise HandshakeError("headers")
        return self._target is not None and not content

    def _header(self, line: bytes) -> None:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise HandshakeError("headers")
        if len(self._pairs) >= self._max_headers:
            raise HandshakeError("headers", status=431)
        self._pairs.append((found[1].decode("ascii").lower(), found[2].decode("latin-1")))


def _request_line(line: bytes) -> str:
    """The target. Section 4.2.1, items 1 and 2."""
    method, _, rest = line.partition(b" ")
    if method.upper() != b"GET":
        raise HandshakeError("method")
    target, _, protocol = rest.partition(b" ")
    found = _TARGET.fullmatch(target)
    if found is None:
        raise HandshakeError("path")
    if protocol.upper() != b"HTTP/1.1":
        raise HandshakeError("protocol")
    path = (found[1] or found[2]).decode("ascii")  # the latter is a proxy's form: RFC 9112, section 3.2.2
    return path if path.startswith("/") else f"/{path}"


def _judge(headers: Headers) -> None:
    """Section 4.2.1, items 2 to 6, and no body: what followed it would be taken for frames."""
    keys = headers.get_all("sec-websocket-key")
    upgrades = [token.lower() for token in _tokens(headers.get_all("upgrade"))]
    if not keys and "websocket" not in upgrades:  # what a browser asks for when somebody types the address in
        raise HandshakeError("upgrade", status=426, text=_NO_UPGRADE)
    if len(keys) != 1 or not _is_key(keys[0]):
        raise HandshakeError("key", text="" if keys else _NO_KEY)
    hosts = headers.get_all("host")
    if len(hosts) != 1 or not hosts[0]:
        raise HandshakeError("host")
    versions = headers.get_all("sec-websocket-version")
    if versions != [VERSION]:
        if not any(versions):
            raise HandshakeError("version")
        raise HandshakeError("version", status=426, headers=(("Sec-WebSocket-Version", VERSION),))
    if "websocket" not in upgrades:
        raise HandshakeError("upgrade", text=_NO_UPGRADE)
    if "upgrade" not in map(str.lower, _tokens(headers.get_all("connection"))):
        raise HandshakeError("connection", text=_NO_UPGRADE)
    if headers.get_all("transfer-encoding") or headers.get_all("content-length") not in ([], ["0"]):
        raise HandshakeError("body")


def _tokens(values: list[str]) -> list[str]:
    return [token for value in values for part in value.split(",") if (token := part.strip(" \t"))]


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key.encode("latin-1"), validate=True)) == 16
    except binascii.Error:
        return False


def accept_key(key: str) -> str:
    """The value of `Sec-WebSocket-Accept`: section 4.2.2, item 5."""
    digest = sha1(key.encode("latin-1") + GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False).decode("ascii")


def accept(
    request: Request,
    *,
    subprotocol: str | None = None,
    extensions: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> bytes:
    """The 101 answer. Raises: Misuse: a header that may not be sent."""
    if isinstance(request, UsualRequest):
        usual = request.answer
    else:
        usual = b"%b%b\r\n\r\n" % (_ACCEPT, accept_key(request.headers["sec-websocket-key"]).encode())
    lines = ""
    if subprotocol is not None:
        if not _NAME.fullmatch(subprotocol):
            raise Misuse(f"a subprotocol that may not be sent, for it is no token: {subprotocol!r}")
        lines = _lines((("Sec-WebSocket-Protocol", subprotocol),))
    if extensions is not None:
        lines += _lines((("Sec-WebSocket-Extensions", extensions),))
    if headers:
        lines += _lines(headers)
    return usual[:-2] + f"{lines}\r\n".encode("latin-1") if lines else usual


def refuse(status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> bytes:
    """An HTTP answer that ends the connection instead of upgrading it.

    The headers that frame the body are ours: those given for it are left out. A 426 says what to upgrade to, as
    RFC 9110, section 15.5.22, demands.

    Raises: Misuse: a header that may not be sent.
    """
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Refused"
    kept = [(name, value) for name, value in headers if name.lower() not in _FRAMING]
    connection = "close"
    if status == HTTPStatus.UPGRADE_REQUIRED:
        connection = "Upgrade, close"
        if not any(name.lower() == "upgrade" for name, _ in kept):
            kept.append(("Upgrade", "websocket"))
    lines = _lines((*kept, ("Content-Length", str(len(body))), ("Connection", connection)))
    return f"HTTP/1.1 {status} {phrase}\r\n{lines}\r\n".encode("latin-1") + body


def _lines(headers: Iterable[tuple[str, str]]) -> str:
    answer = ""
    for name, value in headers:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise Misuse(f"a header that may not be sent: {name!r}: {value!r}")
        answer += f"{name}: {value}\r\n"
    return answer
