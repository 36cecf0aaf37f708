"""What only the compiled fan-out has: calls to the kernel to count, threads, and descriptors of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

import hubbub
from hubbub import Hub
from hubbub.hub.statistics import fanout
from support.outlets import PairSocket
from support.serving import until

pytestmark = pytest.mark.skipif(fanout is None, reason="the compiled part is not built")


@pytest.fixture(autouse=True)
def closed_pairs() -> Iterator[None]:
    yield
    while PairSocket.open:
        PairSocket.open.pop().close()


async def test_each_call_to_the_kernel_is_counted() -> None:
    hub = Hub()
    user = PairSocket()
    hub.join("room", user)
    for number in range(200):
        hub.broadcast("room", str(number))
    user.outlet.write(hubbub.text("after them"))
    assert user.texts == [*map(str, range(200)), "after them"]
    assert hub.statistics().sends == 4  # of 64 pieces at most
    assert hub.statistics().deliveries == 200


def broadcast_as_the_last_act(hub: Hub, loop: asyncio.AbstractEventLoop, message: str) -> None:
    """On an event loop that stops in the same turn: what was left for its end does not happen."""
    loop.call_soon(hub.broadcast, "room", message)
    loop.call_soon(loop.stop)
    loop.run_forever()


async def test_a_loop_that_closes_before_it_hands_over_holds_nobody_up() -> None:
    hub = Hub()
    user = PairSocket()
    hub.join("room", user)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=broadcast_as_the_last_act, args=(hub, loop, "from one"))
    thread.start()
    thread.join()
    loop.close()
    hub.broadcast("room", "from another")
    await until(lambda: user.texts == ["from one", "from another"])
