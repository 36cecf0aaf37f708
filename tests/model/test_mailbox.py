"""The mailbox's protocol in all its interleavings, small ones; `make model` explores larger ones."""

from __future__ import annotations

import pytest

from model.mailbox import CLOSE_LOOP, POST, POST_DEFERRED, Step, explore, join, leave, write

SCENES: dict[str, tuple[tuple[Step, ...], ...]] = {
    "two threads post": ((POST, POST), (POST,)),
    "a loop and a thread post": ((POST, POST), (POST_DEFERRED, POST_DEFERRED)),
    "one joins and leaves": ((POST, POST), (POST_DEFERRED,), (join(2), leave(2))),
    "one joins where another leaves": ((POST, POST_DEFERRED), (leave(0),), (join(2),)),
    "authors write to a member": ((POST, write(1), POST, write(0)), (POST_DEFERRED, write(1))),
    "a loop is closed within its turn": ((POST_DEFERRED, CLOSE_LOOP, POST), (join(2),)),
}


@pytest.mark.parametrize("small", [1, 2])  # and so a loop that hands over queues the shard, or writes itself
@pytest.mark.parametrize("scene", SCENES)
def test_no_interleaving_loses_a_wake_up_or_an_order(scene: str, small: int) -> None:
    assert explore(*SCENES[scene], small=small) > 50


@pytest.mark.parametrize(
    ("mistake", "threads", "message"),
    [
        ("rescue", [(POST_DEFERRED, CLOSE_LOOP, POST)], "a wake-up was lost"),
        ("look again", [(POST, POST)], "a wake-up was lost"),
        ("signal", [(POST,), (POST, POST)], "a wake-up was lost"),
        ("changes", [(POST,), (leave(0),)], "the array is changed while somebody runs over it"),
        ("catch up", [(POST, write(0))], "a write overtook"),
    ],
)
def test_the_model_notices_what_each_care_is_for(mistake: str, threads: list[tuple[Step, ...]], message: str) -> None:
    explore(*threads)
    with pytest.raises(AssertionError, match=message):
        explore(*threads, mistakes=frozenset([mistake]))
