"""Shards for outlets over transports: the event loop writes them.

A mailbox is a log: messages are appended once, and each member has a cursor, the number of the first message that it
has not been given yet. Whoever brings a member up to date (a writer, or `Socket.write` and `leave` when they must not
overtake a broadcast) moves its cursor under the lock, so that every message is given once and in order, and a
member that joins later starts at the log's end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, Union

from hubbub.wire import Frame

if TYPE_CHECKING:
    from hubbub.hub.channel import Channel, Seat
    from hubbub.hub.outlet import AnyOutlet
    from hubbub.hub.writers import Writers
    from hubbub.native._fanout import Entry as CompiledEntry

__all__ = ["AnyEntry", "Batch", "Entry", "Mailbox"]

BATCH_SIZE = 256 * 1024  # bytes joined at most: a socket buffer's worth, so that one slice stays short


class Entry:
    """A message in mailboxes: one for all shards of a channel, made before the lock is taken."""

    __slots__ = ("excluded", "frame")

    def __init__(self, frame: Frame, excluded: frozenset[AnyOutlet]) -> None:
        self.frame: Frame = frame
        self.excluded: frozenset[AnyOutlet] = excluded


AnyEntry: TypeAlias = Union[Entry, "CompiledEntry"]


class Batch:
    """What a writer takes from a mailbox: the messages from `start` up to `end`, joined once for each form."""

    __slots__ = ("_forms", "end", "entries", "excluded", "size", "start")

    def __init__(self, start: int, entries: list[AnyEntry]) -> None:
        self.start: int = start
        self.end: int = start + len(entries)
        self.entries: list[AnyEntry] = entries
        self.excluded: frozenset[AnyOutlet] = frozenset().union(*(entry.excluded for entry in entries))
        self._forms: dict[int | None, bytes] = {}
        self.size: int = len(self.joined(None))

    def joined(self, form: int | None) -> bytes:
        """All messages as they go out to sockets of that form: one string of bytes, shared by all of them."""
        data = self._forms.get(form)
        if data is None:
            frames = [entry.frame._ready(form) for entry in self.entries]
            data = self._forms[form] = frames[0] if len(frames) == 1 else b"".join(frames)
        return data

    def missing(self, member: Seat) -> list[Frame]:
        """The messages that this member has not been given yet."""
        first = max(member.cursor - self.start, 0)
        return [entry.frame for entry in self.entries[first:] if member.outlet not in entry.excluded]


class Mailbox:
    """A shard: some members of one channel, and the messages waiting to go out to them."""

    __slots__ = ("batch", "channel", "entries", "members", "position", "queued", "size", "start", "writers")

    def __init__(self, writers: Writers, channel: Channel) -> None:
        self.writers: Writers = writers
        self.channel: Channel = channel
        self.members: list[Seat] = []  # dense; a member knows its index
        self.entries: list[AnyEntry] = []
        self.start: int = 0  # number of the first entry
        self.size: int = 0  # bytes of the entries
        self.queued: bool = False  # a writer will come, or is here
        self.batch: Batch | None = None  # what the writer is at
        self.position: int = 0  # members below this index are still to be written to

    @property
    def end(self) -> int:
        return self.start + len(self.entries)

    def add(self, member: Seat) -> None:
        member.index = len(self.members)
        member.cursor = self.end
        self.members.append(member)

    def remove(self, member: Seat) -> None:
        """Swap-remove. Writers go from the last member to the first, so the one that moves down was served already,
        or its cursor tells that it was not."""
        self.give_pending(member)
        last = self.members.pop()
        if last is not member:
            self.members[member.index] = last
            last.index = member.index

    def post(self, entry: AnyEntry) -> None:
        self.entries.append(entry)
        self.size += len(entry.frame._wire)
        self.writers.wake(self)

    def has_room(self, size: int) -> bool:
        limits = self.writers.limits
        return len(self.entries) < limits.max_mailbox and (not self.size or self.size + size <= limits.max_mailbox_size)

    def wait_for_room(self, size: int, seconds: float) -> None:
        self.writers.wait_for_room(seconds)

    def give_pending(self, member: Seat) -> None:
        """Give a member what it has not been given yet."""
        if not self.entries or member.cursor >= self.end:
            return
        first = max(member.cursor - self.start, 0)
        member.cursor = self.end
        frames = [entry.frame for entry in self.entries[first:] if member.outlet not in entry.excluded]
        if frames:
            self.writers.count(member.outlet.deliver(frames, self.channel.id))

    def next(self) -> Batch:
        """The batch at hand, or the next one. Without the lock, by the one thread that makes and ends batches."""
        if self.batch is not None:
            return self.batch
        count = size = 0
        for entry in self.entries:
            size += len(entry.frame._wire)
            if count and size > BATCH_SIZE:
                break
            count += 1
        return Batch(self.start, self.entries[:count])

    def slice(self, batch: Batch, most: int) -> list[Seat]:
        """The next members to give it to."""
        if self.batch is None:
            self.batch = batch
            self.position = len(self.members)
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
