"""The judge of worlds of sessions finds what is wrong in what clients were told."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.judge import Record
from faults.sessions.judge import SessionVerdict, judge
from faults.sessions.members import Event

EPOCH = "epoch001"


def item(number: int) -> str:
    return f"000001{number:08}"


def got(number: int) -> Event:
    return Event("publication", offset=number, item=item(number))


def came(offset: int = 0) -> Event:
    return Event("subscribed", EPOCH, offset)


def recovered(since: int, *numbers: int, epoch: str = EPOCH) -> Event:
    found = tuple((number, item(number)) for number in numbers)
    return Event("subscribed", epoch, since, since=(EPOCH, since), recovered=True, found=found)


def failed(since: int, at: int) -> Event:
    return Event("subscribed", EPOCH, at, since=(EPOCH, since))


TOLD = Event("told")


def judged(folder: Path, events: list[Event], dense: bool, until: int = 6) -> SessionVerdict:
    """What is said of one client, where six were published."""
    (folder / "000001.published").write_text("".join(f"{n} ok {EPOCH} {n}\n" for n in range(1, 7)))
    return judge(Record(folder), [("c00000", events)], dense, (EPOCH, until))


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize(
    "events",
    [
        [came(), *map(got, range(1, 7))],
        [came(3), *map(got, range(4, 7))],
        [came(), got(1), recovered(1, 2, 3), *map(got, range(4, 7))],
        [came(), got(1), TOLD, recovered(1, 2, 3, 4, 5, 6)],
        [came(), got(1), failed(1, 4), got(5), got(6)],
        [came(6), recovered(6)],
    ],
)
def test_nothing_is_found_where_nothing_is_wrong(tmp_path: Path, events: list[Event], dense: bool) -> None:
    assert judged(tmp_path, events, dense).wrong == 0


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ([came(), got(1), got(3), got(4), got(5), got(6)], "unsignalled"),
        ([came(), got(1), got(3), TOLD, recovered(3, 4, 5, 6)], "unsignalled"),
        ([came(), got(1), got(2)], "unsignalled"),
        ([came(), got(1), recovered(1, 3, 4, 5, 6)], "false"),
        ([came(), got(1), recovered(1), got(3), got(4), got(5), got(6)], "false"),
        ([came(), got(1), recovered(1, 2, epoch="another0")], "false"),
        ([came(), got(1), recovered(0, 1, 2, 3, 4, 5, 6)], "duplicates"),
        ([came(3), got(2), *map(got, range(4, 7))], "inversions"),
        ([came(5), got(6), Event("wrong", item="sent away with 3501")], "refused"),
    ],
)
def test_each_fault_is_found(tmp_path: Path, events: list[Event], fault: str, dense: bool) -> None:
    verdict = judged(tmp_path, events, dense)
    assert getattr(verdict, fault) > 0, verdict
