"""What one node knows of the others: surveys, and who comes while one is under way."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hubbub.logs import PeerLog
from hubbub.node.colleagues import Colleagues


class World:
    """One node, and what it has sent: (content, to whom)."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bytes | None]] = []
        self.tasks: list[asyncio.Task[None]] = []
        log = PeerLog(10)
        self.node = Colleagues(b"me", self.send, self.gone, lambda what, content: 1, log, self.begin, lambda: None)

    async def send(self, data: bytes, node: bytes | None) -> None:
        self.sent.append((data, node))
        if node in (None, b"me"):
            self.node.hear(b"me", data)

    def begin(self, function: Any, *arguments: Any) -> None:
        self.tasks.append(asyncio.ensure_future(function(*arguments)))

    def gone(self, node: bytes) -> None: ...


async def test_who_comes_while_all_are_asked_is_asked_as_well() -> None:
    world = World()
    survey = asyncio.ensure_future(world.node.survey("count", "room", 5))
    await asyncio.sleep(0)
    world.node.hear(b"late", b"w")  # it was not there when the question was sent to all
    await asyncio.gather(*world.tasks)
    (question,) = [data for data, node in world.sent if node == b"late" and data[:1] == b"?"]
    number, _, content = json.loads(question[1:])
    assert content == "room"
    world.node.hear(b"late", b"!" + json.dumps([number, "count", 7]).encode())
    assert await survey == ({b"me": 1, b"late": 7}, set())


async def test_who_goes_while_all_are_asked_is_not_waited_for() -> None:
    world = World()
    world.node.hear(b"early", b"h")
    survey = asyncio.ensure_future(world.node.survey("count", "room", 5))
    await asyncio.sleep(0)
    world.node.hear(b"early", b"q")
    await asyncio.gather(*world.tasks)
    assert await survey == ({b"me": 1}, set())


async def test_who_says_nothing_is_named_in_the_end() -> None:
    world = World()
    world.node.hear(b"mute", b"h")
    assert await world.node.survey("count", "room", 0.02) == ({b"me": 1}, {b"mute"})
