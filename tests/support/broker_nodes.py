"""Brokers, and what they tell their nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Generic, TypeVar

from hubbub.brokers import Broker, History, Outgoing, Publication, Published
from hubbub.errors import BrokerUnavailable

KEPT = History(100, 60)
_ids = count(1)


def new(channel: bytes, body: bytes = b"x", **how: Any) -> Outgoing:
    return Outgoing(channel, body, b"nobody" + next(_ids).to_bytes(6, "big"), **how)


class Told:
    """What a broker told its node."""

    def __init__(self) -> None:
        self.got: dict[bytes, list[Publication]] = {}
        self.controls: list[tuple[bytes, bytes]] = []
        self.states: list[tuple[bool, str]] = []

    def publications(self, channel: bytes, batch: Sequence[Publication]) -> None:
        self.got.setdefault(channel, []).extend(batch)

    def control(self, node: bytes, data: bytes) -> None:
        self.controls.append((node, data))

    def gone(self, node: bytes) -> None: ...

    def gap(self, channels: Sequence[bytes] | None) -> None: ...

    def state(self, up: bool, reason: str) -> None:
        self.states.append((up, reason))

    @property
    def up(self) -> bool:
        return bool(self.states) and self.states[-1][0]

    def bodies(self, channel: bytes) -> list[bytes]:
        return [publication.body for publication in self.got.get(channel, [])]


async def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        await asyncio.sleep(0.005)


B = TypeVar("B", bound=Broker)


class Nodes(Generic[B]):
    """Makes brokers, and closes them.

    Args:
        make: a broker of a URL.
    """

    def __init__(self, make: Callable[[str], B]) -> None:
        self._make = make
        self._made: list[B] = []

    async def __call__(self, url: str, node: bytes = b"", up: bool = True) -> tuple[B, Told]:
        told = Told()
        broker = self._make(url)
        self._made.append(broker)
        await broker.start(node or b"node%02d" % len(self._made), told)
        if up:
            await until(lambda: told.up)
        return broker, told

    async def close(self) -> None:
        for broker in self._made:
            await broker.close()


async def appended(broker: Broker, *batch: Outgoing) -> list[Published]:
    """As the node does: what was not sent is tried again."""
    for _ in range(100):
        try:
            results = await broker.append(batch)
        except BrokerUnavailable as error:
            if error.outcome != "unsent":
                raise
            await asyncio.sleep(0.05)
        else:
            assert all(isinstance(result, Published) for result in results), results
            return [result for result in results if isinstance(result, Published)]
    raise AssertionError("it could not be appended")
