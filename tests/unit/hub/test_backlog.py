"""The backlog: a pure structure, so every policy is a table of what goes in and what is left."""

from __future__ import annotations

import pytest

from hubbub.errors import Misuse
from hubbub.hub.backlog import Backlog, Outcome, Overflow, TotalBacklog, Waiting


def backlog(policy: Overflow, limit: int = 10, total_limit: int = 1000) -> Backlog:
    return Backlog(limit, total_limit, policy, TotalBacklog())


def drain(waiting: Backlog) -> list[bytes]:
    return [waiting.take(1) for _ in range(len(waiting))]


def test_frames_leave_in_order_and_joined_up_to_a_size() -> None:
    waiting = backlog(Overflow.DISCONNECT)
    for data in (b"aaa", b"bbb", b"cc"):
        assert waiting.add(Waiting(data, "room")) == Outcome(True)
    assert waiting.size == 8
    assert waiting.take(6) == b"aaabbb"
    assert waiting.take(1) == b"cc"
    assert (waiting.size, len(waiting)) == (0, 0)


def test_a_single_frame_larger_than_the_limit_may_wait_alone() -> None:
    waiting = backlog(Overflow.DISCONNECT)
    assert waiting.add(Waiting(b"x" * 50, None)).accepted
    assert not waiting.add(Waiting(b"y", None)).accepted


def test_what_the_transport_still_holds_counts() -> None:
    waiting = backlog(Overflow.DISCONNECT)
    assert waiting.add(Waiting(b"12345", None), already=5).accepted
    assert waiting.add(Waiting(b"1", None), already=5) == Outcome(False, 1, "overflow", disconnect=True)


def test_drop_newest_keeps_what_waits() -> None:
    waiting = backlog(Overflow.DROP_NEWEST)
    waiting.add(Waiting(b"12345", "room"))
    waiting.add(Waiting(b"67890", "room"))
    assert waiting.add(Waiting(b"!", "room")) == Outcome(False, 1, "overflow")
    assert drain(waiting) == [b"12345", b"67890"]


def test_drop_oldest_makes_room_and_spares_control_frames() -> None:
    waiting = backlog(Overflow.DROP_OLDEST)
    waiting.add(Waiting(b"1111", "room"))
    waiting.add(Waiting(b"p", None, control=True))
    waiting.add(Waiting(b"2222", "room"))
    assert waiting.add(Waiting(b"33333", "room")) == Outcome(True, 1, "overflow")
    assert drain(waiting) == [b"p", b"2222", b"33333"]


def test_drop_oldest_drops_only_the_new_one_if_nothing_makes_room() -> None:
    waiting = backlog(Overflow.DROP_OLDEST)
    waiting.add(Waiting(b"123", "room"))
    assert waiting.add(Waiting(b"x" * 9, "room"), already=2) == Outcome(False, 1, "overflow")
    assert drain(waiting) == [b"123"]


def test_drop_oldest_keeps_its_own_when_others_have_used_up_the_total() -> None:
    total = TotalBacklog()
    waiting = Backlog(100, 100, Overflow.DROP_OLDEST, total)
    assert waiting.add(Waiting(b"1234567890", "room")).accepted
    total.add(90)
    assert waiting.add(Waiting(b"1234567890!", "room")) == Outcome(False, 1, "budget")
    assert drain(waiting) == [b"1234567890"]


def test_latest_keeps_the_newest_of_each_channel_and_all_direct_messages() -> None:
    waiting = backlog(Overflow.LATEST)
    for data, channel in ((b"a1", "a"), (b"b1", "b"), (b"d", None), (b"a2", "a"), (b"b2", "b")):
        waiting.add(Waiting(data, channel))
    assert waiting.add(Waiting(b"a3", "a")) == Outcome(True, 3, "overflow")
    assert drain(waiting) == [b"d", b"b2", b"a3"]


def test_latest_disconnects_when_direct_messages_alone_pass_the_limit() -> None:
    waiting = backlog(Overflow.LATEST)
    waiting.add(Waiting(b"0123456789", None))
    assert waiting.add(Waiting(b"a", "a")) == Outcome(False, 1, "overflow", disconnect=True)


def test_control_frames_pass_every_limit() -> None:
    waiting = backlog(Overflow.DISCONNECT, total_limit=10)
    waiting.add(Waiting(b"0123456789", None))
    assert waiting.add(Waiting(b"close", None, control=True)).accepted


def test_only_the_latest_pong_waits() -> None:
    waiting = backlog(Overflow.DISCONNECT)
    waiting.put_control(b"\x8a\x011")
    waiting.add(Waiting(b"\x89\x00", None, control=True))
    waiting.put_control(b"\x8a\x0222")
    assert waiting.size == 6
    assert drain(waiting) == [b"\x8a\x0222", b"\x89\x00"]


@pytest.mark.limit("max_total_backlog")
def test_the_total_of_all_backlogs_is_bounded_and_given_back() -> None:
    total = TotalBacklog()
    one, two = (Backlog(100, 120, Overflow.DISCONNECT, total) for _ in range(2))
    assert one.add(Waiting(b"x" * 60, None)).accepted
    assert two.add(Waiting(b"x" * 31, None)) == Outcome(False, 1, "budget", disconnect=True)
    assert two.add(Waiting(b"x" * 30, None)).accepted
    assert total.used == 90
    assert one.clear() == 1
    total.add(-len(two.take(1)))
    assert total.used == 0


def test_who_lets_much_wait_is_refused_and_who_lets_little_wait_is_served() -> None:
    total = TotalBacklog()
    hogs = [Backlog(1000, 1000, Overflow.DROP_NEWEST, total) for _ in range(20)]
    taken = [hog.add(Waiting(b"x" * 100, None)).accepted for hog in hogs for _ in range(10)]
    assert not all(taken)
    modest = Backlog(1000, 1000, Overflow.DISCONNECT, total)
    assert modest.add(Waiting(b"few", None)).accepted
    assert total.used <= 1000


def test_clear_counts_messages_and_not_control_frames() -> None:
    waiting = backlog(Overflow.DISCONNECT)
    waiting.add(Waiting(b"m", None))
    waiting.add(Waiting(b"c", None, control=True))
    assert waiting.clear() == 1


def test_an_unknown_policy_is_named_with_the_known_ones() -> None:
    with pytest.raises(Misuse, match=r"'block'.*disconnect, drop-oldest, drop-newest, drop-rest, latest"):
        Overflow.of("block")
