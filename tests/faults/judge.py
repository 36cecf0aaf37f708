"""What members have seen, judged: no duplicate, no inversion, and no gap that was not told of.

A position (epoch and offset) is the truth about order: the broker said it of each publication, to the publisher and to
every node, and both have written it down. A member's log is what it was sent; in it, a mark stands where the hub's
`missed` was called.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path

from faults.members import messages

NEAR = 320  # messages behind a mark that may be of the gap that it tells of: a line holds 256


@dataclass
class Verdict:
    """Counts over all members, but for `messages` and `lost`, which are publications."""

    members: int = 0
    messages: int = 0
    acknowledged: int = 0
    unknown: int = 0
    deliveries: int = 0
    gaps: int = 0
    told: int = 0
    untold: int = 0
    miscounted: int = 0
    duplicates: int = 0
    inversions: int = 0
    lost: int = 0
    healed: int = 0
    faults: list[str] = field(default_factory=list)

    def complain(self, what: str) -> None:
        if len(self.faults) < 20:
            self.faults.append(what)

    @property
    def wrong(self) -> int:
        return self.untold + self.miscounted + self.duplicates + self.inversions + self.lost

    def __str__(self) -> str:
        return ", ".join(f"{f.name} {getattr(self, f.name)}" for f in fields(self) if f.name != "faults")


class Record:
    """What the workers of one world wrote down."""

    def __init__(self, folder: Path) -> None:
        self.places: dict[str, tuple[str, int]] = {}
        self.items: dict[tuple[str, int], str] = {}
        self.previous: dict[tuple[str, int], int] = {}
        self.acknowledged: dict[str, tuple[str, int]] = {}
        self.unknown: set[str] = set()
        self.doubled: list[str] = []
        for file in sorted(folder.glob("*.published")):
            for line in _lines(file):
                number, outcome, *place = line.split()
                item = f"{file.stem}{int(number):08}"
                if outcome == "ok":
                    self.acknowledged[item] = (place[0], int(place[1]))
                    self.note(item, place[0], int(place[1]))
                elif outcome == "unknown":
                    self.unknown.add(item)
        for file in sorted(folder.glob("*.seen")):
            for line in _lines(file):
                epoch, offset, previous, item = line.split()
                self.note(item, epoch, int(offset))
                self.previous[epoch, int(offset)] = int(previous)
        self.sort()

    def sort(self) -> None:
        """What has been noted."""
        self.offsets: dict[str, list[int]] = defaultdict(list)
        for epoch, offset in sorted(self.items):
            self.offsets[epoch].append(offset)

    def up_to(self, epoch: str, offset: int) -> int:
        """How many are known of that epoch with that offset or a lower one."""
        return bisect_right(self.offsets[epoch], offset)

    def note(self, item: str, epoch: str, offset: int) -> None:
        known = self.places.get(item)
        if known is not None and known != (epoch, offset):
            self.doubled.append(f"{item} is at {known} and at {(epoch, offset)}")
        other = self.items.setdefault((epoch, offset), item)
        if other != item:
            self.doubled.append(f"{(epoch, offset)} is of {other} and of {item}")
        self.places[item] = (epoch, offset)


def _lines(file: Path) -> list[str]:
    """Whole ones: the last may have been cut short by a kill."""
    return [line[:-1] for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]


def judge(record: Record, logs: Iterable[list[bytes]], dense: bool, last: tuple[str, int] | None) -> Verdict:
    """Args:
    logs: of each member, its connections one after the other.
    dense: offsets rise one by one.
    last: where the channel stands in the end, which all that are still there have reached.
    """
    verdict = Verdict(messages=len(record.places), acknowledged=len(record.acknowledged), unknown=len(record.unknown))
    for doubled in record.doubled:
        verdict.duplicates += 1
        verdict.complain(doubled)
    judged: dict[tuple[bytes, ...], Verdict] = {}
    for log in logs:
        key = tuple(log)
        if key not in judged:
            judged[key] = _judge(record, log, dense, last)
        one = judged[key]
        verdict.members += 1
        for name in ("deliveries", "gaps", "told", "untold", "miscounted", "duplicates", "inversions"):
            setattr(verdict, name, getattr(verdict, name) + getattr(one, name))
        for fault in one.faults:
            if fault not in verdict.faults:
                verdict.complain(fault)
    return verdict


def _judge(record: Record, log: list[bytes], dense: bool, last: tuple[str, int] | None) -> Verdict:
    judging = _Judging(record, dense)
    for connection in log:
        judging.connect()
        for said in messages(connection):
            judging.take(said)
    if last is not None:
        judging.end(last)
    return judging.verdict


class _Judging:
    """One member's log, message by message."""

    def __init__(self, record: Record, dense: bool) -> None:
        self.record = record
        self.dense = dense
        self.verdict = Verdict()
        self.met: set[str] = set()
        self.epochs: list[str] = []
        self.newest: dict[str, int] = {}  # number by publisher
        self.before: tuple[str, int] | None = None

    def connect(self) -> None:
        self.told = _Told()
        self.first = True  # what it missed before it came is its own affair

    def take(self, said: str) -> None:
        verdict = self.verdict
        if said.startswith("missed "):
            count = said.split()[1]
            self.told.tell(None if count == "some" else int(count))
            verdict.told += 1
            return
        verdict.deliveries += 1
        self.told.passed += 1
        if said in self.met:
            verdict.duplicates += 1
            verdict.complain(f"{said} came twice")
        elif said not in self.record.places:
            verdict.inversions += 1
            verdict.complain(f"{said} came from nowhere")
        else:
            self.place(said, self.record.places[said])
        self.met.add(said)

    def place(self, said: str, place: tuple[str, int]) -> None:
        verdict, before = self.verdict, self.before
        publisher, count = said[:6], int(said[6:])
        epoch, offset = place
        backwards = before is not None and (offset <= before[1] if epoch == before[0] else epoch in self.epochs)
        if backwards or count <= self.newest.get(publisher, 0):
            verdict.inversions += 1
            verdict.complain(f"{said} at {place} came after {before}, {publisher} {self.newest.get(publisher)}")
        self.newest[publisher] = count
        if self.first:
            self.told = _Told()
        elif before is not None:
            _look_for_gap(self.record, verdict, self.told, before, place, self.dense)
        self.first = False
        if epoch not in self.epochs:
            self.epochs.append(epoch)
        self.before = place

    def end(self, last: tuple[str, int]) -> None:
        verdict, told = self.verdict, self.told
        if self.before is None or self.first:
            return
        _look_for_gap(self.record, verdict, told, self.before, last, self.dense, at_end=True)
        if self.dense and told.counted and not told.vaguely:
            verdict.miscounted += 1
            verdict.complain(f"{told.counted} were told of that are not missing")


