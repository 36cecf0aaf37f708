"""Who is present, as it lies in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any

from hubbub.brokers.contract import NODE_SIZE, Change, Entry, Presence
from hubbub.brokers.redis.servers import Servers

__all__ = ["alive", "changed", "evicted", "present"]

FORGOTTEN = 90_000  # milliseconds without a sign of life, until any other node may drop what a node has put
TOGETHER = 512  # changes in one call

_size = Struct(">I")


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _value_of(node: bytes, change: Change) -> bytes:
    if change.info is None:
        return b""
    user = _text(change.user)
    return node + _size.pack(len(user)) + user + change.info


def _entry_of(client: bytes, value: bytes) -> Entry | None:
    """None: it is not one of ours."""
    if len(value) < NODE_SIZE + 4:
        return None
    begin = NODE_SIZE + 4
    end = begin + _size.unpack_from(value, NODE_SIZE)[0]
    try:
        user = str(value[begin:end], "utf-8", "surrogatepass")
        return Entry(str(client, "utf-8", "surrogatepass"), user, value[end:], value[:NODE_SIZE])
    except UnicodeDecodeError:
        return None


async def changed(servers: Servers, node: bytes, changes: Sequence[Change]) -> None:
    """Make these changes."""
    by_prefix: dict[bytes, list[Change]] = {}
    for change in changes:
        by_prefix.setdefault(servers.prefix_of(change.channel), []).append(change)
    calls: list[tuple[bytes, list[bytes]]] = []
    for prefix, part in by_prefix.items():
        for at in range(0, len(part), TOGETHER):
            arguments = [node]
            for change in part[at : at + TOGETHER]:
                arguments += [change.channel, _text(change.client), _value_of(node, change)]
            calls.append((prefix, arguments))
    for reply in await servers.calls(b"present", calls):
        if isinstance(reply, Exception):
            raise reply


async def present(servers: Servers, channel: bytes, limit: int | None) -> tuple[Presence, int]:
    """Who is, and how many entries are not ours."""
    most = b"" if limit is None else b"%d" % limit
    clients, users, found = await servers.call(b"presence", servers.prefix_of(channel), channel, most)
    entries = [_entry_of(client, value) for client, value in zip(found[::2], found[1::2], strict=True)]
    known = [entry for entry in entries if entry is not None]
    return Presence(known, clients, users), len(entries) - len(known)


async def evicted(servers: Servers, node: bytes) -> list[Change]:
    """Drop what that node has put, some at a time. Returns what was dropped."""
    gone: list[Change] = []
    for shard in servers.shards:
        for prefix in shard.prefixes:
            channel, cursor, in_pass = b"", b"0", 0
            while True:
                reply: Any = await servers.call(b"evict", prefix, node, channel, cursor, b"%d" % in_pass)
                channel, cursor, dropped = reply
                if not channel:
                    break
                for client, user in zip(dropped[::2], dropped[1::2], strict=True):
                    gone.append(Change(channel, str(client, "utf-8", "surrogatepass"),
                                       str(user, "utf-8", "surrogatepass")))  # fmt: skip
                in_pass = 0 if cursor == b"0" else in_pass + len(dropped)
    return gone


async def alive(servers: Servers, node: bytes) -> set[bytes]:
    """Give a sign of life. Returns the nodes that have not given one for long."""
    prefixes = [prefix for shard in servers.shards for prefix in shard.prefixes]
    replies = await servers.calls(b"alive", [(prefix, [node, b"%d" % FORGOTTEN]) for prefix in prefixes])
    return {silent for reply in replies if not isinstance(reply, Exception) for silent in reply} - {node}
