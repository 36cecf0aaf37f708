"""The client's side of the upgrade: RFC 6455, section 4.1. Pure: the request as bytes, the answer judged."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus

from hubbub.errors import Misuse, ProtocolError
from hubbub.logs import printable
from hubbub.wire import Headers, accept_key

__all__ = ["Answer", "request"]

LARGEST = 64 * 1024  # bytes of an answer's head: proxies send cookies, but not more than this
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_OURS = frozenset({"upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"})


def request(
    resource: str, authority: str, key: str, headers: Iterable[tuple[str, str]], subprotocols: Iterable[str]
) -> bytes:
    """The upgrade request. Raises: Misuse: a header that may not be sent."""
    lines = [f"GET {resource} HTTP/1.1"]
    names: set[str] = set()
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value) or name.lower() in _OURS:
            raise Misuse(f"a header that may not be sent: {name!r}: {value!r}")
        names.add(name.lower())
        lines.append(f"{name}: {value}")
    if "host" not in names:
        lines.insert(1, f"Host: {authority}")
    offered = list(subprotocols)
    if offered:
        if not all(_TOKEN.fullmatch(name) for name in offered):
            raise Misuse(f"a subprotocol is a word, unlike one of {offered}")
        lines.append(f"Sec-WebSocket-Protocol: {', '.join(offered)}")
    lines += ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Answer:
    """Reads the server's answer, as it comes.

    Args: key: what was sent as `Sec-WebSocket-Key`.
    """

    __slots__ = ("_accept", "_buffer", "_offered")

    def __init__(self, key: str, subprotocols: Iterable[str]) -> None:
        self._accept = accept_key(key)
        self._offered = frozenset(subprotocols)
        self._buffer = b""

    def receive(self, data: bytes) -> bytes | None:
        """What follows the answer, once it is complete and accepts.

        Raises: ProtocolError: it refuses, or is no answer; the text says in a line what it is.
        """
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if end:
            self._judge(head.decode("latin-1"))
            return rest
        if len(self._buffer) > LARGEST or not b"HTTP/1.1 ".startswith(self._buffer[:9]):
            raise ProtocolError("the answer is not HTTP")
        return None

    def _judge(self, head: str) -> None:
        first, *lines = head.split("\r\n")
        found = re.fullmatch(r"HTTP/1\.1 (\d{3})(?: .*)?", first)
        if found is None:
            raise ProtocolError("the answer is not HTTP")
        fields = [line.partition(":") for line in lines]
        headers = Headers([(name.lower(), value.strip()) for name, _, value in fields])
        if found[1] != "101":
            raise ProtocolError(f"refused with HTTP {_status(int(found[1]))}{_cause(headers)}")
        chosen = headers.get("sec-websocket-protocol")
        if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in headers.get("connection", "").lower():
            raise ProtocolError("the answer does not upgrade to WebSocket")
        if headers.get("sec-websocket-accept") != self._accept:
            raise ProtocolError("the answer has a wrong Sec-WebSocket-Accept")
        if "sec-websocket-extensions" in headers:
            raise ProtocolError("the answer chooses an extension that was not offered")
        if chosen is not None and chosen not in self._offered:
            raise ProtocolError(f"the answer chooses a subprotocol that was not offered: {printable(chosen)}")


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _cause(headers: Headers) -> str:
    """Where the server says why, as hubbub does, or where else to go."""
    for name in ("error", "location"):
        if name in headers:
            return f", {name}: {printable(headers[name])}"
    return ""
