"""A channel's members, and the shards that they are divided into.

A shard's mailbox is a log: messages are appended once, and each member has a cursor, the number of the first message
that it has not been given yet. Whoever brings a member up to date (a writer, or `Socket.write` and `leave` when they
must not overtake a broadcast) moves its cursor under the hub's lock, so that every message is given once and in
order, and a member that joins later starts at the log's end.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from hubbub.wire import Frame

if TYPE_CHECKING:
    from hubbub.hub.hub import Hub
    from hubbub.hub.outlet import Outlet

__all__ = ["Batch", "Channel", "Entry", "HasOutlet", "Member", "Shard", "Sharding"]

SHARD_SIZE = 4096  # members after which a channel that shards by itself opens another shard
BATCH_SIZE = 256 * 1024  # bytes joined at most: a socket buffer's worth, so that one slice stays short

Sharding = Callable[[Any], int]


class HasOutlet:
    """What a hub asks of a socket."""

    __slots__ = ()
    outlet: Outlet


class Member:
    """One socket in one channel, with the small piece of data given at join. Unpacks as `socket, meta`."""

    __slots__ = ("cursor", "index", "meta", "outlet", "shard", "socket")
    __match_args__ = ("socket", "meta")

    def __init__(self, socket: Any, meta: Any, shard: Shard) -> None:
        self.socket: Any = socket
        self.meta: Any = meta
        self.outlet: Outlet = socket.outlet
        self.shard: Shard = shard
        self.index: int = len(shard.members)
        self.cursor: int = shard.end

    def __iter__(self) -> Iterator[Any]:
        yield self.socket
        yield self.meta

    def __repr__(self) -> str:
        return f"Member(socket={self.socket!r}, meta={self.meta!r})"


class Entry(NamedTuple):
    """A message in a mailbox."""

    frame: Frame
    excluded: frozenset[Outlet]


class Batch:
    """What a writer took from a mailbox: the messages from `start` up to `end`, joined once for each form."""

    __slots__ = ("_forms", "end", "entries", "excluded", "size", "start")

    def __init__(self, start: int, entries: list[Entry]) -> None:
        self.start: int = start
        self.end: int = start + len(entries)
        self.entries: list[Entry] = entries
        self.excluded: frozenset[Outlet] = frozenset().union(*(entry.excluded for entry in entries))
        self._forms: dict[int | None, bytes] = {}
        self.size: int = len(self.joined(None))

    def joined(self, form: int | None) -> bytes:
        """All messages as they go out to sockets of that form: one string of bytes, shared by all of them."""
        data = self._forms.get(form)
        if data is None:
            frames = [entry.frame.encoded(form) for entry in self.entries]
            data = self._forms[form] = frames[0] if len(frames) == 1 else b"".join(frames)
        return data

    def missing(self, member: Member) -> list[Frame]:
        """The messages that this member has not been given yet."""
        first = max(member.cursor - self.start, 0)
        return [entry.frame for entry in self.entries[first:] if member.outlet not in entry.excluded]


class Shard:
    """A part of one channel's members, and the messages waiting to go out to them."""

    __slots__ = ("batch", "channel", "entries", "members", "position", "queued", "size", "start")

    def __init__(self, channel: Channel) -> None:
        self.channel: Channel = channel
        self.members: list[Member] = []  # dense; a member knows its index
        self.entries: list[Entry] = []
        self.start: int = 0  # number of the first entry
        self.size: int = 0  # bytes of the entries
        self.queued: bool = False  # a writer will come, or is here
        self.batch: Batch | None = None  # what the writer is at
        self.position: int = 0  # members below this index are still to be written to

    @property
    def end(self) -> int:
        return self.start + len(self.entries)

    def add(self, member: Member) -> None:
        self.members.append(member)

    def remove(self, member: Member) -> None:
        """Swap-remove. Writers go from the last member to the first, so the one that moves down was served already,
        or its cursor tells that it was not."""
        last = self.members.pop()
        if last is not member:
            self.members[member.index] = last
            last.index = member.index

    def pending(self, member: Member) -> list[Frame]:
        """The messages that this member has not been given yet, and marks them as given."""
        first = member.cursor - self.start
        member.cursor = self.end
        return [entry.frame for entry in self.entries[max(first, 0) :] if member.outlet not in entry.excluded]

    def take(self) -> Batch:
        """Begin the next batch."""
        count = size = 0
        for entry in self.entries:
            size += len(entry.frame.wire)
            if count and size > BATCH_SIZE:
                break
            count += 1
        self.batch = Batch(self.start, self.entries[:count])
        self.position = len(self.members)
        return self.batch

    def slice(self, most: int) -> list[Member]:
        """The next members to write to."""
        low = max(0, self.position - most)
        members = self.members[low : self.position]
        self.position = low
        return members

    def finish(self) -> None:
        """The batch has been given to everyone: forget its messages."""
        assert self.batch is not None
        count = len(self.batch.entries)
        del self.entries[:count]
        self.start += count
        self.size -= self.batch.size
        self.batch = None


class Channel:
    """A named set of members. All of it is read and changed under the hub's lock."""

    __slots__ = ("count", "hub", "id", "shards")

    def __init__(self, hub: Hub, id: Hashable, shards: int) -> None:
        self.hub: Hub = hub
        self.id: Hashable = id
        self.count: int = 0
        self.shards: list[Shard] = [Shard(self) for _ in range(shards)]

    def join(self, socket: Any, meta: Any, most_shards: int) -> Member:
        """Place a new member in the smallest shard, opening one more first if all are full and it may."""
        shard = min(self.shards, key=lambda shard: len(shard.members))
        if len(shard.members) >= SHARD_SIZE and len(self.shards) < most_shards:
            shard = Shard(self)
            self.shards.append(shard)
        member = Member(socket, meta, shard)
        shard.add(member)
        self.count += 1
        return member

    def leave(self, member: Member) -> None:
        member.shard.remove(member)
        self.count -= 1

    def has_room(self, size: int, most: int, most_size: int) -> bool:
        """Whether every shard takes one more message of that size."""
        return all(
            len(shard.entries) < most and (not shard.size or shard.size + size <= most_size) for shard in self.shards
        )

    def post(self, entry: Entry) -> Iterator[Shard]:
        """Append a message to every mailbox with members: all of them in one order, since the hub's lock is held."""
        size = len(entry.frame.wire)
        for shard in self.shards:
            if shard.members:
                shard.entries.append(entry)
                shard.size += size
                yield shard

    def members(self) -> list[Member]:
        """A snapshot."""
        return [member for shard in self.shards for member in shard.members]
