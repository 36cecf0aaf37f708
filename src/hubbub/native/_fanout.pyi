"""The compiled fan-out: outlets that own the write side of plain TCP and Unix sockets, shards, and threads that write.

Twin of `hub/outlet.py`, `hub/mailbox.py` and `hub/writers.py`, with the same contract. Sizes are in bytes, times in
seconds. No call here waits for a socket. "Without the GIL" means that other threads of Python go on meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Any

from hubbub.hub.channel import Channel, Seat
from hubbub.hub.mailbox import AnyEntry
from hubbub.hub.memberships import Memberships
from hubbub.hub.outlet import AnyOutlet, Owner
from hubbub.hub.register import Register
from hubbub.hub.statistics import Counters
from hubbub.limits import Limits
from hubbub.wire import Frame

__all__ = [
    "Addressee",
    "Counts",
    "Entry",
    "Outlet",
    "Shard",
    "TotalBacklog",
    "Writers",
    "after_fork",
    "broadcast",
    "entry",
]

class TotalBacklog:
    """The one count of bytes that wait for all sockets of the process; for outlets in Python, too. Atomic."""

    @property
    def used(self) -> int: ...
    def add(self, difference: int) -> None: ...
    def claim(self, own: int, size: int, limit: int) -> bool: ...

def after_fork() -> None:
    """Begin anew in a child process, where the threads of the parent do not exist. `os.fork` calls it."""

class Counts:
    """What the compiled side of one hub, or of a server without one, counts; exact from whatever threads."""

    @property
    def broadcasts(self) -> int: ...
    @property
    def deliveries(self) -> int: ...
    @property
    def writes(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def sends(self) -> int: ...
    @property
    def drops(self) -> dict[str, int]:
        """Messages lost, by cause; causes that never happened are left out."""

class Outlet:
    """The write side of one socket. See `hubbub.hub.outlet.Outlet`, whose methods these are.

    Args:
        descriptor: of a connected, non-blocking stream socket, which stays open until `detach`.
        owned: `detach` closes it.
        owner: is called on `loop`.
    """

    def __init__(
        self,
        descriptor: int,
        owner: Owner,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        counters: Counters,
        owned: bool = False,
    ) -> None: ...
    hubs: tuple[Register, ...]
    memberships: Memberships
    overflow: str
    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def thread(self) -> int: ...
    @property
    def open(self) -> bool: ...
    @property
    def form(self) -> int | None: ...
    @property
    def buffered(self) -> int: ...
    @property
    def ending(self) -> Any: ...
    @property
    def clogged(self) -> bool: ...
    def start(self, form: int | None, greeting: bytes) -> None:
        """Send the greeting, and accept frames from here on. Holds the GIL."""

    def write(self, frame: Frame) -> bool:
        """Send one frame, or let it wait. Holds the GIL up to 16 KiB, if no writer is at this socket."""

    def send(self, data: str | bytes) -> bool:
        """`write`, encoding a message in its plain form on the way. Raises: UnicodeEncodeError: lone surrogates."""

    def control(self, data: bytes) -> bool:
        """Send a ping or pong; of those that wait only the latest does. Holds the GIL."""

    def go_on(self) -> None:
        """The program knows what was dropped: messages of channels are sent again, under "drop-rest"."""

    def finish(self, data: bytes, why: Any = None) -> bool:
        """Send the last frame, and leave every channel. Without the GIL."""

    def detach(self) -> None:
        """Write nothing from here on, and leave every channel. Call it before the descriptor is closed."""

    def count_in(self, counters: Counters) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def tell_when_drained(self) -> bool: ...
    def call_owner(self, callback: Callable[..., None], *args: object) -> None: ...

class Entry:
    """A message on its way into mailboxes, immutable. Shards of the other kind use what it was made of."""

    @property
    def frame(self) -> Frame: ...
    @property
    def excluded(self) -> frozenset[AnyOutlet]: ...

def entry(frame: Frame, excluded: frozenset[AnyOutlet]) -> Entry:
    """A message in all forms that it has been compressed for. Copies them: without the GIL above 16 KiB."""

class Addressee:
    """See `hubbub.hub.channel.Addressee`, whose attributes these are."""

    def __init__(self, id: Hashable) -> None: ...
    @property
    def id(self) -> Hashable: ...
    count: int
    forms: dict[int, int] | None
    shards: list[Any]

def broadcast(newest: dict[int, Channel], id: Hashable, message: object) -> int | None:
    """`Hub.broadcast` to all members of a channel, as most are: `str` or `bytes` of up to 16 KiB, all members plain
    and compiled, and nothing to be waited for. Holds the GIL.

    Args: newest: see `hubbub.hub.directory.Directory`.
    Returns: how many members it was handed to; None: this is no such broadcast, and nothing has happened.
    """

class Shard:
    """See `hubbub.hub.channel.Shard`, whose methods these are. Called under the lock."""

    @property
    def members(self) -> list[Seat]: ...
    @property
    def writers(self) -> Writers: ...
    @property
    def channel(self) -> Channel: ...
    def add(self, member: Seat) -> None:
        """Without the GIL, for at most the length of a send to that socket."""

    def remove(self, member: Seat) -> None:
        """As `add`."""

    def post(self, entry: AnyEntry) -> None:
        """Append a message. An entry of the other kind is copied first.

        In a turn of a Reactor, or else of an event loop, the shard is handed over at its end, so that what one turn
        posts leaves together: shards of up to 32 members are written then and there, without the GIL and for up to 512
        sends of a Reactor's turn, others by writers. On another thread a writer is woken at once. Holds the GIL.
        """

    def has_room(self, size: int) -> bool: ...
    def wait_for_room(self, size: int, seconds: float) -> None:
        """Without the GIL and the lock; 0.1 s at most, so that signals are heard."""

class Writers:
    """A pool of threads that write to shards, and never hold the GIL.

    Args:
        least: threads that stay when there is nothing to do.
        most: threads at the most. Another one starts when a shard waits and all are busy; it ends after 5 idle seconds.
        limits: bound each shard's mailbox.
    """

    def __init__(self, least: int, most: int, counts: Counts, limits: Limits) -> None: ...
    shard_size: int
    def shard(self, channel: Channel) -> Shard: ...
    @property
    def ended(self) -> bool: ...
    @property
    def size(self) -> int: ...
    @property
    def busy(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def failures(self) -> int:
        """Times that a thread could not be started; it was tried again with the next message."""
