"""What was sent and what came: losses, duplicates, order and latency, in bounded memory. Knows no clock and no I/O.

The messages that one process publishes to one room are a *stream*, numbered from 0. A member has a cursor into each
stream of its room: all below its top has come or is missing. Order is judged by publisher: a message is out of order
for a member that had a later one of the same publisher before it. What different publishers say at the same time has
no order before the server gives it one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from hubbub.load.histogram import Histogram
from hubbub.load.marker import Delivery
from hubbub.load.plan import Share

__all__ = ["WINDOW", "Arrival", "Cursor", "Ledger", "Member"]

WINDOW = 16_384  # messages of a stream: what comes later than these many others counts as lost, then as a duplicate
PUBLISHERS = 64  # of a stream whose last message is remembered while any is missing, to judge the order of late ones


class Arrival(Enum):
    """What a delivery is to its member."""

    FRESH = "fresh"
    REORDERED = "reordered"
    DUPLICATE = "duplicate"


class Cursor:
    """How far one member has come in one stream."""

    __slots__ = ("floor", "latest", "missing", "top")

    def __init__(self) -> None:
        self.top: int = 0  # the number that comes next if nothing goes wrong
        self.missing: int = 0  # a bit for each number from the floor up that others have overtaken
        self.floor: int = 0
        self.latest: dict[int, int] = {}  # by publisher, since something is missing

    def arrive(self, publisher: int, sequence: int) -> Arrival:
        """Take note of a message."""
        if sequence >= self.top:
            self._skip(sequence)
            self.top = sequence + 1
            if self.missing:
                self._remember(publisher, sequence)
            return Arrival.FRESH
        offset = sequence - self.floor
        if offset < 0 or not self.missing >> offset & 1:
            return Arrival.DUPLICATE
        self.missing ^= 1 << offset
        overtaken = self.latest.get(publisher, -1) > sequence
        if not self.missing:
            self.latest.clear()
        elif not overtaken:
            self._remember(publisher, sequence)
        return Arrival.REORDERED if overtaken else Arrival.FRESH

    def _skip(self, sequence: int) -> None:
        """Note as missing what lies between the top and this number."""
        if not self.missing:
            if sequence == self.top:
                return
            self.floor = self.top
        if sequence - self.floor > 2 * WINDOW:  # twice, so that it is cut seldom
            floor = sequence - WINDOW
            self.missing = self.missing >> floor - self.floor
            self.floor = floor
        start = max(self.top, self.floor)
        self.missing |= ((1 << sequence - start) - 1) << start - self.floor

    def _remember(self, publisher: int, sequence: int) -> None:
        self.latest.pop(publisher, None)
        self.latest[publisher] = sequence
        if len(self.latest) > PUBLISHERS:
            del self.latest[next(iter(self.latest))]


class Member:
    """A connection in its room."""

    __slots__ = ("cursors", "number", "room")

    def __init__(self, number: int, room: int, streams: int) -> None:
        self.number: int = number
        self.room: int = room
        self.cursors: list[Cursor] = [Cursor() for _ in range(streams)]


class Ledger:
    """The account of one process."""

    def __init__(self, share: Share) -> None:
        self._rooms = share.plan.connections if share.plan.echo else share.plan.rooms
        self._processes = share.plan.processes
        self._others_only = share.plan.to_self is False  # then a publisher's own message is a stray
        self.members: list[Member] = []
        self.sent: dict[int, int] = {}  # by room
        self.received: int = 0  # different messages, by each of their recipients
        self.own: int = 0  # of these, by their publishers
        self.duplicates: int = 0
        self.reordered: int = 0
        self.strays: int = 0  # messages of another room, or of the recipient's own where those are not to come
        self.last: int = 0  # when the latest one came
        self.latency: Histogram = Histogram()

    def admit(self, number: int) -> Member:
        """Expect a connection to get what its room is sent."""
        member = Member(number, number % self._rooms, self._processes)
        self.members.append(member)
        return member

    def send(self, member: Member, now: int) -> Delivery:
        """The next message of a member's room."""
        sequence = self.sent.get(member.room, 0)
        self.sent[member.room] = sequence + 1
        return Delivery(member.number, sequence, now)

    def receive(self, member: Member, deliveries: Iterable[Delivery], now: int) -> None:
        """Take note of what one member got."""
        number, room, cursors, record = member.number, member.room, member.cursors, self.latency.record
        rooms, processes, others_only = self._rooms, self._processes, self._others_only
        for publisher, sequence, sent in deliveries:
            if publisher % rooms != room or (others_only and publisher == number):
                self.strays += 1
                continue
            cursor = cursors[publisher % processes]
            if sequence == cursor.top and not cursor.missing:
                cursor.top = sequence + 1
            else:
                arrival = cursor.arrive(publisher, sequence)
                if arrival is Arrival.DUPLICATE:
                    self.duplicates += 1
                    continue
                self.reordered += arrival is Arrival.REORDERED
            self.received += 1
            self.own += publisher == number
            record(now - sent)
        self.last = now

    def expected(self, totals: Sequence[dict[int, int]]) -> int:
        """Deliveries to its members, their own messages included, once all processes have said what they sent."""
        return sum(sent.get(member.room, 0) for member in self.members for sent in totals)

    @property
    def own_sent(self) -> int:
        """Messages that its members published, each of which may come back to its publisher."""
        return sum(self.sent.values())
