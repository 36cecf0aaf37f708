"""A line's decisions, over every kind of trouble between a broker and a node."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.brokers import Page, Position, Publication
from hubbub.node.line import HELD, Line


def log(count: int, epoch: str = "epoch001", first: int = 1) -> list[Publication]:
    return [
        Publication(offset, offset - 1, epoch, b"%s%d" % (epoch.encode(), offset), b"%d" % offset)
        for offset in range(first, first + count)
    ]


def page(whole: list[Publication], position: Position | None, kept: int) -> Page:
    """What a broker that keeps so many answers."""
    top = Position(whole[-1].offset, whole[-1].epoch)
    since = 0 if position is None else position.offset
    held = whole[-kept:] if kept else []
    complete = position is None or (
        position.epoch == top.epoch
        and position.offset <= top.offset
        and since >= (held[0].previous if held else top.offset)
    )
    if position is not None and position.epoch == top.epoch and position.offset <= top.offset:
        held = [p for p in held if p.offset > since]
    return Page(held, top, complete)


@st.composite
def troubled(draw: st.DrawFn) -> tuple[list[Publication], list[list[Publication]]]:
    """A channel's publications, and the batches in which they reach a node: dropped, repeated and swapped."""
    whole = log(draw(st.integers(1, 60)))
    coming: list[Publication] = []
    for publication in whole:
        fate = draw(st.sampled_from(["comes", "comes", "comes", "lost", "twice", "late"]))
        if fate == "comes" or not coming:
            coming.append(publication)
        elif fate == "twice":
            coming += [publication, draw(st.sampled_from(coming))]
        elif fate == "late":
            coming.insert(len(coming) - 1, publication)
    batches: list[list[Publication]] = []
    while coming:
        size = draw(st.integers(1, 7))
        batches.append(coming[:size])
        coming = coming[size:]
    return whole, batches


@given(troubled(), st.sampled_from([0, 3, 1000]), st.integers(0, 3))
@settings(max_examples=400)
def test_each_comes_once_and_in_order_or_is_known_to_be_missing(
    trouble: tuple[list[Publication], list[list[Publication]]], kept: int, patience: int
) -> None:
    whole, batches = trouble
    line = Line()
    delivered = list(line.begin(None))
    missed = 0

    def heal() -> None:
        nonlocal missed
        for _ in range(100):
            if line.whole:
                return
            healed = line.heal(page(whole[: reached()], line.position, kept)) if kept else line.give_up()
            delivered.extend(healed.publications)
            assert healed.missed is not None
            missed += healed.missed
        raise AssertionError("it never ends")

    seen: list[Publication] = []

    def reached() -> int:
        return max(p.offset for p in seen)

    for number, batch in enumerate(batches):
        seen += batch
        delivered += line.follow(batch)
        if number % (patience + 1) == patience:
            heal()
    heal()
    # and what came last may be lost, too: the node compares with where the channel stands
    following = line.resume(Position(whole[-1].offset, whole[-1].epoch))
    if following is None:
        healed = line.heal(
            page(whole, line.position, kept) if kept else Page((), Position(len(whole), "epoch001"), False)
        )
        delivered += healed.publications
        assert healed.missed is not None
        missed += healed.missed
    offsets = [p.offset for p in delivered]
    assert offsets == sorted(set(offsets))
    assert len(delivered) + missed == len(whole)
    if kept == 1000:
        assert delivered == whole


def test_what_is_read_while_subscribing_begins_behind_the_position() -> None:
    line = Line()
    whole = log(5)
    assert not line.follow(whole[1:4])
    assert line.begin(Position(2, "epoch001")) == whole[2:4]
    assert line.follow(whole[4:]) == whole[4:]


def test_another_epoch_is_a_gap_of_unknown_size() -> None:
    line = Line()
    line.begin(Position(7, "epoch001"))
    fresh = log(3, "epoch002")
    assert not line.follow(fresh[:1])
    assert line.heal(page(fresh[:2], line.position, 100)) == (fresh[:2], None)
    assert line.follow(fresh[2:]) == fresh[2:]


def test_another_epoch_without_history_is_one_too() -> None:
    line = Line()
    line.begin(Position(7, "epoch001"))
    fresh = log(2, "epoch002", first=4)
    assert not line.follow(fresh)
    assert line.give_up() == (fresh, None)


