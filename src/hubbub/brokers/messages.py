"""What a relay and its nodes say to each other over their socket: MessagePack, each message behind its size.

A node asks, numbered, and the relay answers with the number; besides, it tells what happens. Both sides check what
comes against the types here: a message that does not fit ends the connection.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

import msgspec

from hubbub.brokers.contract import Change, History, Outgoing, Page, Position, Presence, Publication, Published

__all__ = [
    "Answer",
    "Answered",
    "Ask",
    "Controlled",
    "Gone",
    "Hello",
    "Refused",
    "Reply",
    "Request",
    "Told",
    "Welcome",
    "cut",
    "framed",
    "packed",
    "reply_from",
    "request_from",
]

VERSION = 1
MOST = 256 * 1024 * 1024  # bytes of one message: a batch of the largest publications

_size = Struct("!I")


class Message(msgspec.Struct, array_like=True, gc=False):
    """An array, its first element the tag."""


class Packed(Message):
    """An Outgoing."""

    channel: bytes
    body: bytes
    id: bytes
    size: int = 0
    ttl: float = 0.0
    key: str = ""
    version: int = 0
    version_epoch: str = ""

    def opened(self) -> Outgoing:
        history = History(self.size, self.ttl) if self.size else None
        return Outgoing(self.channel, self.body, self.id, history, self.key, self.version, self.version_epoch)


def packed(new: Outgoing) -> Packed:
    history = new.history
    size, ttl = (history.size, history.ttl) if history is not None else (0, 0.0)
    return Packed(new.channel, new.body, new.id, size, ttl, new.key, new.version, new.version_epoch)


# Of a node


class Hello(Message, tag=0):
    """The first message."""

    version: int
    node: bytes


class Append(Message, tag=1):
    batch: list[Packed]


class Subscribe(Message, tag=2):
    channels: list[bytes]


class Unsubscribe(Message, tag=3):
    channels: list[bytes]


class Positions(Message, tag=4):
    channels: list[bytes]


class Read(Message, tag=5):
    channel: bytes
    since: Position | None
    limit: int | None
    reverse: bool


class Forget(Message, tag=6):
    channel: bytes


class Present(Message, tag=7):
    changes: list[Change]


class Who(Message, tag=8):
    channel: bytes
    limit: int | None


class Evict(Message, tag=9):
    node: bytes


class Control(Message, tag=10):
    data: bytes
    node: bytes | None


class Check(Message, tag=11):
    pass


Ask = Append | Subscribe | Unsubscribe | Positions | Read | Forget | Present | Who | Evict | Control | Check


class Request(Message, tag=20):
    """A numbered question."""

    number: int
    ask: Ask


# Of a relay


class Welcome(Message, tag=30):
    """The answer to Hello."""

    version: int
    pid: int


class Appended(Message, tag=31):
    results: list[Published | None]
    failure: str = ""
    """Why those were refused that have None."""


class Stand(Message, tag=32):
    positions: list[Position | None]


class Found(Message, tag=33):
    page: Page


class Here(Message, tag=34):
    presence: Presence


class Dropped(Message, tag=35):
    changes: list[Change]


class Checked(Message, tag=36):
    lines: list[tuple[str, str, str, bool]]


class Done(Message, tag=37):
    pass


class Refused(Message, tag=38):
    """It could not be done."""

    reason: str


Answer = Appended | Stand | Found | Here | Dropped | Checked | Done | Refused


class Answered(Message, tag=40):
    """The answer with that number."""

    number: int
    answer: Answer


class Told(Message, tag=41):
    """Publications of a channel."""

    channel: bytes
    batch: list[Publication]


class Controlled(Message, tag=42):
    node: bytes
    data: bytes


class Gone(Message, tag=43):
    node: bytes


Reply = Welcome | Answered | Told | Controlled | Gone

_encode = msgspec.msgpack.Encoder().encode
request_from: Any = msgspec.msgpack.Decoder(Hello | Request).decode
reply_from: Any = msgspec.msgpack.Decoder(Reply).decode


def framed(message: Message) -> bytes:
    """The message's bytes on the socket."""
    data = _encode(message)
    return _size.pack(len(data)) + data


def cut(buffer: bytearray) -> list[bytes]:
    """The whole messages in the buffer, which keeps what is left over. Raises: ValueError: one is too large."""
    found: list[bytes] = []
    at, end = 0, len(buffer)
    while end - at >= 4:
        (size,) = _size.unpack_from(buffer, at)
        if size > MOST:
            raise ValueError(f"a message of {size} bytes")
        if end - at - 4 < size:
            break
        found.append(bytes(buffer[at + 4 : at + 4 + size]))
        at += 4 + size
    del buffer[:at]
    return found
