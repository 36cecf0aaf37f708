"""The channels that a node is subscribed to, and what comes of them, in the order of their offsets.

A server before 2.10 republishes out of order where several publish at once: a publication is overtaken by up to some
dozens of later ones. The links say so, for they are right all the same. So what comes too early waits a moment for
what goes before it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence

from hubbub.brokers.contract import EPOCH_SIZE, Position, Publication
from hubbub.brokers.nats.records import FORGOTTEN, Record, handed_over
from hubbub.brokers.nats.wire import Message

__all__ = ["Interests"]

PATIENCE = 0.1  # seconds for which one that came too early waits
FIRST_SID = 10

_republished = re.compile(
    rb"NATS/1.0\r\n(?:.*\r\n)*Nats-Stream: [^\r]*([!-~]{%d})\r\n(?:.*\r\n)*Nats-Sequence: (\d+)\r\n"
    rb"(?:.*\r\n)*Nats-Last-Sequence: (\d+)\r\n" % EPOCH_SIZE
).match

Pending = dict[bytes, list[Publication]]


class _Interest:
    """One channel."""

    __slots__ = ("channel", "early", "epoch", "sid", "stands", "top")

    def __init__(self, channel: bytes, sid: bytes) -> None:
        self.channel = channel
        self.sid = sid
        self.epoch: str = ""  # "": where it stands is not known yet
        self.top: int = 0
        self.stands: int = 0  # what `top` is to the node, where its record moved nothing
        self.early: dict[int, tuple[Publication, bool]] = {}  # by the offset before, and whether it empties the history

    def comes_now(self, new: Publication) -> bool:
        """Whether nothing has to be waited for, or nothing is known that could come before."""
        if new.epoch == self.epoch:
            return new.previous in {self.top, 0} or new.offset <= self.top
        return bool(self.epoch)

    def follow(self, new: Publication, empties: bool, into: Pending) -> None:
        """Hand this one over, and what has waited for it."""
        while True:
            if new.previous == self.top and self.stands != self.top:
                new = new._replace(previous=self.stands)
            self.top, self.epoch = new.offset, new.epoch
            if empties:
                self.stands = int(new.body)
            else:
                self.stands = new.offset
                into.setdefault(self.channel, []).append(new)
            if not self.early or (waiting := self.early.pop(self.top, None)) is None:
                return
            new, empties = waiting

    def give_up(self, into: Pending) -> None:
        """What goes before those that wait does not come."""
        for new, empties in sorted(self.early.values(), key=lambda waiting: waiting[0].offset):
            if self.early.pop(new.previous, None) is not None:
                self.follow(new, empties, into)


class Interests:
    """All of one node.

    Args:
        deliver: called with what is to be handed over.
        seen: called with each offset, epoch and id.
        refused: called for a message that is not understood.
    """

    def __init__(
        self,
        deliver: Callable[[bytes, Sequence[Publication]], None],
        seen: Callable[[int, str, bytes], None],
        refused: Callable[[], None],
    ) -> None:
        self._deliver = deliver
        self._seen = seen
        self._refused = refused
        self._sid = FIRST_SID
        self._by_channel: dict[bytes, _Interest] = {}
        self._by_sid: dict[bytes, _Interest] = {}
        self._early: set[_Interest] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __contains__(self, channel: bytes) -> bool:
        return channel in self._by_channel

    def add(self, channel: bytes) -> bytes | None:
        """Its number, if it is a new one."""
        if channel in self._by_channel:
            return None
        self._sid += 1
        interest = _Interest(channel, b"%d" % self._sid)
        self._by_channel[channel] = self._by_sid[interest.sid] = interest
        return interest.sid

    def remove(self, channel: bytes) -> bytes | None:
        """Its number, if there was one."""
        interest = self._by_channel.pop(channel, None)
        if interest is None:
            return None
        del self._by_sid[interest.sid]
        self._early.discard(interest)
        return interest.sid

    def clear(self) -> None:
        self._by_channel.clear()
        self._by_sid.clear()
        self._early.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def begin(self, channel: bytes, position: Position, latest: Record | None) -> None:
        """The channel stands there; what came meanwhile and follows is handed over."""
        interest = self._by_channel.get(channel)
        if interest is None or interest.epoch:
            return
        interest.epoch = position.epoch
        interest.top = latest.offset if latest is not None else 0
        interest.stands = position.offset
        into: Pending = {}
        if interest.early:
            known = [
                at
                for at, (new, _) in interest.early.items()
                if new.epoch == position.epoch and new.offset <= interest.top
            ]
            for at in known:
                del interest.early[at]
            while (waiting := interest.early.pop(interest.top, None)) is not None:
                interest.follow(*waiting, into)
            self._wait(interest)
        self._hand_over(into)

    def take(self, messages: Iterable[Message]) -> None:
        """What one read has brought."""
        into: Pending = {}
        for _, sid, head, body in messages:
            interest = self._by_sid.get(sid)
            if interest is None:
                continue  # it was unsubscribed
            found = _republished(head)
            record = handed_over(body)
            if found is None or record is None:
                self._refused()
                continue
            flags, id, content = record
            new = Publication(int(found[2]), int(found[3]), found[1].decode(), id, content)
            self._seen(new.offset, new.epoch, id)
            if interest.epoch and (
                new.previous in {interest.top, 0} or new.epoch != interest.epoch or new.offset <= interest.top
            ):
                interest.follow(new, bool(flags & FORGOTTEN), into)
            else:
                interest.early[new.previous] = (new, bool(flags & FORGOTTEN))
                self._wait(interest)
        self._hand_over(into)

    def _wait(self, interest: _Interest) -> None:
        if not interest.early:
            return
        self._early.add(interest)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._lose_patience)

    def _lose_patience(self) -> None:
        self._timer = None
        into: Pending = {}
        waiting, self._early = self._early, set()
        for interest in waiting:
            if interest.epoch:
                interest.give_up(into)
            else:
                self._wait(interest)
        self._hand_over(into)

    def _hand_over(self, into: Pending) -> None:
        for channel, batch in into.items():
            self._deliver(channel, batch)
