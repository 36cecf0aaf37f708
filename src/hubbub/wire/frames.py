"""Frames: RFC 6455, section 5.2. Encoding only; `reader.py` decodes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING, Any, cast

from hubbub import native
from hubbub.arguments import shown
from hubbub.errors import Misuse
from hubbub.wire import masking
from hubbub.wire.received import sendable

__all__ = ["Frame", "Opcode", "binary", "close", "encode", "frame", "mask", "ping", "pong", "split", "text"]

COMPRESSED_FROM = 64  # bytes: what is shorter seldom shrinks, and costs the peer an inflation all the same
STEP = 1024 * 1024  # bytes compressed at once
_SHORT = [bytes([0x81, size]) for size in range(126)]
_pack16, _pack64 = Struct("!BBH").pack, Struct("!BBQ").pack
_codec = native.compiled("_codec")
mask: Callable[[bytes, bytes], bytes] = masking.mask if _codec is None else _codec.mask
"""XOR with a key of four bytes, repeated: section 5.3."""


class Opcode(IntEnum):
    """Section 5.2 and 11.8."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


TEXT, BINARY = Opcode.TEXT, Opcode.BINARY  # members of an Enum take a while to look up


class _Encoded:
    """What a Frame holds."""

    __slots__ = ("_deflated", "_wire", "opcode", "payload")

    opcode: Opcode
    payload: bytes
    _wire: bytes
    _deflated: dict[int, bytes] | None

    def __init__(self, opcode: Opcode, payload: bytes) -> None:
        put = object.__setattr__
        put(self, "opcode", opcode)
        put(self, "payload", payload)
        put(self, "_wire", encode(opcode, payload))
        put(self, "_deflated", None)

    def _keep(self, form: int, data: bytes) -> bytes:
        """The bytes for that form: these, unless some are kept already."""
        if self._deflated is None:
            object.__setattr__(self, "_deflated", {})
        assert self._deflated is not None
        return self._deflated.setdefault(form, data)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Frame is immutable: make another one instead of setting {name}")


if TYPE_CHECKING or _codec is None:  # noqa: SIM108  a type checker follows this, and not the other
    Encoded = _Encoded
else:
    Encoded = _codec.Encoded


class Frame(Encoded):
    """One message, encoded once, immutable, ready for any number of sockets. Made by `text` and `binary`."""

    __slots__ = ()

    def _encoded(self, form: int | None) -> bytes:
        """The bytes for a peer that negotiated so many window bits of permessage-deflate; None for plain.

        It is compressed once per form and without context takeover, which is legal for every such peer (RFC 7692,
        section 7.1.1.1), so all of them share the bytes. What does not shrink stays plain. A MiB takes some 10 to 60 ms
        of this thread, the first time.
        """
        if form is None or len(self.payload) < COMPRESSED_FROM:
            return self._wire
        kept = self._deflated
        data = None if kept is None else kept.get(form)
        return self._keep(form, self._deflate(form)) if data is None else data

    def _ready(self, form: int | None) -> bytes:
        """As `_encoded`, but plain, which every peer takes, where it has not been compressed for that form yet."""
        kept = self._deflated
        return self._wire if form is None or kept is None else kept.get(form, self._wire)

    def _deflate(self, form: int) -> bytes:
        """In steps, and joined at the end: for nothing of this does a large message hold up other threads."""
        compressor = zlib.compressobj(wbits=-form)
        payload = memoryview(self.payload)
        parts = [compressor.compress(payload[at : at + STEP]) for at in range(0, len(payload), STEP)]
        parts.append(compressor.flush(zlib.Z_SYNC_FLUSH)[:-4])
        size = sum(map(len, parts))
        if size >= len(self.payload):
            return self._wire
        return b"".join((_head(0xC0 | self.opcode, size), *parts))

    def __len__(self) -> int:
        return len(self._wire)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frame) and (self.opcode, self.payload) == (other.opcode, other.payload)

    def __hash__(self) -> int:
        return hash((self.opcode, self.payload))

    def __repr__(self) -> str:
        shown = self.payload if len(self.payload) <= 32 else self.payload[:32] + b"..."
        return f"<Frame {self.opcode.name.lower()} {len(self.payload)} bytes {shown!r}>"


