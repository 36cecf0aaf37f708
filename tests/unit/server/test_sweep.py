"""The sweep with a clock of its own, and what it finds due."""

from __future__ import annotations

import asyncio

import pytest

import hubbub
from hubbub.hub.outlet import total_backlog
from hubbub.limits import Limits
from hubbub.server.deadlines import Deadlines, Due
from hubbub.server.inbox import Inbox
from hubbub.server.sweep import Sweep
from support.outlets import MemorySocket


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Connection:
    def __init__(self, again: list[float | None]) -> None:
        self.due = 0
        self.looked_at: list[float] = []
        self.again = again

    def check(self, now: float) -> float | None:
        self.looked_at.append(now)
        return self.again.pop(0) if self.again else None


async def advance(sweep: Sweep, clock: Clock, seconds: float) -> None:
    clock.now += seconds
    await sweep.tick()


async def test_a_connection_is_looked_at_when_it_is_due_and_not_before() -> None:
    clock = Clock()
    sweep = Sweep(1.0, clock)
    connection = Connection([])
    sweep.at(connection, 1003.5)
    await advance(sweep, clock, 3)
    assert connection.looked_at == []
    await advance(sweep, clock, 1)
    assert connection.looked_at == [1004.0]
    await advance(sweep, clock, 10)
    assert connection.looked_at == [1004.0]


async def test_the_earlier_of_two_times_counts() -> None:
    clock = Clock()
    sweep = Sweep(1.0, clock)
    early, late = Connection([]), Connection([])
    sweep.at(early, 1010)
    sweep.at(early, 1002)
    sweep.at(late, 1002)
    sweep.at(late, 1010)
    await advance(sweep, clock, 3)
    assert early.looked_at
    assert late.looked_at
    assert not early.due


async def test_one_that_asks_for_it_is_looked_at_again_and_one_that_left_is_not() -> None:
    clock = Clock()
    sweep = Sweep(1.0, clock)
    again, gone = Connection([1005.0, None]), Connection([])
    sweep.at(again, 1000)
    sweep.at(gone, 1000)
    sweep.remove(gone)
    for _ in range(8):
        await advance(sweep, clock, 1)
    assert len(again.looked_at) == 2
    assert gone.looked_at == []


async def test_a_loop_that_was_held_up_catches_up_once() -> None:
    clock = Clock()
    sweep = Sweep(1.0, clock)
    connection = Connection([0.0, None])
    sweep.at(connection, 1001)
    await advance(sweep, clock, 3600)
    assert len(connection.looked_at) == 1
    await advance(sweep, clock, 1.5)
    assert len(connection.looked_at) == 2


async def test_ten_thousand_that_are_due_leave_the_loop_its_turns() -> None:
    clock = Clock()
    sweep = Sweep(1.0, clock)
    connections = [Connection([]) for _ in range(10_000)]
    for connection in connections:
        sweep.at(connection, 1000)
    await advance(sweep, clock, 2)
    assert all(connection.looked_at for connection in connections)


async def test_two_thousand_that_stall_together_are_cut_in_one_tick_and_the_loop_goes_on() -> None:
    """As the outlets over a transport are: those of the compiled fan-out have a test of their own."""
    loop = asyncio.get_running_loop()
    sweep = Sweep(0.1, loop.time)
    cuts: list[tuple[float, int]] = []  # when, and in which turn of the loop
    turn = 0

    class Stalled:
        def __init__(self) -> None:
            self.due = 0
            self.deadlines = Deadlines()
            self.user = MemorySocket(LIMITS)
            self.user.block()
            self.user.outlet.write(hubbub.text("unread"))
            self.deadlines.stall(began, 8)

        def check(self, now: float) -> float | None:
            due, again = self.deadlines.judge(now, limits, left=8, waiting=self.user.outlet.buffered)
            if due is Due.NOTHING:
                return again
            assert due is Due.STALLED
            self.user.outlet.detach()
            cuts.append((loop.time(), turn))
            return None

    limits, began, before = Limits(backlog_timeout=0.3), loop.time(), total_backlog()
    stalled = [Stalled() for _ in range(2000)]
    for one in stalled:
        sweep.at(one, began + 0.3)
    assert total_backlog() > before
    sweeping = asyncio.create_task(sweep.run())
    while len(cuts) < len(stalled):
        await asyncio.sleep(0)
        turn += 1
        assert loop.time() < began + 5
    sweeping.cancel()
    assert cuts[0][0] >= began + 0.3
    assert cuts[-1][0] < began + 0.3 + 0.1 + 0.5  # a tick, and the work itself on a busy machine
    assert len({when for _, when in cuts}) > 2
    assert total_backlog() == before


