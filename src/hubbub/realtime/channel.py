"""One channel of a node: where it stands, its latest publications, and who of this node is subscribed to it.

No I/O. Members are reached through the hub in forms: one for each dialect, and for those with deltas two more.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from hubbub.brokers import Page, Position, Published
from hubbub.realtime.bodies import Came, Sent, Went, beside, event_of, name_of
from hubbub.realtime.filters import Filter
from hubbub.realtime.namespaces import Place
from hubbub.realtime.permissions import Options

if TYPE_CHECKING:
    from hubbub.realtime.session import Session

__all__ = ["Channel", "Kept", "Subscription"]

MOST_KEPT_SIZE = 256 * 1024  # bytes of the publications that a node keeps of one channel


class Kept(NamedTuple):
    """A publication that may have to be given once more."""

    offset: int
    previous: int
    sent: Sent


class Subscription:
    """One session in one channel."""

    __slots__ = ("channel", "expires_at", "filter", "info", "options", "patched", "server_side")

    def __init__(
        self, channel: Channel, options: Options, info: bytes, expires_at: float | None, server_side: bool
    ) -> None:
        self.channel: Channel = channel
        self.options: Options = options
        self.info: bytes = info
        """Of the client in this channel, as others see it."""
        self.expires_at: float | None = expires_at
        self.server_side: bool = server_side
        self.filter: tuple[str, Filter] | None = None
        """By tags, and what stands for it: equal ones are one."""
        self.patched: bool = False
        """It has the document that the next patch is one of."""


class Channel:
    """Made when the first session of a node subscribes, gone after the last one has left."""

    __slots__ = (
        "_fresh",
        "_most_kept",
        "_size",
        "_waiting",
        "before",
        "beside",
        "filters",
        "handed_at",
        "holds",
        "late",
        "members",
        "name",
        "names",
        "place",
        "tail",
        "tail_begins",
        "top",
        "users",
        "waiting_users",
    )

    def __init__(self, place: Place, most_kept: int) -> None:
        self.place: Place = place
        self.name: str = place.channel
        self.names: bytes = name_of(place.channel)
        self.beside: bytes | None = (
            beside(place.channel) if place.options.history is not None or place.options.join_leave else None
        )
        self.members: dict[Session, Subscription] = {}
        self.filters: dict[str, Filter] = {}
        """Of members, by what stands for each."""
        self.handed_at: float = 0.0
        """When something was handed to the members last, by the monotonic clock."""
        self.users: dict[str, set[bytes]] | None = None
        """On which nodes each is, where they are told of instead of sessions; None: it is not known."""
        self.waiting_users: list[Came | Went] | None = None
        """Who came and went while that is being found out."""
        self.holds: int = 0
        """Subscribes that are under way."""
        self.top: Position | None = None
        """What was handed to the members last; None: it is not known."""
        self.tail: deque[Kept] = deque()
        self.tail_begins: int = 0
        """The offset behind which the tail has everything."""
        self.before: bytes | None = None
        """The latest document, of which the next one may be sent as a patch."""
        self.late: int = 0
        """Batches that wait for room in the hub."""
        kept = place.options.history
        self._most_kept = most_kept if kept is None else min(most_kept, kept.size)
        self._size = 0
        self._fresh: float = 0.0  # when the latest publication came
        self._waiting: list[tuple[Position | Published, Callable[[], object]]] = []

    @property
    def keeps(self) -> bool:
        return self.place.options.history is not None

    def begin(self, position: Position) -> None:
        """It stood there when the broker had confirmed the subscription, unless it has gone on already."""
        if self.top is None:
            self.stand(position)

    def name_epoch(self, epoch: str) -> None:
        """That of a channel without publications."""
        if self.top is not None and not self.top.epoch:
            self.stand(Position(0, epoch))

    def stand(self, position: Position) -> None:
        """It stands there, and what came before is not here."""
        self.top = position
        self.tail.clear()
        self.tail_begins, self._size = position.offset, 0

    def lose(self) -> None:
        """Something is missing behind what was handed out: where it stands is not known."""
        self.top = None
        self.tail.clear()
        self._size = 0

    def advance(self, position: Position, previous: int, sent: Sent | None) -> None:
        """This one is handed out now."""
        top = self.top
        if top is None or (top.epoch and top.epoch != position.epoch) or top.offset != previous:
            self.stand(Position(previous, position.epoch))
        self.top = position
        if sent is not None and self.keeps:
            self.tail.append(Kept(position.offset, previous, sent))
            self._fresh = time.monotonic()
            self._size += len(sent.data)
            self._trim()

    def _trim(self) -> None:
        tail = self.tail
        while len(tail) > self._most_kept or (self._size > MOST_KEPT_SIZE and len(tail) > 1):
            oldest = tail.popleft()
            self.tail_begins = oldest.offset
            self._size -= len(oldest.sent.data)

    def _forget_old(self) -> None:
        """What the history's time is over for: it is to be found here no longer than at the broker."""
        kept = self.place.options.history
        if self.tail and self.top is not None and kept is not None and time.monotonic() - self._fresh >= kept.ttl:
            self.stand(self.top)

    def since(self, offset: int, limit: int) -> list[Kept] | None:
        """What follows that offset, up to where the channel stands; None: it is not all here, or more than that."""
        self._forget_old()
        if offset < self.tail_begins or self.top is None or offset > self.top.offset:
            return None
        found = [kept for kept in self.tail if kept.offset > offset]
        if len(found) > limit or (found and found[0].previous > offset):
            return None
        return found

    def learn(self, since: Position, page: Page) -> bool:
        """Take in what the broker has kept behind that position. Returns whether it belongs here."""
        top = self.top
        if top is None or page.top.epoch != top.epoch or not page.complete:
            return False
        if page.top.offset < top.offset and self.tail_begins > page.top.offset:
            return False
        newer = [kept for kept in self.tail if kept.offset > page.top.offset]
        older: list[Kept] = []
        for publication in page.publications:
            if publication.offset > top.offset:
                break
            try:
                event = event_of(publication.body)
            except ValueError:
                continue
            if isinstance(event, Sent):
                older.append(Kept(publication.offset, publication.previous, event))
        self._fresh = time.monotonic()
        self.tail = deque([*older, *newer])
        self.tail_begins = since.offset
        self._size = sum(len(kept.sent.data) for kept in self.tail)
        return True

    def when(self, position: Position | Published, then: Callable[[], object]) -> None:
        """Call that as soon as this position has been handed to the members."""
        if self.has(position):
            then()
        else:
            self._waiting.append((position, then))

    def has(self, position: Position | Published) -> bool:
        top = self.top
        return top is None or not self.members or top.epoch != position.epoch or top.offset >= position.offset

    def tell_waiting(self) -> None:
        """Whoever waits for what has been handed out by now."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for position, then in waiting:
                self.when(position, then)

    @property
    def idle(self) -> bool:
        """Whether nobody needs it any more."""
        return not self.members and not self.holds
