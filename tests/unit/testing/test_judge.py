"""The judge of troubled worlds finds what is wrong in what members saw."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.judge import Record, Verdict, judge
from faults.members import BODY

ITEMS = [f"000001{number:08}" for number in range(1, 7)]
MARK_OF_1, MARK_OF_SOME = "missed 1".ljust(BODY), "missed some".ljust(BODY)


def judged(folder: Path, said: list[str], dense: bool = True, until: int = 6) -> Verdict:
    """What is said of one member's log, where six were published, all were acknowledged, and one node saw all."""
    (folder / "000001.published").write_text("".join(f"{n} ok epoch001 {n}\n" for n in range(1, 7)))
    (folder / "000001.seen").write_text("".join(f"epoch001 {n} {n - 1} {ITEMS[n - 1]}\n" for n in range(1, 7)))
    log = b"".join(bytes([0x81, BODY]) + one.encode() for one in said)
    return judge(Record(folder), [[log]], dense, ("epoch001", until))


@pytest.mark.parametrize("dense", [True, False])
def test_nothing_is_found_where_nothing_is_wrong(tmp_path: Path, dense: bool) -> None:
    assert judged(tmp_path, ITEMS, dense).wrong == 0
    assert judged(tmp_path, [*ITEMS[:2], MARK_OF_1, *ITEMS[3:]], dense).wrong == 0
    assert judged(tmp_path, [*ITEMS[:2], MARK_OF_SOME, *ITEMS[4:]], dense).wrong == 0
    assert judged(tmp_path, ITEMS[3:], dense).wrong == 0  # it came late
    assert judged(tmp_path, [*ITEMS[:5], MARK_OF_1], dense).wrong == 0


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ([*ITEMS[:2], *ITEMS[1:]], "duplicates"),
        ([ITEMS[1], ITEMS[0], *ITEMS[2:]], "inversions"),
        ([*ITEMS[:2], *ITEMS[3:]], "untold"),
        ([*ITEMS[:2], *ITEMS[3:], MARK_OF_1], "untold"),
        (ITEMS[:5], "untold"),
        ([*ITEMS[:2], MARK_OF_1, *ITEMS[4:]], "miscounted"),
        ([*ITEMS[:2], MARK_OF_1, *ITEMS[2:]], "miscounted"),
    ],
)
def test_each_fault_is_found(tmp_path: Path, said: list[str], fault: str) -> None:
    verdict = judged(tmp_path, said)
    assert getattr(verdict, fault) > 0, verdict


def test_a_position_that_names_two_publications_is_found(tmp_path: Path) -> None:
    (tmp_path / "000002.published").write_text("1 ok epoch001 3\n")
    assert judged(tmp_path, ITEMS).duplicates == 1
