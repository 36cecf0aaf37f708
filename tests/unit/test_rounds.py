"""The deadline of a round, by a loop and a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hubbub.rounds import ALLOWANCE, FEW, FIRST, GOAL, MANY, Round, allowed_starts


class Loop:
    """Runs what is due when it is told to go round."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[Callable[[], Any]] = []

    def call_soon(self, callback: Callable[[], Any]) -> None:
        self.due.append(callback)

    def go_round(self, took: float = 0.0) -> None:
        self.now += took
        due, self.due = self.due, []
        for callback in due:
            callback()


class Peer:
    """Something whose input waits: so many messages that take so long each."""

    def __init__(self, loop: Loop, round: Round, messages: int, takes: float) -> None:
        self.loop, self.round, self.messages, self.takes = loop, round, messages, takes

    def go_on(self, until: float) -> None:
        while self.messages:
            self.messages -= 1
            self.loop.now += self.takes
            if self.loop.now >= until:
                break
        if self.messages:
            self.round.later(self)


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def round(loop: Loop) -> Round:
    made: Any = Round
    return made(loop, lambda: loop.now)


def test_what_is_spent_is_gone_until_the_next_round(loop: Loop, round: Round) -> None:
    round.spend(ALLOWANCE / 2)
    assert round.left() == pytest.approx(ALLOWANCE / 2)
    round.spend(ALLOWANCE)
    assert round.left() == 0
    loop.go_round()
    assert round.left() == ALLOWANCE


def test_little_things_cost_the_loop_nothing_until_they_add_up(loop: Loop, round: Round) -> None:
    for _ in range(10):
        round.spend(ALLOWANCE / 50)
    assert not loop.due
    round.spend(ALLOWANCE / 10)
    assert len(loop.due) == 1
    for _ in range(3):
        loop.go_round()
    assert not loop.due  # and nothing is due in idleness
    loop.go_round()
    assert round.left() == ALLOWANCE


def test_those_who_wait_take_turns_and_leave_half_of_each_round(loop: Loop, round: Round) -> None:
    peers = [Peer(loop, round, 100, 0.0001) for _ in range(8)]
    for peer in peers:
        round.later(peer)
    loop.go_round()
    assert sum(100 - peer.messages for peer in peers) * 0.0001 < ALLOWANCE * 0.7
    assert 0 < round.left() <= ALLOWANCE / 2
    for _ in range(30):
        loop.go_round()
        heard = [100 - peer.messages for peer in peers]
        assert max(heard) - min(heard) <= 6  # nobody is far ahead
    for _ in range(60):
        loop.go_round()
    assert not any(peer.messages for peer in peers)


def test_a_message_that_takes_longer_than_a_round_is_heard_all_the_same(loop: Loop, round: Round) -> None:
    peer = Peer(loop, round, 5, 1.0)
    round.later(peer)
    for _ in range(5):
        loop.go_round()
    assert peer.messages == 0


def test_what_ends_the_program_leaves_the_others_in_the_queue(loop: Loop, round: Round) -> None:
    class Exits(Peer):
        def go_on(self, until: float) -> None:
            raise SystemExit

    peer = Peer(loop, round, 1, 0.0)
    round.later(Exits(loop, round, 1, 0.0))
    round.later(peer)
    with pytest.raises(SystemExit):
        loop.go_round()
    loop.go_round()
    assert peer.messages == 0


def test_so_many_callbacks_are_started_that_a_round_stays_short(loop: Loop, round: Round) -> None:
    takes, started = 0.001, 0
    for _ in range(40):
        loop.go_round(started * takes)
        started = 0
        while not round.closed and started < 500:
            round.start()
            started += 1
    assert started * takes <= max(3 * GOAL, FEW * takes)
    for _ in range(100):
        loop.go_round(started * takes / 100)  # now they are quick
        started = 0
        while not round.closed and started < 500:
            round.start()
            started += 1
    assert started > FIRST


@pytest.mark.parametrize(
    ("allowed", "started", "took", "expected"),
    [
        (100, 100, 10 * GOAL, 10),
        (100, 50, 10 * GOAL, FEW),
        (1000, 1000, 2 * GOAL, 500),
        (FEW, FEW, 100.0, FEW),  # it may not be they that take so long
        (80, 80, GOAL / 2, 91),
        (MANY, 1, 0.0, MANY),
    ],
)
def test_a_long_round_allows_fewer_and_a_short_one_more(allowed: int, started: int, took: float, expected: int) -> None:
    assert allowed_starts(allowed, started, took) == expected
