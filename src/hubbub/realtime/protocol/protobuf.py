"""The Protobuf dialect: each message behind its length as a varint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from hubbub.realtime.protocol.codes import Disconnects, Fault
from hubbub.realtime.protocol.commands import Command
from hubbub.realtime.protocol.records import Record
from hubbub.realtime.protocol.replies import Reply
from hubbub.realtime.protocol.schema import Unreadable, parsed, serialized

__all__ = ["PING", "carries", "commands", "encode", "join", "replies"]

PING = b"\0"
_Kind = TypeVar("_Kind", Command, Reply)


def commands(frame: str | bytes) -> Iterator[Command]:
    """The commands of a frame, each decoded when it is asked for.

    Raises: Fault: 3501: what is no command, empty, or cut off.
    """
    return _messages(frame, Command)


def replies(frame: str | bytes) -> Iterator[Reply]:
    """The replies and pushes of a frame, as a client reads it. Raises: Fault: as of `commands`."""
    return _messages(frame, Reply)


def encode(message: Record) -> bytes:
    """One message, with its length."""
    encoded = serialized(message)
    return _varint(len(encoded)) + encoded


def join(messages: Sequence[bytes]) -> bytes:
    """Messages that wait, as one frame."""
    return b"".join(messages)


def carries(_: bytes) -> bool:
    """Whether this may be the data of something: anything may."""
    return True


def _messages(frame: str | bytes, kind: type[_Kind]) -> Iterator[_Kind]:
    data, at = frame.encode() if isinstance(frame, str) else frame, 0
    if not data:
        raise Fault(Disconnects.BAD_REQUEST, "an empty frame")
    while at < len(data):
        size, at = _length(data, at)
        end = at + size
        if end > len(data):
            raise Fault(Disconnects.BAD_REQUEST, "a message that ends after its frame")
        try:
            message = parsed(data[at:end], kind)
        except Unreadable as error:
            raise Fault(Disconnects.BAD_REQUEST, str(error)) from None
        yield message
        at = end


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A varint of up to five bytes, which is more than any frame has, and where it ends."""
    size = 0
    for count, byte in enumerate(data[at : at + 5]):
        size |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return size, at + count + 1
    raise Fault(Disconnects.BAD_REQUEST, "a message without a length")


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)
