"""A channel: its members, and the shards that they are divided into."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from hubbub.arguments import shown
from hubbub.errors import Overloaded
from hubbub.hub.mailbox import Entry
from hubbub.hub.memberships import among
from hubbub.hub.statistics import fanout
from hubbub.rounds import on_event_loop
from hubbub.wire import Frame

if TYPE_CHECKING:
    from hubbub.hub.mailbox import AnyEntry
    from hubbub.hub.outlet import AnyOutlet
    from hubbub.hub.register import Register
    from hubbub.hub.socket import Socket

__all__ = ["Channel", "Pool", "Seat", "Shard", "Sharding"]

Sharding = Callable[[Any], int]

number_of: Callable[[], int] = count(1).__next__


class Seat:
    """A member's place in one channel."""

    __slots__ = ("cursor", "index", "meta", "outlet", "shard", "socket")

    def __init__(self, socket: Socket, meta: Any, shard: Shard) -> None:
        self.socket: Socket = socket
        self.meta: Any = meta
        self.outlet: Any = socket._outlet  # of the kind that the shard's writers write to
        self.shard: Shard = shard
        self.index: int = 0  # these two are the shard's: where it stands in `members` (a compiled cursor knows it),
        self.cursor: Any = 0  # and what of the mailbox it has been given
        shard.add(self)


class Shard(Protocol):
    """A part of one channel's members, and the mailbox of what waits to go out to them. Called under the lock.

    `mailbox.py` has one for the event loop, `native` the compiled one for threads.
    """

    @property
    def channel(self) -> Channel: ...
    @property
    def members(self) -> list[Seat]: ...
    @property
    def writers(self) -> Pool: ...
    def add(self, member: Seat) -> None:
        """A new member: it gets what is posted from here on."""

    def remove(self, member: Seat) -> None:
        """It leaves. It is given what was posted before, first."""

    def post(self, entry: AnyEntry) -> None:
        """Append a message, and see to it that a writer comes."""

    def has_room(self, size: int) -> bool:
        """Whether the mailbox takes one more message, of so many bytes."""
        ...

    def wait_for_room(self, size: int, seconds: float) -> None:
        """Wait for that a while, so many seconds at most, without the lock."""


class Pool(Protocol):
    """The writers of one kind of shards, and their load."""

    shard_size: int
    """Members after which a channel that shards by itself opens another shard."""

    def shard(self, channel: Channel) -> Shard:
        """A new shard, to be written by this pool."""
        ...

    @property
    def ended(self) -> bool:
        """Whether nobody will write any more, for the event loop is closed."""
        ...

    @property
    def size(self) -> int: ...
    @property
    def busy(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def failures(self) -> int: ...


class _Addressee:
    """What a broadcast looks at in a channel."""

    __slots__ = ("count", "forms", "id", "shards")

    id: Hashable
    count: int
    """Members."""
    forms: dict[int, int] | None
    """How many members have which form, besides plain."""
    shards: list[Shard]

    def __init__(self, id: Hashable) -> None:
        self.id = id
        self.count = 0
        self.forms = None
        self.shards = []


if TYPE_CHECKING or fanout is None:  # noqa: SIM108  a type checker follows this, and not the other
    Addressee = _Addressee
else:
    Addressee = fanout.Addressee


class Channel(Addressee):
    """A named set of members. All of it is changed under the lock.

    Args:
        shards: how many it has from the start, for each kind of outlet among its members.
        most_shards: how many it may have when the first ones are full.
        next: the newest channel whose id has the same hash, when this one was made.
    """

    __slots__ = (
        "_at_first",
        "_most_shards",
        "changes",
        "entry",
        "hash",
        "hub",
        "next",
        "number",
    )

    count: int
    forms: dict[int, int] | None
    shards: list[Shard]

    def __init__(
        self, hub: Register, id: Hashable, shards: int, most_shards: int, hash: int = 0, next: Channel | None = None
    ) -> None:
        super().__init__(id)
        self.hub: Register = hub
        self.hash: int = hash
        self.next: Channel | None = next
        self.number: int = number_of()  # what stands for it where nothing but numbers is known
        self.changes: int = 0  # joins and leaves
        self.entry: Callable[[Frame, frozenset[AnyOutlet]], AnyEntry] = Entry  # compiled shards put another one here
        self._at_first = shards
        self._most_shards = most_shards

    def join(self, socket: Socket, meta: Any, pool: Pool) -> Seat:
        """Place a new member in the smallest shard, opening one more first if all are full and it may."""
        ours = [shard for shard in self.shards if shard.writers is pool]
        if not ours:
            ours = [pool.shard(self) for _ in range(self._at_first)]
            self.shards += ours
        shard = ours[0] if len(ours) == 1 else min(ours, key=lambda shard: len(shard.members))
        if len(shard.members) >= pool.shard_size and len(ours) < self._most_shards:
            shard = pool.shard(self)
            self.shards.append(shard)
        member = Seat(socket, meta, shard)
        form = member.outlet.form
        if form is not None:
            self.forms = self.forms or {}
            self.forms[form] = self.forms.get(form, 0) + 1
        self.count += 1
        self.changes += 1
        return member

    def leave(self, member: Seat) -> None:
        shard = member.shard
        shard.remove(member)
        if shard.writers.ended and not shard.members:
            self.shards.remove(shard)
        form = member.outlet.form
        if self.forms and form in self.forms:
            self.forms[form] -= 1
            if not self.forms[form]:
                del self.forms[form]
        self.count -= 1
        self.changes += 1

    def compress(self, frame: Frame) -> None:
        """For each form that members have. It may take its time, so never under the lock.

        A member of another form that joins meanwhile gets the frame plain, which every peer takes.
        """
        for form in list(self.forms or ()):
            frame._encoded(form)

    def count_among(self, outlets: frozenset[AnyOutlet]) -> int:
        """How many of them are members."""
        return sum(among(outlet.memberships, self) is not None for outlet in outlets) if outlets else 0

    def full_shard(self, size: int) -> Shard | None:
        """One whose mailbox has no room for a message of so many bytes."""
        for shard in self.shards:
            if not shard.has_room(size):
                return shard
        return None

    def wait_for_room(self, size: int, timeout: float) -> None:
        """Until every mailbox takes a message of so many bytes; on an event loop, which must not wait, not at all.

        Raises: Overloaded: there is no room after so many seconds.
        """
        on_loop = on_event_loop()
        deadline = time.monotonic() + (0 if on_loop else timeout)
        while self.count and (full := self.full_shard(size)) is not None:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                self.refuse("await a moment and try again" if on_loop else f"waited {timeout:g} s for room")
            full.wait_for_room(size, remaining)

    def refuse(self, advice: str) -> NoReturn:
        """Raises: Overloaded: there is no room for a message."""
        self.hub._counters.drops["overloaded"] += 1
        limits = self.hub.limits
        raise Overloaded(
            f"channel {shown(self.id)} has {limits.max_mailbox} messages or"
            f" {limits.max_mailbox_size} bytes waiting: {advice}"
        )

    def post(self, entry: AnyEntry) -> None:
        """Append a message to every mailbox with members: all of them in one order, since the lock is held."""
        for shard in self.shards:
            if shard.members:
                shard.post(entry)

    def members(self) -> list[Seat]:
        """A snapshot."""
        return [member for shard in self.shards for member in shard.members]
