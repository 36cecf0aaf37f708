"""What NATS clients and servers say to each other, the part of it that hubbub needs. Pure, no I/O.

Source: docs.nats.io, "Client Protocol".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["Garbled", "Message", "Other", "Parser", "connect", "header", "publish", "status_of", "value_of"]

LONGEST_LINE = 64 * 1024  # bytes; INFO of a large cluster is the longest
LARGEST = 64 * 1024 * 1024  # bytes of one message: what the protocol allows


class Garbled(Exception):
    """What came is not NATS."""


class Message(NamedTuple):
    """A message of a subscription."""

    subject: bytes
    sid: bytes
    header: bytes
    body: bytes


class Other(NamedTuple):
    """INFO, PING, PONG, +OK or -ERR, and what stands behind it."""

    kind: bytes
    rest: bytes


class Parser:
    """Bytes in, messages out."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[Message | Other]:
        """What is complete by now. Raises: Garbled."""
        buffer = self._buffer + data if self._buffer else data
        at, end = 0, len(buffer)
        while (stop := buffer.find(b"\r\n", at)) >= 0:
            line = buffer[at:stop]
            if line[:4] == b"MSG " or line[:5] == b"HMSG ":
                words = line.split()
                head, size = self._sizes(words)
                begin = stop + 2
                if begin + size + 2 > end:
                    break
                middle, over = begin + head, begin + size
                yield Message(words[1], words[2], buffer[begin:middle], buffer[middle:over])
                at = over + 2
            else:
                kind, _, rest = line.partition(b" ")
                yield Other(kind.upper(), rest)
                at = stop + 2
        else:
            if end - at > LONGEST_LINE:
                raise Garbled(f"a line of more than {LONGEST_LINE} bytes")
        self._buffer = buffer[at:]

    @staticmethod
    def _sizes(words: list[bytes]) -> tuple[int, int]:
        try:
            size = int(words[-1])
            head = int(words[-2]) if words[0] == b"HMSG" else 0
        except ValueError:
            size = head = -1
        if len(words) < 4 or not 0 <= head <= size <= LARGEST:
            raise Garbled("a message without its size")
        return head, size


def connect(**options: Any) -> bytes:
    return b"CONNECT " + json.dumps(options).encode() + b"\r\n"


def publish(subject: bytes, reply: bytes, head: bytes, body: bytes) -> bytes:
    """`head` is b"" or what `header` made."""
    if head:
        return b"HPUB %b %b %d %d\r\n%b%b\r\n" % (subject, reply, len(head), len(head) + len(body), head, body)
    return b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(body), body)


def header(**values: bytes) -> bytes:
    """Underscores in the names stand for hyphens."""
    lines = [b"%b: %b\r\n" % (name.replace("_", "-").encode(), value) for name, value in values.items()]
    return b"NATS/1.0\r\n%b\r\n" % b"".join(lines)


def value_of(head: bytes, name: bytes) -> bytes:
    """The last one with that name, which is the server's where a client has set one as well; b"": there is none."""
    at = head.rfind(b"\r\n" + name + b": ")
    if at < 0:
        return b""
    begin = at + len(name) + 4
    return head[begin : head.find(b"\r\n", begin)].strip()


def status_of(head: bytes) -> int:
    """Such as 404; 0: it is an ordinary message."""
    words = head[8:12]
    return int(words) if words[:1] == b" " and words[1:].isdigit() else 0
