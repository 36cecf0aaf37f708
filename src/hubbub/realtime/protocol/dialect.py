"""How a session writes: JSON or Protobuf, one interface for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from msgspec import Raw

from hubbub.realtime.protocol import json, protobuf
from hubbub.realtime.protocol.commands import Command
from hubbub.realtime.protocol.records import Record
from hubbub.realtime.protocol.replies import Reply

__all__ = ["JSON", "PROTOBUF", "Dialect"]


class Dialect(NamedTuple):
    """What a session needs of its dialect."""

    name: str
    subprotocol: str
    binary: bool
    """Its frames are binary messages, not text."""
    ping: bytes
    """A ping of the server's; a pong is the same."""
    commands: Callable[[str | bytes], Iterator[Command]]
    """The commands of a frame, each decoded when it is asked for: what is wrong with one is a Fault then, 3501, and
    those before it have been good."""
    replies: Callable[[str | bytes], Iterator[Reply]]
    """The same for clients."""
    encode: Callable[[Record], bytes]
    """One reply, push or command."""
    join: Callable[[Sequence[bytes]], bytes]
    """Messages that wait, as one frame."""
    document: Callable[[bytes], Raw]
    """A document, or a patch of one, as the data of a subscription with deltas."""
    carries: Callable[[bytes], bool]
    """Whether this may be data in it. Of what came in JSON that is known; what came in Protobuf, or as base64, may be
    anything, and whoever could only get it in JSON is disconnected with 3506."""


JSON = Dialect(
    name="json",
    subprotocol="centrifuge-json",
    binary=False,
    ping=json.PING,
    commands=json.commands,
    replies=json.replies,
    encode=json.encode,
    join=json.join,
    document=json.quoted,
    carries=json.is_json,
)
PROTOBUF = Dialect(
    name="protobuf",
    subprotocol="centrifuge-protobuf",
    binary=True,
    ping=protobuf.PING,
    commands=protobuf.commands,
    replies=protobuf.replies,
    encode=protobuf.encode,
    join=protobuf.join,
    document=Raw,
    carries=protobuf.carries,
)
