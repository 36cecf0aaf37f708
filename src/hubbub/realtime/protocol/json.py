"""The JSON dialect: messages joined by newlines. What belongs to the application is carried through as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from msgspec import DecodeError, Raw
from msgspec.json import Decoder, Encoder

from hubbub.realtime.protocol.codes import Disconnects, Fault
from hubbub.realtime.protocol.commands import Command
from hubbub.realtime.protocol.records import Record
from hubbub.realtime.protocol.replies import Reply

__all__ = ["MOST_MESSAGES", "PING", "commands", "encode", "is_json", "join", "quoted", "replies"]

MOST_MESSAGES = 4096
"""In one frame: more than 64 KiB hold of any command but a pong. At the limit: disconnect 3501."""
MOST_MENDED = 64 * 1024  # characters of a message that is given a second chance, which takes up to some 3 ms
PING = b"{}"

_Kind = TypeVar("_Kind", Command, Reply)
_encode = Encoder().encode
_commands, _replies = Decoder(Command), Decoder(Reply)
_anything = Decoder(Raw)
_object = Decoder(dict[str, Raw]).decode
_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair of surrogates
    r"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|(?:\\\\)+"  # backslashes themselves
)


def commands(frame: str | bytes) -> Iterator[Command]:
    """The commands of a frame, each decoded when it is asked for.

    Raises: Fault: 3501: what is no JSON, no command, empty, or too many of them.
    """
    return _messages(frame, _commands)


def replies(frame: str | bytes) -> Iterator[Reply]:
    """The replies and pushes of a frame, as a client reads it. Raises: Fault: as of `commands`."""
    return _messages(frame, _replies)


def encode(message: Record) -> bytes:
    """One message. It must hold no data that is not JSON: see `is_json`."""
    encoded = _encode(message)
    # Newlines part messages. Within one they can only come from the application's data, between its values.
    return encoded.replace(b"\n", b"") if b"\n" in encoded else encoded


def join(messages: Sequence[bytes]) -> bytes:
    """Messages that wait, as one frame."""
    return b"\n".join(messages)


def is_json(data: bytes) -> bool:
    """Whether this may be the data of something. What comes in JSON is; what comes in Protobuf may be anything."""
    try:
        data.decode()
        _anything.decode(data)
    except (UnicodeDecodeError, DecodeError, RecursionError):
        return False
    return True


def quoted(data: bytes) -> Raw:
    """The text of a document, or a patch of it, as a JSON string: how subscriptions with deltas have their data.

    Raises: UnicodeDecodeError: a document that is not UTF-8.
    """
    return Raw(_encode(data.decode()))


def _messages(frame: str | bytes, decoder: Decoder[_Kind]) -> Iterator[_Kind]:
    try:
        text = frame if isinstance(frame, str) else frame.decode()
    except UnicodeDecodeError:
        raise Fault(Disconnects.BAD_REQUEST, "a frame that is not UTF-8") from None
    if text.count("\n") > MOST_MESSAGES:
        raise Fault(Disconnects.BAD_REQUEST, f"more than {MOST_MESSAGES} messages in a frame")
    for line in text.removesuffix("\n").split("\n"):
        yield _decoded(line, decoder)


def _decoded(line: str, decoder: Decoder[_Kind]) -> _Kind:
    try:
        return decoder.decode(line)
    except (DecodeError, RecursionError) as error:
        if len(line) <= MOST_MENDED:
            with suppress(DecodeError, RecursionError):
                return decoder.decode(_without_nulls(_without_halves(line)))
        raise Fault(Disconnects.BAD_REQUEST, str(error)) from None


def _without_halves(line: str) -> str:
    """The line, with a replacement character for each half of a surrogate pair.

    Browsers write such halves where a program cuts a text within an emoji, and JSON permits it, but not msgspec.
    """
    return _ESCAPES.sub(lambda found: "\\ufffd" if found["half"] else found[0], line)


def _without_nulls(line: str | Raw, depth: int = 4) -> Raw:
    """The line without fields that are null, as some write those that they leave out. In data null is data.

    Args:
        depth: how far down it looks: a subscription in a connect command is the fourth object.
    """
    kept: dict[str, Raw] = {}
    for name, value in _object(line).items():
        inner = bytes(value)
        if name == "data" or not inner.startswith((b"{", b"null")):
            kept[name] = value
        elif inner != b"null":
            kept[name] = _without_nulls(value, depth - 1) if depth > 1 else value
    return Raw(_encode(kept))
