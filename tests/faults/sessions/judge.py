"""What clients of sessions were told, judged: their positions go through the channel one by one, or they are told.

What there was, and in which order, is known from the broker: see `faults/judge.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from faults.judge import Record
from faults.sessions.members import Event

__all__ = ["SessionVerdict", "judge"]


@dataclass
class SessionVerdict:
    """Counts over all clients, but for `messages`, `acknowledged` and `lost`, which are publications."""

    members: int = 0
    messages: int = 0
    acknowledged: int = 0
    deliveries: int = 0
    healed: int = 0
    recovered: int = 0
    """Times that something was missed and came with the reply."""
    told: int = 0
    """Times that a client was told that it has missed something: 2500, 3010, or a recovery that failed."""
    unrecovered: int = 0
    """Of these, recoveries that failed."""
    unsignalled: int = 0
    duplicates: int = 0
    inversions: int = 0
    false: int = 0
    """A reply says recovered, and something is missing."""
    lost: int = 0
    refused: int = 0
    """Something that may not happen to a client: it was sent away, or not answered."""
    faults: list[str] = field(default_factory=list[str])

    def complain(self, what: str) -> None:
        if len(self.faults) < 20:
            self.faults.append(what)

    @property
    def wrong(self) -> int:
        return self.unsignalled + self.duplicates + self.inversions + self.false + self.lost + self.refused

    def __str__(self) -> str:
        return ", ".join(f"{f.name} {getattr(self, f.name)}" for f in fields(self) if f.name != "faults")


def judge(
    record: Record, members: Iterable[tuple[str, list[Event]]], dense: bool, last: tuple[str, int] | None
) -> SessionVerdict:
    """Args:
    members: of each its name, and what it was told.
    dense: offsets rise one by one.
    last: where the channel stands in the end.
    """
    verdict = SessionVerdict(messages=len(record.places), acknowledged=len(record.acknowledged))
    for doubled in record.doubled:
        verdict.duplicates += 1
        verdict.complain(doubled)
    for name, events in members:
        verdict.members += 1
        judging = _Judging(record, verdict, dense, name)
        for event in events:
            judging.take(event)
        if last is not None:
            judging.end(last)
    return verdict


class _Judging:
    """One client."""

    def __init__(self, record: Record, verdict: SessionVerdict, dense: bool, name: str) -> None:
        self.record, self.verdict, self.dense, self.name = record, verdict, dense, name
        self.met: set[str] = set()
        self.at: tuple[str, int] | None = None  # where it believes to be
        self.by_recovery = False  # the position is one that a recovery has claimed, and nothing has come since

    def take(self, event: Event) -> None:
        verdict = self.verdict
        if event.kind == "wrong":
            verdict.refused += 1
            self._complain(event.item)
        elif event.kind == "told":
            verdict.told += 1
        elif event.kind == "publication":
            self._follow(event.offset, event.item, "unsignalled")
        elif event.since is None or not event.recovered:
            if event.since is not None:
                verdict.told += 1
                verdict.unrecovered += 1
            self.at, self.by_recovery = (event.epoch, event.offset), False
        elif event.since[0] not in ("", event.epoch):
            verdict.false += 1
            self._complain(f"recovered from {event.since} in epoch {event.epoch}")
            self.at = event.epoch, event.offset
        else:
            self.at, self.by_recovery = (event.epoch, event.since[1]), True
            verdict.recovered += bool(event.found)
            for offset, item in event.found:
                self._follow(offset, item, "false")

    def _follow(self, offset: int, item: str, fault: str) -> None:
        verdict = self.verdict
        verdict.deliveries += 1
        place = self.record.places.get(item)
        assert self.at is not None
        if item in self.met:
            verdict.duplicates += 1
            self._complain(f"{item} came twice")
        elif place is None or place[1] != offset:
            verdict.inversions += 1
            self._complain(f"{item} came as {offset}, and is at {place}")
        elif place[0] != self.at[0]:
            if self.at[0]:  # "": it was there before the channel's first epoch
                self._missing(f"{item} at {place} came after {self.at}", fault)
        elif offset <= self.at[1]:
            verdict.inversions += 1
            self._complain(f"{item} at {place} came after {self.at}")
        elif missing := self._between(self.at, offset):
            self._missing(f"{missing} are missing between {self.at} and {place}", fault)
        self.met.add(item)
        self.at, self.by_recovery = (place[0] if place else self.at[0], offset), fault == "false"

    def _missing(self, what: str, fault: str) -> None:
        fault = "false" if self.by_recovery else fault
        setattr(self.verdict, fault, getattr(self.verdict, fault) + 1)
        self._complain(what + (", though it was told that it has recovered" if fault == "false" else ""))

    def _between(self, at: tuple[str, int], offset: int) -> int:
        if self.dense:
            return offset - at[1] - 1
        known = self.record.offsets[at[0]]
        return bisect_right(known, offset - 1) - bisect_right(known, at[1])

    def end(self, last: tuple[str, int]) -> None:
        if self.at is None:
            self.verdict.refused += 1
            self._complain("was never subscribed")
        elif self.at[0] != last[0] or self._between(self.at, last[1] + 1):
            self._missing(f"the end is at {last}, and it is at {self.at}", "unsignalled")

    def _complain(self, what: str) -> None:
        self.verdict.complain(f"{self.name}: {what}")
