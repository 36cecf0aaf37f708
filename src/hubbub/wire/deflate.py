"""permessage-deflate: RFC 7692. Negotiation, and inflation under a limit. (`frames.Frame` deflates.)"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from hubbub.errors import InvalidPayload, Misuse, PolicyViolation

__all__ = ["INVALID", "Agreed", "Deflate", "Inflater", "negotiate"]

TAIL = b"\x00\x00\xff\xff"  # section 7.2.2: what the sender took off
INVALID = "compressed data that does not inflate to a valid message"


@dataclass(frozen=True, kw_only=True, slots=True)
class Deflate:
    """What a server offers of permessage-deflate.

    Messages to peers are always compressed without context takeover, so that one compression serves everyone.

    Raises: Misuse: window bits outside of 9 to 15.
    """

    client_context_takeover: bool = False
    """Let clients refer to their earlier messages. Compresses chat some 2x better, and costs about 40 KiB for each
    connection that has sent a message."""
    server_window_bits: int = 15
    """Largest window of messages to clients, as a power of two; a client may ask for less."""
    client_window_bits: int = 15
    """Largest window of messages from clients that can be told so."""

    def __post_init__(self) -> None:
        given: tuple[Any, Any] = (self.server_window_bits, self.client_window_bits)
        for bits in given:
            if not isinstance(bits, int) or not 9 <= bits <= 15:
                raise Misuse(f"window bits are 9 to 15, not {bits!r}")


class Agreed(NamedTuple):
    """What was negotiated."""

    server_window_bits: int
    client_window_bits: int
    client_context_takeover: bool


_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105
_PARAMETER = re.compile(rf"[ \t]*;[ \t]*({_TOKEN})(?:[ \t]*=[ \t]*(?:({_TOKEN})|\"((?:[^\"\\]|\\.)*)\"))?")
_NAME = re.compile(rf"[ \t]*({_TOKEN})")
_NEXT = re.compile(r"[ \t]*(?:,|$)")


def negotiate(headers: Iterable[str], settings: Deflate) -> tuple[str, Agreed] | None:
    """Choose the first offer that can be met.

    Args:
        headers: every `Sec-WebSocket-Extensions` header of the request.

    Returns: the answer's header and what it stands for, or None to go without compression: section 7.1.
    """
    for parameters in _offers(", ".join(headers)):
        agreed = _meet(parameters, settings)
        if agreed is None:
            continue
        answer = ["permessage-deflate", "server_no_context_takeover"]
        if not agreed.client_context_takeover:
            answer.append("client_no_context_takeover")
        if agreed.server_window_bits < 15 or any(name == "server_max_window_bits" for name, _ in parameters):
            answer.append(f"server_max_window_bits={agreed.server_window_bits}")
        if agreed.client_window_bits < 15:
            answer.append(f"client_max_window_bits={agreed.client_window_bits}")
        return "; ".join(answer), agreed
    return None


def _offers(header: str) -> Iterator[list[tuple[str, str | None]]]:
    """The parameters of each offer of permessage-deflate. What follows a syntax error is not offered."""
    at = 0
    while (name := _NAME.match(header, at)) is not None:
        parameters: list[tuple[str, str | None]] = []
        at = name.end()
        while (found := _PARAMETER.match(header, at)) is not None:
            quoted = found[3]
            parameters.append((found[1], found[2] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)))
            at = found.end()
        end = _NEXT.match(header, at)
        if end is None:
            return
        at = end.end()
        if name[1].lower() == "permessage-deflate":
            yield parameters


def _meet(parameters: list[tuple[str, str | None]], settings: Deflate) -> Agreed | None:
    """Section 7.1.1 and 7.1.2; None declines the offer."""
    given = dict(parameters)
    if len(given) < len(parameters):
        return None
    server, client, takeover = settings.server_window_bits, 15, settings.client_context_takeover
    for name, value in given.items():
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
            if name.startswith("client"):
                takeover = False
        elif name == "server_max_window_bits":
            if value is None or (bits := _bits(value)) is None or bits < 9:  # zlib makes no raw windows of 8 bits
                return None
            server = min(server, bits)
        elif name == "client_max_window_bits":
            asked = 15 if value is None else _bits(value)
            if asked is None:
                return None
            client = min(asked, settings.client_window_bits)
        else:
            return None
    return Agreed(server, max(client, 8), takeover)


def _bits(value: str) -> int | None:
    return int(value) if re.fullmatch(r"[89]|1[0-5]", value) else None


class _Stream(Protocol):
    """What we use of zlib's decompression object, whose own type has no public name."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class Inflater:
    """Inflates the messages of one connection; holds no zlib object between messages unless context is kept.

    Args:
        max_streams: deflate streams in one message: each end of one (section 7.2.3.4) costs a new zlib object.
    """

    __slots__ = ("_agreed", "_max_streams", "_stream", "_streams")

    def __init__(self, agreed: Agreed, max_streams: int) -> None:
        self._agreed = agreed
        self._max_streams = max_streams
        self._stream: _Stream | None = None
        self._streams = 0

    def inflate(self, data: bytes, room: int) -> bytes:
        """Inflate a part of a message. Never makes more than `room + 1` bytes: more than `room` is too much.

        Raises: InvalidPayload. PolicyViolation.
        """
        try:
            stream = self._stream or self._begin()
            inflated = stream.decompress(data, room + 1)
            while stream.eof and len(inflated) <= room:
                data = stream.unused_data
                stream = self._begin()
                inflated += stream.decompress(data, room + 1 - len(inflated))
        except zlib.error:
            raise InvalidPayload(INVALID) from None
        return inflated

    def end(self, room: int) -> bytes:
        """Inflate what is left at a message's end."""
        inflated = self.inflate(TAIL, room)
        self._streams = 0
        if not self._agreed.client_context_takeover:
            self._stream = None
        return inflated

    def _begin(self) -> _Stream:
        self._streams += 1
        if self._streams > self._max_streams:
            raise PolicyViolation("too many deflate streams in one message")
        self._stream = zlib.decompressobj(wbits=-max(self._agreed.client_window_bits, 9))
        return self._stream