def test_an_offset_that_was_used_before_for_something_else_is_no_duplicate() -> None:
    """A failover to a replica that was behind gives the same offsets again, if its engine does not see to it."""
    line = Line()
    line.begin(Position(0, "epoch001"))
    whole = log(5)
    assert line.follow(whole) == whole
    other = whole[4]._replace(id=b"another's")
    assert not line.follow([other])
    assert line.heal(page([*whole[:4], other], line.position, 100)) == ([other], None)


def test_a_duplicate_is_dropped_and_counted() -> None:
    line = Line()
    line.begin(None)
    whole = log(100)
    assert line.follow(whole) == whole
    assert line.follow(whole) == []
    assert line.duplicates == 100


def test_what_was_lost_while_there_was_no_link_is_found() -> None:
    line = Line()
    whole = log(9)
    line.begin(None)
    assert line.follow(whole[:3]) == whole[:3]
    line.hold()
    assert not line.follow(whole[7:8])
    assert line.resume(Position(8, "epoch001")) is None
    assert line.heal(page(whole[:8], line.position, 100)) == (whole[3:8], 0)
    assert line.follow(whole[8:]) == whole[8:]


def test_nothing_lost_is_told_apart() -> None:
    line = Line()
    whole = log(4)
    line.begin(None)
    line.follow(whole[:3])
    line.hold()
    assert not line.follow(whole[3:])
    assert line.resume(Position(3, "epoch001")) == whole[3:]


def test_a_channel_that_the_engine_lost_is_a_gap() -> None:
    line = Line()
    line.begin(Position(3, "epoch001"))
    line.hold()
    assert line.resume(None) is None
    assert line.heal(Page((), Position(0, ""), False)) == ([], None)
    fresh = log(1, "epoch002")
    assert line.follow(fresh) == fresh


def test_what_is_held_is_bounded_and_the_rest_is_read_again() -> None:
    line = Line()
    whole = log(HELD + 50)
    line.begin(Position(1, "epoch001"))
    assert not line.follow(whole[2:])
    healed = line.heal(page(whole[:4], line.position, 1000))
    assert [p.offset for p in healed.publications] == list(range(2, HELD + 3))
    assert not line.whole
    assert line.heal(page(whole, line.position, 1000)) == (whole[HELD + 2 :], 0)
    assert line.whole


def behind(whole: list[Publication]) -> Line:
    """A line that has got three of them, and lost its link."""
    line = Line()
    line.begin(None)
    line.follow(whole[:3])
    line.hold()
    return line


def test_without_history_what_is_under_way_is_not_counted_as_missed() -> None:
    whole = log(9)
    line = behind(whole)
    assert line.resume(Position(7, "epoch001")) is None
    line.expect(Position(7, "epoch001"))
    assert not line.follow(whole[5:6])  # subscribed to behind the fifth, and the position was read a little later
    assert not line.complete
    assert not line.follow(whole[6:7])
    assert line.complete
    assert line.give_up() == (whole[5:7], 2)
    assert line.follow(whole[7:]) == whole[7:]


def test_without_history_what_does_not_come_is_missed_in_its_number() -> None:
    whole = log(9)
    line = behind(whole)
    assert line.resume(Position(7, "epoch001")) is None
    line.expect(Position(7, "epoch001"))
    assert not line.follow(whole[4:5])
    assert line.give_up() == (whole[4:5], 3)
    assert line.follow(whole[6:7]) == []  # too late: it was told of
    assert line.follow(whole[7:]) == whole[7:]


def test_without_history_another_epoch_that_is_under_way_is_delivered() -> None:
    fresh = log(3, "epoch002")
    line = behind(log(3))
    assert line.resume(Position(2, "epoch002")) is None
    line.expect(Position(2, "epoch002"))
    assert not line.follow(fresh[1:])
    assert line.complete
    assert line.give_up() == (fresh[1:], None)


def test_without_history_the_line_stands_where_the_channel_does() -> None:
    for position in (Position(2, "epoch002"), Position(1, "epoch001"), Position(0, "")):
        line = behind(log(3))
        assert line.resume(position) is None
        line.expect(position)
        assert line.give_up() == ([], None)
        assert (line.top, line.epoch, line.whole) == (*position, True)


def test_what_is_late_from_before_the_line_is_no_offset_that_was_used_again() -> None:
    """It was under way on another link than the one on which the position was asked for."""
    whole = log(5)
    line = Line()
    line.begin(Position(3, "epoch001"))
    assert line.follow(whole[2:3]) == []
    assert line.follow(whole[3:4]) == whole[3:4]
    assert line.follow(whole[1:3]) == []
    assert line.whole
    assert line.follow(whole[4:]) == whole[4:]
