"""What the counts come to, and how it looks."""

from __future__ import annotations

import io
import json
import math
import re
from collections import Counter
from typing import Any

import pytest
from rich.console import Console

from hubbub.cli.gauge import MOST_ROWS, Gauge, rows, show
from hubbub.load.histogram import Histogram
from hubbub.load.plan import Plan
from hubbub.load.report import Latency, Report, report
from hubbub.load.run import View
from hubbub.load.tally import Progress, Tally

SECOND = 1_000_000_000


def histogram(*values: int) -> Histogram:
    made = Histogram()
    for value in values:
        made.record(value)
    return made


def reported(*, interrupted: bool = False, descriptors: float = math.inf, plan: Any = None, **counts: Any) -> Report:
    """Of a sound run of two messages to each of four members, but for what is given."""
    sound = {
        "connected": 4,
        "planned": 2,
        "sent": 2,
        "expected": 8,
        "own_expected": 2,
        "received": 8,
        "own": 2,
        "published": SECOND,
        "last": SECOND // 2,
        "latency": histogram(*range(1_000_000, 9_000_000, 1_000_000)),
        "busy": [0.25],
    }
    asked = Plan(url="ws://a.example", connections=4, **(plan or {}))
    return report(asked, Tally(**{**sound, **counts}), interrupted=interrupted, descriptors=descriptors)


def test_a_sound_run() -> None:
    found = reported()
    assert found.sound
    assert found.warnings == []
    assert (found.messages.expected, found.messages.lost, found.messages.received_per_second) == (8, 0, 8)
    assert (found.latency_ms.median, found.latency_ms.largest) == (pytest.approx(4, rel=1 / 64), 8)
    data = json.loads(found.as_json())
    assert data["messages"]["to_self"] is True
    assert data["plan"]["connections"] == 4


@pytest.mark.parametrize(
    "fault",
    [
        {"received": 7},
        {"duplicates": 1},
        {"reordered": 1},
        {"strays": 1},
        {"failed": Counter({"connection refused": 1})},
        {"gone": Counter({"reset by the server": 1})},
        {"connected": 0},
    ],
)
def test_any_fault_is_unsound_and_seen(fault: dict[str, Any]) -> None:
    found = reported(**fault)
    assert not found.sound
    assert "Not all is well: " in printed(found)


@pytest.mark.parametrize(
    ("counts", "to_self", "expected", "lost"),
    [
        ({"received": 6, "own": 0}, False, 6, 0),  # all but the publishers got it
        ({"received": 5, "own": 0}, False, 6, 1),
        ({"received": 7, "own": 1}, True, 8, 1),
        ({"received": 0, "own": 0}, True, 8, 8),  # nothing tells: whoever gets nothing is not excused
        ({"received": 2, "own": 2}, True, 8, 6),
    ],
)
def test_whether_publishers_get_their_own_is_found_out(
    counts: dict[str, int], to_self: bool, expected: int, lost: int
) -> None:
    messages = reported(**counts).messages
    assert (messages.to_self, messages.expected, messages.lost) == (to_self, expected, lost)
    assert messages.to_self_detected


def test_or_it_is_said() -> None:
    assert reported(received=6, own=0, plan={"to_self": True}).messages.lost == 2
    assert reported(received=6, own=0, plan={"to_self": False}).messages.lost == 0
    assert reported(received=1, own=1, expected=2, plan={"echo": True}).messages.lost == 1


@pytest.mark.parametrize(
    ("counts", "warning"),
    [
        ({"busy": [0.3, 0.97]}, "used 97% of a core: the figures may be its limit"),
        ({"behind": histogram(*[30_000_000] * 10)}, "30 ms behind its own schedule"),
        ({"sent": 1}, "1 of 2 messages were never sent"),
        ({"received": 0, "own": 0}, "Nothing came back"),
        ({"late": 1, "received": 7}, "part of what counts as lost is late"),
        ({"unsettled": 3}, "3 connections had no answer to a ping"),
        ({"descriptors": 34}, "may have 34 descriptors, and 36 were needed"),
        ({"failed": Counter({"cannot assign requested address": 2})}, "ran out of local ports"),
    ],
)
def test_what_a_reader_has_to_know_is_a_warning(counts: dict[str, Any], warning: str) -> None:
    found = reported(**counts)
    assert [text for text in found.warnings if warning in text]
    assert found.generator.limited == ("core" in warning or "schedule" in warning)
    assert warning in " ".join(printed(found).split())


