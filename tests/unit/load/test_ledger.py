"""Losses, repetitions and order, message by message."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from hubbub.load.ledger import PUBLISHERS, WINDOW, Arrival, Cursor, Ledger
from hubbub.load.marker import Delivery
from hubbub.load.plan import Plan, Share

FRESH, REORDERED, DUPLICATE = Arrival.FRESH, Arrival.REORDERED, Arrival.DUPLICATE


def ledger(**settings: Any) -> Ledger:
    plan = Plan(url="ws://localhost", **{"connections": 4, "rooms": 2, **settings})
    return Ledger(Share(plan, 0, "abcd", 0))


@pytest.mark.parametrize(
    ("arrivals", "found"),
    [
        ([(1, 0), (2, 1), (1, 2)], [FRESH, FRESH, FRESH]),
        ([(1, 0), (1, 0)], [FRESH, DUPLICATE]),
        ([(1, 0), (1, 2), (1, 1)], [FRESH, FRESH, REORDERED]),
        ([(1, 0), (2, 2), (1, 1)], [FRESH, FRESH, FRESH]),  # of different publishers: no order was promised
        ([(2, 2), (1, 1), (2, 0)], [FRESH, FRESH, REORDERED]),
        ([(1, 1), (2, 2), (1, 0), (1, 0)], [FRESH, FRESH, REORDERED, DUPLICATE]),
        ([(1, 3), (1, 3), (1, 1), (2, 2), (1, 1)], [FRESH, DUPLICATE, REORDERED, FRESH, DUPLICATE]),
        ([(1, 2), (1, 1), (1, 0)], [FRESH, REORDERED, REORDERED]),
    ],
)
def test_a_cursor_tells_fresh_late_and_repeated_apart(arrivals: list[tuple[int, int]], found: list[Arrival]) -> None:
    cursor = Cursor()
    assert [cursor.arrive(*arrival) for arrival in arrivals] == found


def test_a_cursor_stays_small_whatever_comes() -> None:
    cursor = Cursor()
    for sequence in range(0, 20 * WINDOW, 10):  # nine of ten are missing
        assert cursor.arrive(sequence // 10 % 1000, sequence) is FRESH
    assert cursor.missing.bit_length() <= 2 * WINDOW
    assert len(cursor.latest) <= PUBLISHERS
    assert cursor.arrive(1, 1) is DUPLICATE  # later than the window knows
    assert cursor.arrive(1, cursor.top - 2) is FRESH
    assert cursor.arrive(1, 0xFFFFFFFF) is FRESH  # a sequence number that nobody sent
    assert sys.getsizeof(cursor.missing) < WINDOW


def test_everybody_in_the_room_is_expected_to_get_everything() -> None:
    account = ledger()
    members = [account.admit(number) for number in range(4)]
    for _ in range(3):
        delivery = account.send(members[0], 10)
        for member in (members[0], members[2]):
            account.receive(member, [delivery], 25)
    assert account.expected([account.sent]) == 3 * 2
    assert (account.received, account.own, account.strays, account.last) == (6, 3, 0, 25)
    assert account.latency.largest == 15
    assert account.own_sent == 3


def test_messages_of_another_room_are_strays() -> None:
    account = ledger()
    members = [account.admit(number) for number in range(4)]
    account.receive(members[1], [account.send(members[0], 0)], 0)
    assert (account.received, account.strays) == (0, 1)


def test_own_messages_are_strays_where_they_are_not_to_come() -> None:
    account = ledger(to_self=False)
    member = account.admit(0)
    account.receive(member, [account.send(member, 0)], 0)
    assert (account.received, account.strays) == (0, 1)


def test_in_echo_each_connection_is_a_room() -> None:
    account = ledger(echo=True)
    one, other = account.admit(0), account.admit(2)
    delivery = account.send(one, 0)
    account.receive(one, [delivery], 0)
    account.receive(other, [delivery], 0)
    assert (account.received, account.own, account.strays) == (1, 1, 1)


def test_streams_of_several_processes_are_apart() -> None:
    account = ledger(processes=2, rooms=1)
    member = account.admit(0)
    account.receive(member, [Delivery(0, 0, 0), Delivery(1, 0, 0), Delivery(3, 1, 0), Delivery(2, 1, 0)], 0)
    assert (account.received, account.duplicates, account.reordered) == (4, 0, 0)
    assert account.expected([{0: 2}, {0: 3}]) == 5


def test_repeated_and_reordered_messages_are_counted() -> None:
    account = ledger(rooms=1)
    member = account.admit(1)
    account.receive(member, [Delivery(0, 1, 0), Delivery(0, 0, 0), Delivery(0, 0, 0)], 0)
    assert (account.received, account.reordered, account.duplicates) == (2, 1, 1)