LIMITS = Limits(ping_interval=25, pong_timeout=10, message_timeout=60, backlog_timeout=5)


@pytest.mark.parametrize(
    ("setting", "now", "due", "again"),
    [
        ({"seen": 100.0}, 120, Due.NOTHING, 125),
        ({"seen": 100.0}, 125, Due.PING, 135),
        ({"seen": 100.0, "pinged": 125.0}, 130, Due.NOTHING, 135),
        ({"seen": 100.0, "pinged": 125.0}, 135, Due.NO_PONG, 135),
        ({"seen": 126.0, "pinged": 125.0}, 135, Due.NOTHING, 151),
        ({"seen": 100.0, "unfinished": 60.0}, 110, Due.NOTHING, 120),
        ({"seen": 119.0, "unfinished": 60.0}, 120, Due.UNFINISHED, 120),
        ({"seen": 100.0, "stalled": 99.0}, 103, Due.NOTHING, 104),
        ({"seen": 100.0, "stalled": 99.0}, 104, Due.STALLED, 104),
    ],
)
def test_what_is_due(setting: dict[str, float], now: float, due: Due, again: float) -> None:
    deadlines = Deadlines()
    for name, value in setting.items():
        setattr(deadlines, name, value)
    assert deadlines.judge(now, LIMITS, left=0) == (due, again)


def test_a_kernel_that_takes_some_bytes_has_its_time_anew() -> None:
    deadlines = Deadlines()
    deadlines.seen = 100
    deadlines.stall(100, 5000)
    assert deadlines.judge(104, LIMITS, left=4000).again == 109
    assert deadlines.judge(108, LIMITS, left=4000).due is Due.NOTHING
    assert deadlines.judge(109, LIMITS, left=4000).due is Due.STALLED


def test_silence_of_one_that_is_not_read_is_not_held_against_it() -> None:
    deadlines = Deadlines()
    deadlines.seen, deadlines.pinged, deadlines.unfinished = 100, 125, 90
    deadlines.excuse(200)
    assert deadlines.judge(200, LIMITS, left=0) == (Due.NOTHING, 225)


class Source:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def hold(self) -> None:
        self.calls.append("hold")

    def read_on(self) -> None:
        self.calls.append("read on")


@pytest.mark.parametrize(("size", "most"), [(0, 4), (300, 4)], ids=["by number", "by bytes"])
def test_an_inbox_holds_its_source_when_full_and_reads_on_when_half_empty(size: int, most: int) -> None:
    source = Source()
    inbox: Inbox[int] = Inbox(source, Limits(max_inbox=4 if not size else 1000, max_inbox_size=1200))
    for number in range(most - 1):
        inbox.put(number, size)
    assert source.calls == []
    inbox.put(most - 1, size)
    assert source.calls == ["hold"]
    inbox.take()
    assert source.calls == ["hold"]
    inbox.take()
    assert source.calls == ["hold", "read on"]
    assert [inbox.take() for _ in range(len(inbox))] == [2, 3]


def test_no_pong_is_due_while_the_ping_waits_or_the_peer_still_takes_what_is_before_it() -> None:
    deadlines = Deadlines()
    deadlines.seen = 100
    assert deadlines.judge(125, LIMITS, left=0, waiting=9000).due is Due.PING
    for now, waiting, queued in ((135, 5000, 4000), (145, 0, 4000), (155, 0, 2000)):
        assert deadlines.judge(now, LIMITS, left=0, waiting=waiting, queued=queued) == (Due.NOTHING, now + 10)
    assert deadlines.judge(165, LIMITS, left=0, queued=2000).due is Due.NO_PONG