def test_nothing_unsent_is_held_against_an_interrupted_run() -> None:
    found = reported(interrupted=True, sent=1)
    assert not found.warnings
    assert "interrupted after 1.0 s" in printed(found)


def test_tallies_of_processes_add_up() -> None:
    one = Tally(connected=1, sent=2, failed=Counter(a=1), published=5, latency=histogram(1), busy=[0.1])
    one.merge(Tally(connected=2, sent=3, failed=Counter(a=1, b=1), published=4, latency=histogram(2), busy=[0.2]))
    both = Tally(connected=3, sent=5, failed=Counter(a=2, b=1), published=5, latency=histogram(1, 2), busy=[0.1, 0.2])
    assert one == both
    total = Progress(sent=1, busy=0.5, latency=histogram(1)) + Progress(sent=2, busy=0.1, latency=histogram(9))
    assert total == Progress(sent=3, busy=0.5, latency=histogram(1, 9))


def printed(found: Report, width: int = 80) -> str:
    out = io.StringIO()
    show(found, Console(file=out, width=width, highlight=False))
    return out.getvalue()


def test_it_fits_into_80_columns_whatever_is_said() -> None:
    big = 123_456_789_012
    found = reported(
        failed=Counter({f"closed by the server with 3000, {'because ' * 20}": 1_000_000}),
        busy=[1.0] * 100,
        sent=big,
        expected=big,
        received=big - 1,
        latency=histogram(1, 10**6, 10**9, 10**12),
    )
    found.plan["url"] = f"wss://{'long.' * 12}example.com/{'path/' * 10}"
    shown = printed(found)
    assert all(len(line) <= 80 for line in shown.splitlines()), shown


@pytest.mark.parametrize(
    "values", [[5], [0], [0, 10**13], list(range(100_000, 300_000, 1000)), [10**power for power in range(14)]]
)
def test_rows_hold_everything_and_are_few(values: list[int]) -> None:
    found = rows(Latency.of(histogram(*values)).buckets)
    assert sum(count for _, count in found) == len(values)
    assert len(found) <= MOST_ROWS
    bounds = [bound for bound, _ in found]
    assert bounds == sorted(set(bounds))
    assert bounds[-1] >= max(values) / 1e6


@pytest.mark.parametrize("phase", ["connecting", "publishing", "waiting for what is late"])
@pytest.mark.parametrize("stopping", [False, True])
def test_the_live_lines_fit_too(phase: str, stopping: bool) -> None:
    out = io.StringIO()
    plan = Plan(url="ws://a.example", connections=1_000_000, rate=1e3, duration=1e4)
    many = 999_999_999
    told = Progress(many, many, many, many, many, many, 1.0, histogram(10**12))
    with Gauge(plan, Console(file=out, width=80, force_terminal=True, color_system=None)) as gauge:
        gauge.update(View(phase, 9999.9, stopping, told))
    shown = re.sub(r"\x1b\[[0-9?;]*[a-zA-Z]", "", out.getvalue())
    assert "999,999,999" in shown
    assert ("stopping" if stopping else phase) in shown
    assert all(len(line) <= 80 for line in shown.splitlines()), shown


def test_without_a_terminal_nothing_is_shown_before_the_report() -> None:
    out = io.StringIO()
    with Gauge(Plan(url="ws://a.example"), Console(file=out)) as gauge:
        gauge.update(View("publishing", 1.0, False, Progress()))
    assert out.getvalue() == ""
