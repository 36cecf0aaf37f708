"""Channel ids as bytes and back: what every process, and every engine, can agree on.

`str`, `bytes`, `int` and tuples of them keep apart: "1", b"1", 1 and (1,) are four names. What is equal in Python is
one: True is 1.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import cast

from hubbub.arguments import shown

__all__ = ["MOST", "channel_of", "name_of"]

MOST = 2048  # bytes of a name


def name_of(channel: Hashable) -> bytes:
    """The name of a channel: "s:", "b:" or "i:" and the value, or "t:" and the parts, each behind its size.

    Raises: TypeError: an id that no other process would know: neither `str`, `bytes`, `int` nor a tuple of them.
    """
    if isinstance(channel, str):
        return b"s:" + channel.encode("utf-8", "surrogatepass")
    if isinstance(channel, bytes):
        return b"b:" + channel
    if isinstance(channel, int):
        return b"i:%d" % channel
    if isinstance(channel, tuple):
        names = [name_of(part) for part in cast("tuple[Hashable, ...]", channel)]
        return b"t:" + b"".join(b"%d," % len(name) + name for name in names)
    raise TypeError(
        f"with a broker a channel is a str, bytes, an int, or a tuple of them, which other processes know as well,"
        f" not {shown(channel)}"
    )


def channel_of(name: bytes) -> Hashable:
    """The channel with that name. Raises: ValueError: no name of a channel."""
    kind, value = name[:2], name[2:]
    if kind == b"s:":
        return value.decode("utf-8", "surrogatepass")
    if kind == b"b:":
        return value
    if kind == b"i:":
        return int(value)
    if kind != b"t:":
        raise ValueError(f"not the name of a channel: {name[:80]!r}")
    parts: list[Hashable] = []
    while value:
        size, _, value = value.partition(b",")
        parts.append(channel_of(value[: int(size)]))
        value = value[int(size) :]
    return tuple(parts)
