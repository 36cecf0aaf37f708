"""Who is present, as sessions tell it."""

from __future__ import annotations

import asyncio

from hubbub.brokers.memory import MemoryBroker
from hubbub.limits import Limits
from hubbub.node import Node
from hubbub.realtime.present import Present
from support.node_world import Receiver


async def test_what_was_put_before_is_in_the_answer() -> None:
    broker = MemoryBroker()
    node = Node(lambda: broker, Receiver(), Limits(), lambda name: False)
    present = Present(node)
    for number in range(3):
        present.put(b"s:room", "user", f"client {number}", b'{"a":1}', b"")
    present.drop(b"s:room", "client 1")
    found = await present.of(b"s:room", 10)
    assert sorted(found) == ["client 0", "client 2"]
    assert found["client 0"].user == "user"
    assert await present.counts(b"s:room") == (2, 1)
    broker.engine.roll.evict(node.id)
    broker.events.state(False, "the engine has lost its memory")
    broker.events.state(True, "and is there again")
    assert await present.counts(b"s:room") == (2, 1)
    await asyncio.to_thread(node.close)
