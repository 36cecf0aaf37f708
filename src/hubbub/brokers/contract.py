"""The contract: what a node asks of a broker, and what a broker tells its node.

A broker lies between nodes, the processes that have members. It puts the publications of a channel into one order,
keeps their history and who is present, and carries control messages. Everything else is the node's (`hubbub.node`):
queues and back-pressure, tickets, who is interested in what, proving duplicates, healing gaps, leases of nodes,
surveys. So a broker is one class with eleven coroutines, most of them a call or two to its engine.

To write one: subclass `Broker`, and run the checks of `hubbub.testing.brokers` over it. `memory.py` is the shortest.

What a node promises its broker
- All calls come from one event loop, the one that `start` was called on, and none is cancelled.
- At most one `append` runs at a time, so what waits meanwhile is the next batch. At most one of `subscribe` and
  `unsubscribe` runs at a time.
- Names of channels, bodies, clients and users are bytes or text of any content, though no half of a surrogate pair:
  encode them, never interpolate them.

What a broker promises its node
1. One order: every node that is subscribed gets a channel's publications in the order of their offsets, the publisher's
   own node included; and a batch is appended in the order of the batch.
2. Appending and handing over are one step: what has an offset goes to every subscribed node.
3. At most once, or proved: a publication that is handed over again has the same offset and id.
4. Links: each publication says which offset came before it in its channel, so that a hole is seen.
5. A position names one publication for ever: where offsets might be used again, the epoch is another one.
6. Nothing is silent: a link that broke is told by `state`, foreign data is counted in `refused`, and a call that could
   not be made raises `BrokerUnavailable`, which says whether it may have happened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, NamedTuple, Protocol

from hubbub.arguments import shown, whole
from hubbub.errors import Misuse

__all__ = [
    "Broker",
    "Change",
    "Check",
    "Entry",
    "Events",
    "History",
    "Outgoing",
    "Page",
    "Position",
    "Presence",
    "Publication",
    "Published",
    "Traits",
]

EPOCH_SIZE = 8  # visible ASCII characters
NODE_SIZE = 6  # bytes
ID_SIZE = 12  # bytes: the publishing node's and a count
POSITION_TTL = 30 * 86400.0  # seconds: how long a channel with history keeps its position, from its last publication
NUMBERS_TTL = 86400.0  # the same of a channel without


class Position(NamedTuple):
    """Where in a channel's history somebody stands: behind this offset, or before the first publication at 0.

    Offsets rise within an epoch, one by one where `Traits.dense` says so. Another epoch, eight visible ASCII
    characters, means that offsets begin anew.
    """

    offset: int
    epoch: str


class Publication(NamedTuple):
    """One publication, as every subscribed node gets it."""

    offset: int
    previous: int
    """The offset before it in its channel; 0: none."""
    epoch: str
    id: bytes
    """12 bytes: 6 of the node that published it, and its count. What is handed over twice has it twice."""
    body: bytes


class Published(NamedTuple):
    """What became of an appended publication."""

    offset: int
    epoch: str
    suppressed: str = ""
    """"repeated": its key was used before, and offset and epoch are the first one's. "older": its version is not above
    the latest one's, and they are the channel's. In both cases nothing was written and nobody is handed anything."""


@dataclass(frozen=True, slots=True)
class History:
    """How much of a channel is kept.

    Args:
        size: publications, from 1 to 100,000.
        ttl: seconds from the last publication, or a timedelta, until the history is empty. The channel's position
            lives on for 30 days, or for the ttl if that is longer.

    Raises: Misuse: a size or time out of bounds.
    """

    size: int
    ttl: float

    def __init__(self, size: int, ttl: float | timedelta) -> None:
        seconds: Any = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
        if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0.1 <= seconds <= 3e9:
            raise Misuse(f"a history's ttl is a timedelta or a number of seconds from 0.1, not {shown(ttl)}")
        object.__setattr__(self, "size", whole("a history's size", size, 1, 100_000))
        object.__setattr__(self, "ttl", float(seconds))


class Outgoing:
    """What a node wants appended. Its fields are not changed any more.

    Args:
        channel: the channel's name: up to 2 KiB of any bytes.
        body: any bytes.
        id: 12 bytes that no other publication has.
        history: what is kept; None: the channel is numbered, and nothing kept. What was kept before it goes, for
            there would be a hole behind it.
        key: an idempotency key: of publications of one channel with the same key within 300 s only the first counts.
        version: 1 to 2**63 - 1: only what is above the version of the channel's latest that had one counts. 0: none.
        version_epoch: versions of another one than the latest's count always; "" is the latest's, whatever that was.
    """

    __slots__ = ("body", "channel", "history", "id", "key", "version", "version_epoch")

    def __init__(
        self,
        channel: bytes,
        body: bytes,
        id: bytes,
        history: History | None = None,
        key: str = "",
        version: int = 0,
        version_epoch: str = "",
    ) -> None:
        self.channel: bytes = channel
        self.body: bytes = body
        self.id: bytes = id
        self.history: History | None = history
        self.key: str = key
        self.version: int = version
        self.version_epoch: str = version_epoch


class Page(NamedTuple):
    """A part of a channel's history."""

    publications: Sequence[Publication]
    """Oldest first, or newest first if asked in reverse."""
    top: Position
    """The channel's position at that very moment."""
    complete: bool
    """Whether nothing is missing between `since` and the first of them: False where it was trimmed, has expired, is
    beyond the top, or is of another epoch, and the publications then begin at the oldest that is kept."""


class Change(NamedTuple):
    """One change of who is present, by the node that has the client."""

    channel: bytes
    client: str
    user: str = ""
    info: bytes | None = None
    """None: the client is gone."""


