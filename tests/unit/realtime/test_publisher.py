"""Several publications at once: what becomes of each, in their order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hubbub import Limits
from hubbub.realtime import Fault, History, Namespace, Published, Publishing, Realtime


@pytest.fixture
async def rt() -> AsyncIterator[Realtime]:
    namespaces = {"": Namespace(), "kept": Namespace(history=History(10, 60))}
    made = Realtime(broker="memory:", namespaces=namespaces, limits=Limits(max_outbox=4))
    yield made
    await made.close()


def codes(done: list[Published | Fault]) -> list[int | None]:
    return [one.verdict.code if isinstance(one, Fault) else None for one in done]


async def test_each_has_its_result_in_its_place(rt: Realtime) -> None:
    done = await rt.publish_many(
        [
            Publishing("kept:a", 1),
            Publishing("nowhere:a", 2),
            Publishing("kept:a", b""),
            Publishing("kept:a", {"n": 3}, history=False),
        ]
    )
    assert codes(done) == [None, 102, 107, None]
    assert isinstance(done[0], Published)
    assert done[0].offset == 1
    assert done[3] == Published(0, "", 0)
    assert [bytes(one.data) for one in (await rt.history("kept:a", limit=-1)).publications] == [b"1"]
    assert not rt._service.channels.handed  # nothing is remembered of them


async def test_their_order_is_kept(rt: Realtime) -> None:
    for first in (0, 4):
        await rt.publish_many([Publishing("kept:a", number) for number in range(first, first + 4)])
    found = await rt.history("kept:a", limit=-1)
    assert [bytes(one.data) for one in found.publications] == [b"%d" % number for number in range(8)]


async def test_what_the_broker_does_not_take_is_error_100_and_the_others_are_published(rt: Realtime) -> None:
    done = await rt.publish_many([Publishing("kept:a", number) for number in range(6)])
    assert codes(done) == [None] * 4 + [100] * 2
    assert (await rt.history("kept:a")).offset == 4


async def test_keys_and_versions_are_those_of_each(rt: Realtime) -> None:
    done = await rt.publish_many(
        [Publishing("kept:a", 1, key="k"), Publishing("kept:a", 2, key="k"), Publishing("kept:a", 3, version=2)]
    )
    assert [one.suppressed for one in done if isinstance(one, Published)] == ["", "repeated", ""]
    (older,) = await rt.publish_many([Publishing("kept:a", 4, version=1)])
    assert isinstance(older, Published)
    assert older.suppressed == "older"


async def test_broadcast_is_the_same_to_several_channels(rt: Realtime) -> None:
    done = await rt.broadcast(["kept:a", "nowhere:b", "plain"], {"x": 1})
    assert codes(done) == [None, 102, None]
    assert [one.offset for one in done if isinstance(one, Published)] == [1, 0]


async def test_giving_up_the_wait_takes_nothing_back_and_leaves_nothing_behind(rt: Realtime) -> None:
    await rt.publish("kept:a", 0)
    task = asyncio.create_task(rt.publish_many([Publishing("kept:a", 1)]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not rt._service.channels.handed
    await rt.publish("kept:a", 2)
    assert (await rt.history("kept:a")).offset == 3


async def test_nothing_is_published_at_once(rt: Realtime) -> None:
    assert await rt.publish_many([]) == []
