"""What a real-time server's events are to a broker: bodies of publications, in MessagePack, and names of channels.

A channel has two names at the broker: of its publications, which are numbered and may be kept, and of what goes beside
them, which is neither: who joins and leaves, and publications that are not to be kept.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from hubbub.realtime.protocol import ClientInfo, Publication, raw

__all__ = [
    "Came",
    "Event",
    "Joined",
    "Left",
    "Sent",
    "Went",
    "beside",
    "body_of",
    "channel_of",
    "event_of",
    "info_of",
    "name_of",
    "publication_of",
    "sessions_of",
]

Info = tuple[str, str, bytes, bytes]


class Sent(Struct, array_like=True, tag=1, gc=False):
    """A publication: data, by whom, tags, and whether it may be sent as a patch."""

    data: bytes
    info: Info | None = None
    tags: dict[str, str] = {}
    delta: bool = False


class Joined(Struct, array_like=True, tag=2, gc=False):
    info: Info


class Left(Struct, array_like=True, tag=3, gc=False):
    info: Info


class Came(Struct, array_like=True, tag=4, gc=False):
    """A user's first session of a node."""

    info: Info
    node: bytes


class Went(Struct, array_like=True, tag=5, gc=False):
    """The last one is no more."""

    info: Info
    node: bytes


Event = Sent | Joined | Left | Came | Went

body_of: Callable[[Event], bytes] = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], Event] = msgspec.msgpack.Decoder(Event).decode


def event_of(body: bytes) -> Event:
    """Raises: ValueError: no body of an event."""
    return _decode(body)


def name_of(channel: str) -> bytes:
    """What the broker knows the channel's publications by."""
    return b"r:" + channel.encode("utf-8", "surrogatepass")


def channel_of(name: bytes) -> str | None:
    """The channel whose publications the broker knows by that name; None: no channel's."""
    return name[2:].decode("utf-8", "surrogatepass") if name[:2] == b"r:" else None


def beside(channel: str) -> bytes:
    """What the broker knows by what goes beside them."""
    return b"j:" + channel.encode("utf-8", "surrogatepass")


def sessions_of(user: str) -> bytes:
    """What presence knows a user's sessions by, where these are counted."""
    return b"u:" + user.encode("utf-8", "surrogatepass")


def info_of(info: Info) -> ClientInfo:
    return ClientInfo(user=info[0], client=info[1], conn_info=raw(info[2]), chan_info=raw(info[3]))


def publication_of(sent: Sent, offset: int = 0, epoch: str = "") -> Publication:
    """As the protocol has it. The epoch is told by the first one of a history."""
    return Publication(
        data=raw(sent.data),
        info=None if sent.info is None else info_of(sent.info),
        offset=offset,
        tags=sent.tags,
        epoch=epoch if offset == 1 else "",
    )