def text(data: str | bytes) -> Frame:
    """A text message, ready to be sent to any number of sockets.

    Raises: Misuse: bytes that are not UTF-8.
    """
    if isinstance(data, str):
        return Frame(Opcode.TEXT, str.encode(data))
    try:
        str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise Misuse(f"a text message is UTF-8: {error}") from None
    return Frame(Opcode.TEXT, bytes(memoryview(data)))


def binary(data: bytes | bytearray | memoryview) -> Frame:
    """A binary message, ready to be sent to any number of sockets."""
    return Frame(Opcode.BINARY, data if type(data) is bytes else bytes(memoryview(data)))


def frame(data: object) -> Frame:
    """`str` as text, bytes as binary, subclasses of them as well, a Frame as it is.

    Raises: TypeError: anything else.
    """
    if type(data) is str:  # the usual one first
        return Frame(TEXT, data.encode())
    if isinstance(data, Frame):
        return data
    if isinstance(data, str):
        return Frame(TEXT, str.encode(data))
    if isinstance(data, bytes):
        return Frame(
            BINARY, data if type(data) is bytes else bytes(memoryview(data))
        )  # not a subclass with ways of its own
    if isinstance(data, bytearray | memoryview):
        return Frame(BINARY, bytes(cast("bytes", data)))
    raise TypeError(f"a message is str, bytes or a Frame, not {type(data).__name__}: encode it first, as JSON for one")


def encode(
    opcode: int, payload: bytes, *, fin: bool = True, rsv1: bool = False, mask_key: bytes | None = None
) -> bytes:
    """One frame, with the length in its shortest form.

    Args:
        rsv1: the payload is compressed (RFC 7692, section 6).
        mask_key: four bytes that a client must choose at random for every frame; None for a server's.
    """
    first = (0x80 if fin else 0) | (0x40 if rsv1 else 0) | opcode
    size = len(payload)
    if mask_key is None:
        head = _head(first, size)
        return head + payload if size < 65536 else b"".join((head, payload))  # which lets other threads run
    if size < 126:
        head = bytes((first, 0x80 | size))
    else:
        head = _pack16(first, 254, size) if size < 65536 else _pack64(first, 255, size)
    return head + mask_key + mask(payload, mask_key)


def _head(first: int, size: int) -> bytes:
    if size < 126:
        return _SHORT[size] if first == 0x81 else bytes((first, size))
    return _pack16(first, 126, size) if size < 65536 else _pack64(first, 127, size)


def split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Opcode and payload of each frame of our own encoding: whole, unmasked and uncompressed."""
    at = 0
    while at < len(data):
        size, start = data[at + 1], at + 2
        if size >= 126:
            start = at + (4 if size == 126 else 10)
            size = int.from_bytes(data[at + 2 : start], "big")
        yield data[at] & 0x0F, data[start : start + size]
        at = start + size


def ping(payload: bytes = b"") -> bytes:
    """A ping frame: section 5.5.2. Raises: Misuse: more than 125 bytes."""
    return _control(Opcode.PING, payload)


def pong(payload: bytes = b"") -> bytes:
    """A pong frame: section 5.5.3. Raises: Misuse: more than 125 bytes."""
    return _control(Opcode.PONG, payload)


def close(code: int | None = None, reason: str = "") -> bytes:
    """A close frame: section 5.5.1.

    Args:
        code: None for a frame without a code, and then without a reason.
        reason: at most 123 bytes of UTF-8.

    Raises: Misuse: a code that may not be sent, or a reason that is too long.
    """
    if code is None:
        return _control(Opcode.CLOSE, b"")
    given: Any = code
    if not isinstance(given, int) or isinstance(given, bool) or not sendable(given):
        raise Misuse(f"close code {shown(given)} may not be sent: use 1000 to 1014 less 1004 to 1006, or 3000 to 4999")
    try:
        said = str.encode(reason)
    except (TypeError, UnicodeEncodeError):
        raise Misuse(
            f"a close reason is text that UTF-8 can carry, not {shown(reason)}; leave it out for none"
        ) from None
    if len(said) > 123:
        raise Misuse(f"a close reason has at most 123 bytes of UTF-8, not {len(said)}")
    return _control(Opcode.CLOSE, code.to_bytes(2, "big") + said)


def _control(opcode: Opcode, payload: bytes) -> bytes:
    if len(payload) > 125:
        raise Misuse(f"a control frame has at most 125 bytes, not {len(payload)}")
    return bytes((0x80 | opcode, len(payload))) + payload
