"""What is asked for, and what follows from it."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.errors import Misuse
from hubbub.load.plan import Plan, Schedule, Share, Target


@pytest.mark.parametrize(
    ("url", "target", "authority"),
    [
        ("localhost:4545", Target(False, "localhost", 4545, "/"), "localhost:4545"),
        ("ws://a.example/chat?x={room}", Target(False, "a.example", 80, "/chat?x={room}"), "a.example"),
        ("wss://a.example", Target(True, "a.example", 443, "/"), "a.example"),
        ("wss://[::1]:9/{room}", Target(True, "::1", 9, "/{room}"), "[::1]:9"),
    ],
)
def test_addresses(url: str, target: Target, authority: str) -> None:
    assert Target.parse(url) == target
    assert target.authority == authority


@pytest.mark.parametrize("url", ["http://a.example", "ws://", "ws://a:b", "ws://a/ü", "ws://a/b c", "ws://[::1", ""])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(Misuse):
        Target.parse(url)


@pytest.mark.parametrize(
    "wrong",
    [
        {"connections": 0},
        {"rooms": 11},
        {"processes": 11},
        {"rate": 0.0},
        {"rate": float("inf")},
        {"duration": float("nan")},
        {"ramp": -1.0},
        {"payload": 32},
        {"say": "hello"},
        {"connections": 1 << 24},
        {"rate": 1e6, "duration": 1e6},
    ],
)
def test_what_can_never_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Misuse):
        Plan(**{"url": "ws://localhost", "connections": 10, **wrong})


def test_templates_fill_their_places_and_nothing_else() -> None:
    plan = Plan(url="ws://localhost", connections=10, rooms=4)
    filled = plan.expand(
        '{"a": {}, "room": "{room}", "n": {number}, "c": {connection}, "say": "{payload}"}', 6, "{room}"
    )
    assert filled == '{"a": {}, "room": "load-2", "n": 2, "c": 6, "say": "{room}"}'
    assert plan.expand("{payload}", 6) == "{payload}"
    echo = Plan(url="ws://localhost", connections=10, echo=True, rooms=100, room_name="my-{number}")
    assert echo.expand("{room}", 9) == "my-9"


@pytest.mark.parametrize(
    ("rate", "duration", "total"), [(100, 5, 500), (10, 0.3, 3), (0.5, 3, 2), (3, 1, 3), (7, 0.1, 1)]
)
def test_a_schedule_is_even_and_ends(rate: float, duration: float, total: int) -> None:
    schedule = Schedule(rate, duration)
    assert schedule.total == total
    assert schedule.due(-0.1) == 0
    for index in range(total):
        assert schedule.due(schedule.at(index)) == index + 1
        assert schedule.at(index) < duration
    assert schedule.due(1000) == total


def test_processes_share_connections_ramp_and_schedule() -> None:
    plan = Plan(url="ws://localhost", connections=10, rate=30, duration=1, processes=3, ramp=10)
    shares = [Share(plan, process, "abcd", 0) for process in range(3)]
    assert sorted(number for share in shares for number in share.connections) == list(range(10))
    times = sorted(share.opens_at(index) for share in shares for index in range(len(share.connections)))
    assert times == pytest.approx([number / 10 for number in range(10)])
    assert sum(share.schedule.total for share in shares) == 30
    due = sorted(share.schedule.at(index) for share in shares for index in range(10))
    assert due == pytest.approx([number / 30 for number in range(30)])
    assert Share(Plan(url="ws://localhost", ramp=0), 0, "", 0).opens_at(50) == 0