class Entry(NamedTuple):
    """One client that is present."""

    client: str
    user: str
    info: bytes
    node: bytes


class Presence(NamedTuple):
    """Who is present in a channel, by what nodes have said and not taken back."""

    entries: Sequence[Entry]
    """At most as many as were asked for."""
    clients: int
    """All of them, those that are left out included."""
    users: int
    """Different users among them."""


class Check(NamedTuple):
    """One thing that `hubbub doctor --broker` tells."""

    name: str
    value: str
    advice: str = ""
    """What to do about it; "": it is well."""
    fatal: bool = False
    """The broker cannot be used like this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Traits:
    """What an engine is capable of."""

    name: str
    """As in its URL: "redis"."""
    dense: bool = True
    """Offsets rise one by one, so that how many are missing is known."""
    history: bool = True
    presence: bool = True
    processes: bool = True
    """Other processes can share it."""
    survives: str = ""
    """What acknowledged publications with history survive: "" the process that publishes at most, "process" that the
    engine's process is killed, "power" that the machine loses power."""


class Events(Protocol):
    """What a broker tells its node: plain functions, on the loop of `start`, one after the other. They never raise."""

    def publications(self, channel: bytes, batch: Sequence[Publication]) -> None:
        """These follow in that channel. Late ones, after an `unsubscribe`, are allowed."""

    def control(self, node: bytes, data: bytes) -> None:
        """A control message of that node."""

    def gone(self, node: bytes) -> None:
        """That node has ended. Only brokers that know tell it; of all others the node finds out by leases."""

    def gap(self, channels: Sequence[bytes] | None) -> None:
        """Something may have been lost in these channels (None: in all), while the link went on."""

    def state(self, up: bool, reason: str) -> None:
        """The link to the engine is there, or broke and why.

        When it broke, every subscription is void, and what the node has put into presence may be gone. When it is
        there again, the node makes all of it again.
        """


class Broker(ABC):
    """What lies between nodes. One object serves one node, on one event loop.

    Calls raise `BrokerUnavailable` while there is no link, or when it breaks meanwhile. They wait for no link: the
    node does.
    """

    traits: ClassVar[Traits]
    refused: int = 0
    """Messages of the engine that were foreign, truncated, or of a version that is not understood."""

    @abstractmethod
    async def start(self, node: bytes, events: Events) -> None:
        """Begin to connect, and return; `events.state` tells when the link is there, at once or later.

        A link that breaks, or cannot be had, is tried again for ever, with pauses that grow to some seconds.

        Args:
            node: 6 bytes that no other node has.

        Raises: Misuse: what can never work, such as an engine that is too old and says so at once.
        """

    @abstractmethod
    async def close(self) -> None:
        """End: the link is closed, and what this node has put into presence goes.

        May be called in any state, and ends within 12 s though the engine hangs. Calls that wait raise
        BrokerUnavailable. Then the broker may be started again.
        """

    @abstractmethod
    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        """Append these, in order, and hand each to every node that is subscribed to its channel.

        One call to the engine for all, or few: this is the hot path. A batch has up to 4,096 publications, and up to
        4 MiB besides its last one.

        Returns: what became of each, in the same order; an exception for one that the engine refused.
        Raises: BrokerUnavailable: for all of them, after 12 s at the latest. With outcome "unknown" some may have been
            appended; with "unsent" none was, and the node tries again.
        """

    @abstractmethod
    async def subscribe(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        """Get these channels' publications from here on.

        Returns: each channel's position: whatever follows it is handed over. None: the channel has none yet.
            It is read *after* the engine has confirmed the subscription, so nothing can fall between.
        """

    @abstractmethod
    async def unsubscribe(self, channels: Sequence[bytes]) -> None:
        """Get them no more. Those that are not subscribed to are ignored."""

    @abstractmethod
    async def positions(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        """Where these channels stand. One round trip for many."""

    @abstractmethod
    async def history(
        self, channel: bytes, since: Position | None = None, limit: int | None = None, reverse: bool = False
    ) -> Page:
        """Read what is kept.

        Reading a channel that nobody has published to makes its epoch, which stays.

        Args:
            since: begin behind this position, or, in reverse, before it. None: at the oldest, or newest.
            limit: publications at the most; 0: only the position; None: all.
            reverse: newest first.
        """

    @abstractmethod
    async def forget(self, channel: bytes) -> None:
        """Empty the history. The position stays."""

    @abstractmethod
    async def present(self, changes: Sequence[Change]) -> None:
        """Make these changes, in order.

        What a node has put stays until it drops it, closes, is evicted, or, with some brokers, loses its link. A client
        that another node puts is that one's from then on: what the first one then says of it is late, and ignored.
        """

    @abstractmethod
    async def presence(self, channel: bytes, limit: int | None = None) -> Presence:
        """Who is in the channel. `limit`: entries at the most; counts are right all the same."""

    @abstractmethod
    async def evict(self, node: bytes) -> Sequence[Change]:
        """Drop what this node has put into presence, for it is gone.

        Returns: what was dropped. If several nodes ask at once, each entry is told to one of them.
        """

    @abstractmethod
    async def control(self, data: bytes, node: bytes | None = None) -> None:
        """Carry a message to that node, or to all, this one included. At most once; in order for one sender."""

    async def reset(self, reason: str) -> None:  # noqa: B027  (within one process there is no link)
        """Give up a link on which nothing comes though it looks healthy, and connect again."""

    async def check(self) -> Sequence[Check]:
        """What `hubbub doctor --broker` tells: versions and settings that matter, with advice. After `start`."""
        return ()
