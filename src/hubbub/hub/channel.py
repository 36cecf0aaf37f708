"""A channel: its members, and the shards that they are divided into."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from hubbub.wire import Frame

if TYPE_CHECKING:
    from hubbub.hub.hub import Hub
    from hubbub.hub.outlet import AnyOutlet

__all__ = ["Channel", "Member", "Pool", "Shard", "Sharding"]

Sharding = Callable[[Any], int]

_numbers = count(1)


class Member:
    """One socket in one channel, with the small piece of data given at join. Unpacks as `socket, meta`."""

    __slots__ = ("cursor", "index", "meta", "outlet", "shard", "socket")
    __match_args__ = ("socket", "meta")

    def __init__(self, socket: Any, meta: Any, shard: Shard) -> None:
        self.socket: Any = socket
        self.meta: Any = meta
        self.outlet: Any = socket.outlet  # of the kind that the shard's writers write to
        self.shard: Shard = shard
        self.index: int = 0  # these two are the shard's: where it stands in `members` (a compiled cursor knows it),
        self.cursor: Any = 0  # and what of the mailbox it has been given
        shard.add(self)

    def __iter__(self) -> Iterator[Any]:
        yield self.socket
        yield self.meta

    def __repr__(self) -> str:
        return f"Member(socket={self.socket!r}, meta={self.meta!r})"


class Shard(Protocol):
    """A part of one channel's members, and the mailbox of what waits to go out to them. Called under the lock.

    `mailbox.py` has one for the event loop, `native` the compiled one for threads.
    """

    @property
    def channel(self) -> Channel: ...
    @property
    def members(self) -> list[Member]: ...
    @property
    def writers(self) -> Pool: ...
    def add(self, member: Member) -> None:
        """A new member: it gets what is posted from here on."""

    def remove(self, member: Member) -> None:
        """It leaves. It is given what was posted before, first."""

    def post(self, frame: Frame, excluded: frozenset[AnyOutlet]) -> None:
        """Append a message that those are not to get, and see to it that a writer comes."""

    def has_room(self, size: int, most: int, most_size: int) -> bool:
        """Whether the mailbox, of so many messages and bytes at most, takes one more of `size` bytes."""
        ...

    def wait_for_room(self, size: int, most: int, most_size: int, seconds: float) -> None:
        """Wait for that a while, so many seconds at most, without the lock."""


class Pool(Protocol):
    """The writers of one kind of shards, and their load."""

    shard_size: int
    """Members after which a channel that shards by itself opens another shard."""

    def shard(self, channel: Channel) -> Shard:
        """A new shard, to be written by this pool."""
        ...

    def attach(self, loop: Any) -> None:
        """There is a socket on that event loop, which calls this."""

    @property
    def size(self) -> int: ...
    @property
    def busy(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def failures(self) -> int: ...


class Channel:
    """A named set of members. All of it is read and changed under the lock.

    Args:
        shards: how many it has from the start, for each kind of outlet among its members.
        most_shards: how many it may have when the first ones are full.
    """

    __slots__ = ("_at_first", "_most_shards", "count", "hub", "id", "number", "shards")

    def __init__(self, hub: Hub, id: Hashable, shards: int, most_shards: int) -> None:
        self.hub: Hub = hub
        self.id: Hashable = id
        self.number: int = next(_numbers)  # what stands for it where nothing but numbers is known
        self.count: int = 0
        self.shards: list[Shard] = []
        self._at_first = shards
        self._most_shards = most_shards

    def join(self, socket: Any, meta: Any, pool: Pool) -> Member:
        """Place a new member in the smallest shard, opening one more first if all are full and it may."""
        ours = [shard for shard in self.shards if shard.writers is pool]
        if not ours:
            ours = [pool.shard(self) for _ in range(self._at_first)]
            self.shards += ours
        shard = ours[0] if len(ours) == 1 else min(ours, key=lambda shard: len(shard.members))
        if len(shard.members) >= pool.shard_size and len(ours) < self._most_shards:
            shard = pool.shard(self)
            self.shards.append(shard)
        member = Member(socket, meta, shard)
        self.count += 1
        return member

    def leave(self, member: Member) -> None:
        member.shard.remove(member)
        self.count -= 1

    def post(self, frame: Frame, excluded: frozenset[AnyOutlet]) -> None:
        """Append a message to every mailbox with members: all of them in one order, since the lock is held."""
        for shard in self.shards:
            if shard.members:
                shard.post(frame, excluded)

    def members(self) -> list[Member]:
        """A snapshot."""
        return [member for shard in self.shards for member in shard.members]
