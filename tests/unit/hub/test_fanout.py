"""What only the compiled fan-out has: calls to the kernel to count, threads, and descriptors of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import hubbub
from hubbub import Hub
from hubbub.hub.statistics import fanout
from support.outlets import PairSocket

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
