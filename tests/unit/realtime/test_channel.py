"""Where a channel of a node stands, and what it can give once more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.brokers import History, Page, Position, Publication
from hubbub.realtime import Namespace
from hubbub.realtime.bodies import Sent, body_of
from hubbub.realtime.channel import MOST_KEPT_SIZE, Channel
from hubbub.realtime.namespaces import Namespaces

MOST = 10


def channel() -> Channel:
    return Channel(Namespaces({"": Namespace(history=History(100, 60))}).place("a"), MOST)


def handed(one: Channel, *offsets: int, epoch: str = "e") -> Channel:
    for offset in offsets:
        one.advance(Position(offset, epoch), offset - 1, Sent(b"%d" % offset))
    return one


def page(*offsets: int, top: int, epoch: str = "e", complete: bool = True) -> Page:
    kept = [Publication(n, n - 1, epoch, bytes(12), body_of(Sent(b"%d" % n))) for n in offsets]
    return Page(kept, Position(top, epoch), complete)


def given_since(one: Channel, offset: int) -> list[int] | None:
    found = one.since(offset, MOST)
    return None if found is None else [kept.offset for kept in found]


def test_it_gives_what_was_handed_out_since_it_began() -> None:
    one = channel()
    one.stand(Position(3, "e"))
    handed(one, 4, 5)
    assert [given_since(one, offset) for offset in (2, 3, 4, 5, 6)] == [None, [4, 5], [5], [], None]


def test_it_keeps_no_more_than_it_may() -> None:
    one = channel()
    one.stand(Position(0, "e"))
    handed(one, *range(1, MOST + 6))
    assert given_since(one, 4) is None
    assert given_since(one, 5) == list(range(6, MOST + 6))
    large = channel()
    large.stand(Position(0, "e"))
    for offset in (1, 2):
        large.advance(Position(offset, "e"), offset - 1, Sent(bytes(MOST_KEPT_SIZE)))
    assert given_since(large, 0) is None
    assert given_since(large, 1) == [2]


def test_what_the_broker_has_kept_comes_before_what_was_handed_out() -> None:
    one = channel()
    one.stand(Position(5, "e"))
    handed(one, 6, 7)
    assert one.learn(Position(2, "e"), page(3, 4, 5, 6, top=6))
    assert given_since(one, 2) == [3, 4, 5, 6, 7]


def test_what_is_still_to_be_handed_out_is_not_given_before() -> None:
    one = channel()
    one.stand(Position(5, "e"))
    assert one.learn(Position(3, "e"), page(4, 5, 6, 7, top=7))
    assert given_since(one, 3) == [4, 5], "6 and 7 reach everybody who is subscribed then"
    handed(one, 6)
    assert given_since(one, 3) == [4, 5, 6]


@pytest.mark.parametrize(
    "what", [page(4, top=5, epoch="other"), page(4, 5, top=5, complete=False)], ids=["another epoch", "trimmed"]
)
def test_a_page_that_does_not_belong_here_is_not_taken(what: Page) -> None:
    one = channel()
    one.stand(Position(5, "e"))
    assert not one.learn(Position(3, "e"), what)
    assert given_since(one, 3) is None


def test_a_page_behind_which_something_is_missing_is_not_taken() -> None:
    one = channel()
    one.stand(Position(5, "e"))
    handed(one, *range(6, 6 + MOST + 5))  # trimmed up to 10
    assert not one.learn(Position(2, "e"), page(3, 4, 5, 6, top=6))


def test_another_epoch_begins_anew() -> None:
    one = handed(channel(), 1, 2)
    handed(one, 1, epoch="other")
    assert one.top == Position(1, "other")
    assert given_since(one, 0) == [1]


def test_who_waits_for_a_position_is_told_when_it_is_handed_out() -> None:
    one = channel()
    one.stand(Position(0, "e"))
    one.members[object()] = object()  # type: ignore[index,assignment]
    told: list[int] = []
    one.when(Position(2, "e"), lambda: told.append(2))
    one.when(Position(1, "e"), lambda: told.append(1))
    handed(one, 1)
    one.tell_waiting()
    assert told == [1]
    one.lose()
    one.tell_waiting()
    assert told == [1, 2], "or when it is not known where the channel stands"


@given(st.data())
def test_nobody_gets_anything_twice_or_misses_anything(data: st.DataObject) -> None:
    """Whatever the node has been given, and whenever somebody comes: the reply and what follows are all there is."""
    one, published = channel(), 0
    began = data.draw(st.integers(0, 5), "already published")
    published = began
    one.stand(Position(began, "e"))
    at_node = began
    for _ in range(data.draw(st.integers(1, 12), "steps")):
        match data.draw(st.sampled_from(["publish", "hand out", "read", "come"])):
            case "publish":
                published += 1
            case "hand out" if at_node < published:
                at_node += 1
                handed(one, at_node)
            case "read":
                since = data.draw(st.integers(0, published), "since")
                one.learn(Position(since, "e"), page(*range(since + 1, published + 1), top=published))
            case "come":
                since = data.draw(st.integers(0, published), "position")
                found = given_since(one, since)
                if found is not None:
                    follows = range(at_node + 1, published + 1)
                    assert [*found, *follows] == list(range(since + 1, published + 1))
