"""A line: what a node keeps of one channel that somebody here is subscribed to. Pure decisions, no I/O, no clock.

It knows where the channel stands, and the ids of its latest publications. What comes from the broker follows, is a
duplicate, or shows that something is missing; then everything that comes is held, until the node has read from the
broker's history what is missing, or knows that it cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hubbub.brokers import Page, Position, Publication

__all__ = ["HELD", "HELD_SIZE", "Healed", "Line"]

TAIL = 64  # latest publications whose ids are known, so that a duplicate is proved
HELD = 256  # publications that are held at the most
HELD_SIZE = 1024 * 1024  # bytes of the same


class Healed(NamedTuple):
    """What came of it."""

    publications: Sequence[Publication]
    """To be delivered now, in order."""
    missed: int | None
    """How many will never be; None: some, and nobody knows how many."""


class Line:
    """It begins by holding what comes; `begin` tells it where the channel stands."""

    __slots__ = (
        "_floor",
        "_held",
        "_held_size",
        "_skipped",
        "_stands_at",
        "_tail",
        "begun",
        "duplicates",
        "epoch",
        "overflowed",
        "top",
        "whole",
    )

    def __init__(self) -> None:
        self.top: int = 0
        self.epoch: str = ""  # of the channel; "": there is none yet
        self.begun: bool = False
        self.whole: bool = False  # nothing is missing: what follows is delivered
        self.overflowed: bool = False  # more came than is held, and was let go
        self.duplicates: int = 0
        self._floor = 0  # offsets up to here are from before this line, and may still come
        self._tail: dict[int, bytes] = {}  # ids by offset, oldest first
        self._skipped: dict[int, int] = {}  # offsets up to which, and behind which, all were given up; oldest first
        self._held: list[Publication] = []
        self._held_size = 0
        self._stands_at: Position | None = None  # where the channel is, and the line is to get

    @property
    def position(self) -> Position | None:
        return Position(self.top, self.epoch) if self.epoch else None

    def begin(self, position: Position | None) -> Sequence[Publication]:
        """The channel stood there when the subscription was confirmed. Returns what of the held ones follows."""
        self.begun = True
        self._stand_at(position or Position(0, ""))
        self._held = [p for p in self._held if p.epoch != self.epoch or p.offset > self.top]
        return self._go_on()

    def resume(self, position: Position | None) -> Sequence[Publication] | None:
        """The channel stands, or stood a moment ago, there. Returns what of the held ones follows.

        None: something is missing, and it holds what comes until `heal`.
        """
        behind = position is not None and position.epoch == self.epoch and position.offset < self.top
        if position == self.position or (behind and self.whole):
            return self._go_on()
        self.whole = False
        return None

    def expect(self, position: Position) -> None:
        """There is no history, and the channel stands there: what of it is still under way is held until `give_up`."""
        self._stands_at = position

    @property
    def complete(self) -> bool:
        """All that was expected and can still come has come: a channel's publications come in order."""
        to = self._stands_at
        return to is None or any(p.epoch != to.epoch or p.offset >= to.offset for p in self._held)

    def hold(self) -> None:
        """Something may be missing: hold what comes from here on."""
        self.whole = False

    def follow(self, batch: Sequence[Publication]) -> Sequence[Publication]:
        """What of these is to be delivered now, in order. If something is missing before one, the rest is held."""
        if not self.whole:
            self._hold(batch)
            return ()
        if len(batch) == 1 and batch[0].previous == self.top and batch[0].epoch == self.epoch:  # the usual one
            self._advance(batch[0])
            return batch
        following: list[Publication] = []
        for at, publication in enumerate(batch):
            if self._follows(publication):
                self._advance(publication)
                following.append(publication)
            elif self._is_known(publication):
                self.duplicates += 1
            else:
                self.whole = False
                self._hold(batch[at:])
                break
        return following

    def heal(self, page: Page) -> Healed:
        """Go on with what the history holds behind the line's position, then with what was held.

        If something is missing then as well, `whole` is still False, and one is to read again.
        """
        missed: int | None = 0
        new = [p for p in page.publications if not (self._is_known(p) or p.id in self._tail.values())]
        first = new[0].previous if new else page.top.offset
        if not page.complete or (not self.epoch and first != self.top):
            missed = self._skip_to(Position(first, page.top.epoch))
        for publication in new:
            self._advance(publication)
        self._held = [p for p in self._held if p.epoch == page.top.epoch]  # what is late from before is void
        if self._held and self._held[0].offset <= self.top and not self._is_known(self._held[0]):
            missed = self._skip_to(Position(self._held[0].previous, page.top.epoch))  # offsets were used again
        overflowed, self.overflowed = self.overflowed, False
        following = self._go_on()
        if overflowed:
            self.whole = False
        return Healed([*new, *following], missed)

    def give_up(self) -> Healed:
        """There is no history: go on with what was held, in the order of offsets, for a pair may have been swapped, and
        then where the channel stands."""
        began, held = self.position, self._release()
        if len({p.epoch for p in held}) == 1:
            held.sort(key=lambda p: p.offset)
        missed: int | None = 0
        overflowed, self.overflowed = self.overflowed, False
        delivered: list[Publication] = []
        for publication in held:
            if not self._follows(publication):
                if self._is_known(publication):
                    self.duplicates += 1
                    continue
                more = self._skip_to(Position(publication.previous, publication.epoch))
                missed = None if missed is None or more is None else missed + more
            self._advance(publication)
            delivered.append(publication)
        if not overflowed:
            to, self._stands_at = self._stands_at, None
            behind = to is not None and to.epoch == self.epoch and to.offset > self.top
            if to is not None and (behind or self.position == began):
                more = self._skip_to(to)
                missed = None if missed is None or more is None else missed + more
        self.whole = not overflowed
        return Healed(delivered, missed)

    def _skip_to(self, position: Position) -> int | None:
        """Go on behind this offset, though something before it is missing. Returns how many are, were offsets dense;
        None: nobody knows."""
        if self.epoch in ("", position.epoch) and position.offset >= self.top:
            skipped = position.offset - self.top
            self._skipped[position.offset] = self.top
            if len(self._skipped) > TAIL:
                del self._skipped[next(iter(self._skipped))]
            self.top, self.epoch = position
            return skipped
        self._stand_at(position)
        return None

    def _stand_at(self, position: Position) -> None:
        self.top, self.epoch = position
        self._floor = self.top
        self._skipped.clear()
        self._tail.clear()

    def _follows(self, publication: Publication) -> bool:
        if publication.epoch == self.epoch:
            return publication.previous == self.top
        return not self.epoch and publication.previous == 0  # the channel's first

    def _is_known(self, publication: Publication) -> bool:
        """Whether it was delivered, or given up, before: by its id, or from before the ids that are remembered."""
        offset = publication.offset
        if publication.epoch != self.epoch or offset > self.top:
            return False
        if offset <= self._floor:
            return True
        if (known := self._tail.get(offset)) is not None:
            return known == publication.id
        if any(after < offset <= until for until, after in self._skipped.items()):
            return True
        return len(self._tail) == TAIL and offset < next(iter(self._tail))

    def _advance(self, publication: Publication) -> None:
        self.top, self.epoch = publication.offset, publication.epoch
        tail = self._tail
        tail[publication.offset] = publication.id
        if len(tail) > TAIL:
            del tail[next(iter(tail))]

    def _go_on(self) -> Sequence[Publication]:
        """Nothing is missing before what was held."""
        self.whole = True
        return self.follow(self._release())

    def _hold(self, publications: Iterable[Publication]) -> None:
        for publication in publications:
            if len(self._held) >= HELD or self._held_size >= HELD_SIZE:
                self.overflowed = True
                return
            self._held.append(publication)
            self._held_size += len(publication.body)

    def _release(self) -> list[Publication]:
        held, self._held, self._held_size = self._held, [], 0
        return held