class _Told:
    """What has been told of and not found yet."""

    def __init__(self) -> None:
        self.passed = 0
        self.counted = 0
        self.some: int | None = None  # where the last mark of an unknown number was

    def tell(self, count: int | None) -> None:
        if count is None:
            self.some = self.passed
        else:
            self.counted += count

    @property
    def vaguely(self) -> bool:
        return self.some is not None and self.passed - self.some <= NEAR


def _look_for_gap(
    record: Record, verdict: Verdict, told: _Told, before: tuple[str, int] | None, place: tuple[str, int], dense: bool,
    at_end: bool = False,
) -> None:  # fmt: skip
    assert before is not None
    if before[0] != place[0]:
        rest = len(record.offsets[before[0]]) - record.up_to(*before)
        missing = rest + record.up_to(place[0], place[1] - (not at_end))
        exact = False
    elif dense:
        missing, exact = place[1] - before[1] - (not at_end), True
    else:
        previous = record.previous.get(place)
        known = record.up_to(place[0], place[1] - (not at_end)) - record.up_to(*before)
        missing, exact = max(known, int(previous is not None and not at_end and previous != before[1])), False
    if missing <= 0:
        return
    verdict.gaps += 1
    if exact and told.counted >= missing:
        told.counted -= missing
    elif told.vaguely:
        told.counted = 0
    elif not told.counted:
        verdict.untold += 1
        verdict.complain(f"between {before} and {place} {missing} are missing, and nobody told")
    else:
        if exact:
            verdict.miscounted += 1
            verdict.complain(f"between {before} and {place} {missing} are missing, and {told.counted} were told of")
        told.counted = 0
