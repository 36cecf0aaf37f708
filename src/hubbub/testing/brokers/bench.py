"""The bench: how brokers are made, what can be done to their engine, and the node at one's end of a broker."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any
from unittest import SkipTest

from hubbub.brokers import Broker, History, Outgoing, Position, Publication, Published, broker_for
from hubbub.brokers.contract import ID_SIZE, NODE_SIZE, Events
from hubbub.brokers.memory import Engine, MemoryBroker
from hubbub.errors import BrokerUnavailable

__all__ = ["KEPT", "Bench", "Broken", "Lacking", "MemoryBench", "Node", "UrlBench", "bench_for", "expect", "same"]

KEPT = History(1000, 60.0)  # more than a check publishes


class Broken(AssertionError):
    """The broker does not keep a promise."""


class Lacking(SkipTest):
    """The bench or the engine cannot do what a check needs. pytest and unittest take it for a skipped test."""


class Bench:
    """Brokers that share one engine, each for a node of its own.

    Subclass it, and write `broker`. The other methods do something to the engine, each enables checks, and what a
    bench does not have is left out. A bench serves one check.
    """

    patience: float = 5.0
    """Seconds within which the broker does what it does at once, or links again."""
    grace: float = 0.05
    """Seconds in which something that is not to come would have come."""
    largest: int = 1 << 20
    """Bytes of the largest body that the engine takes, as it is configured."""

    def broker(self) -> Broker:
        """Another one, not started. May be called on any number of nodes, and shares the engine with the others."""
        raise NotImplementedError

    async def open(self) -> None:
        """Called before a check."""

    async def close(self) -> None:
        """Called after it, when all brokers are closed."""

    async def cut(self, broker: Broker) -> None:
        """Break that broker's link, as a network does. It may link again at once."""
        raise Lacking("this bench does not have it")

    async def restart(self) -> None:
        """Kill the engine without warning, and have it back with what it kept."""
        raise Lacking("this bench does not have it")

    async def lose(self) -> None:
        """Kill the engine, and have it back without any data."""
        raise Lacking("this bench does not have it")

    async def freeze(self) -> None:
        """Stop the engine, so that its connections stay and nothing is answered. The check thaws it."""
        raise Lacking("this bench does not have it")

    async def thaw(self) -> None:
        """Let it go on."""
        raise Lacking("this bench does not have it")

    async def save(self) -> None:
        """Take a copy of the engine's data, for `fall_back`."""
        raise Lacking("this bench does not have it")

    async def fall_back(self) -> None:
        """Have the engine back with the data of `save`, as after a failover to a replica that was behind."""
        raise Lacking("this bench does not have it")

    async def intrude(self, broker: Broker, channel: bytes) -> None:
        """Send this broker, which is subscribed to the channel, something foreign or truncated by way of the engine."""
        raise Lacking("this bench does not have it")

    # What checks use

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def lacks(self, need: str) -> str:
        """Why a check that needs this cannot be made; "": it can."""
        if need in ("history", "presence"):
            return "" if getattr(self.broker().traits, need) else f"the broker has no {need}, say its traits"
        has = getattr(type(self), need) is not getattr(Bench, need)
        return "" if has else f"the bench has no `{need}`"

    async def node(self) -> Node:
        """A node with a broker that is linked."""
        node = Node(self, self.broker())
        self.nodes.append(node)
        await node.start()
        return node

    async def end(self) -> None:
        """Close all brokers, and the bench."""
        for node in self.nodes:
            await node.broker.close()
        await self.close()

    def look_back(self) -> None:
        """Raises: Broken: a node was told something in a wrong way."""
        for node in self.nodes:
            expect(not node.strays, f"of {len(node.strays)} faults in what was told, the first: {node.strays[:1]}")

    def name(self, start: bytes = b"room") -> bytes:
        """A channel that nobody has used."""
        return start + b"." + secrets.token_hex(6).encode()

    async def until(self, true: Callable[[], object], what: str, seconds: float | None = None) -> None:
        """Wait until this is true. Raises: Broken: it does not become true in time."""
        end = time.monotonic() + (seconds or self.patience)
        while not true():
            if time.monotonic() > end:
                raise Broken(f"{what} did not happen within {seconds or self.patience:g} s")
            await asyncio.sleep(0.001)

    async def quiet(self) -> None:
        """Wait for what is not to come."""
        await asyncio.sleep(self.grace)


class Node(Events):
    """One node: its broker, what that has told it, and short ways to ask it."""

    def __init__(self, bench: Bench, broker: Broker) -> None:
        self.bench = bench
        self.broker = broker
        self.id: bytes = secrets.token_bytes(NODE_SIZE)
        self.told: dict[bytes, list[Publication]] = {}
        """What came, by channel."""
        self.heard: list[tuple[bytes, bytes]] = []
        """Control messages: sender and data."""
        self.states: list[tuple[bool, str]] = []
        self.ended: list[bytes] = []
        self.strays: list[str] = []
        """What it was told in a wrong way."""
        self._thread = threading.get_ident()
        self._count = count(1)
        self._turn = asyncio.Lock()  # at most one append runs at a time

    async def start(self) -> None:
        await self.broker.start(self.id, self)
        try:
            await self.bench.until(lambda: self.up, "state(True) after `start`")
        except Broken as broken:
            raise Broken(f"{broken}; it said: {self.states[-1][1]}" if self.states else str(broken)) from None

    # What the broker tells

    def publications(self, channel: bytes, batch: Sequence[Publication]) -> None:
        self._look("publications", bool(batch), "with none")
        for p in batch:
            right = type(p.body) is bytes and type(p.id) is bytes and len(p.id) == ID_SIZE and type(channel) is bytes
            self._look("publications", right, f"with other things than bytes, or an id of other than 12: {shown(p)}")
        self.told.setdefault(channel, []).extend(batch)

    def control(self, node: bytes, data: bytes) -> None:
        self._look("control", type(node) is bytes and type(data) is bytes, "with other things than bytes")
        self.heard.append((node, data))

    def gone(self, node: bytes) -> None:
        self._look("gone")
        self.ended.append(node)

    def gap(self, channels: Sequence[bytes] | None) -> None:
        """Positions prove it all the same."""

    def state(self, up: bool, reason: str) -> None:
        self._look("state")
        self.states.append((up, reason))

    def _look(self, event: str, right: bool = True, how: str = "") -> None:
        if threading.get_ident() != self._thread:
            self.strays.append(f"`{event}` was called on another thread than that of `start`")
        if not right:
            self.strays.append(f"`{event}` was called {how}")

    @property
    def up(self) -> bool:
        return bool(self.states) and self.states[-1][0]

    # What it asks

    def new(self, channel: bytes, body: bytes = b"x", **how: Any) -> Outgoing:
        """A publication with an id of its own."""
        return Outgoing(channel, body, self.id + next(self._count).to_bytes(ID_SIZE - NODE_SIZE, "big"), **how)

    async def append(self, *batch: Outgoing) -> list[Published]:
        """One batch. Raises: Broken: one was refused."""
        async with self._turn:
            for _ in range(100):
                try:
                    results = await self.broker.append(batch)
                    break
                except BrokerUnavailable as error:  # as a node does: try again what was not sent
                    if error.outcome != "unsent":
                        raise
                    await asyncio.sleep(0.02)
            else:
                raise Broken("`append` was refused 100 times while the link was there")
        same(len(results), len(batch), "results of a batch")
        for result in results:
            expect(isinstance(result, Published), f"a publication was refused: {result!r}")
        return [result for result in results if isinstance(result, Published)]

    async def publish(self, channel: bytes, body: bytes = b"x", **how: Any) -> Published:
        return (await self.append(self.new(channel, body, **how)))[0]

    async def subscribe(self, channel: bytes) -> Position | None:
        """One channel. Its position."""
        positions = await self.broker.subscribe([channel])
        same(len(positions), 1, "positions of one channel")
        return positions[0]

    async def position(self, channel: bytes) -> Position | None:
        return (await self.broker.positions([channel]))[0]

    def bodies(self, channel: bytes) -> list[bytes]:
        return [publication.body for publication in self.told.get(channel, ())]

    async def wait_for(self, channel: bytes, number: int) -> list[Publication]:
        """Until so many publications of the channel have come."""
        told = self.told.setdefault(channel, [])
        try:
            await self.bench.until(lambda: len(told) >= number, "that")
        except Broken:
            raise Broken(
                f"of {number} publications in {shown(channel)}, {len(told)} came within {self.bench.patience:g} s"
            ) from None
        return told

    async def wait_for_offset(self, channel: bytes, offset: int) -> list[Publication]:
        """Until that one has come."""
        told = self.told.setdefault(channel, [])
        await self.bench.until(
            lambda: told and told[-1].offset >= offset, f"the delivery of offset {offset} in {shown(channel)}"
        )
        return told


def shown(value: object) -> str:
    """Briefly, for messages."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"


def expect(true: object, came: str) -> None:
    """Raises: Broken: it is not true, and this came instead."""
    if not true:
        raise Broken(came)


def same(came: object, wanted: object, what: str) -> None:
    """Raises: Broken: something else came."""
    if came != wanted:
        raise Broken(f"{what}: {shown(came)} came, and not {shown(wanted)}")


class MemoryBench(Bench):
    """The embedded broker's."""

    grace: float = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.engine: Engine = Engine()

    def broker(self) -> Broker:
        return MemoryBroker(self.engine)


class UrlBench(Bench):
    """Brokers of one URL, on an engine that is there already and is left alone."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def broker(self) -> Broker:
        return broker_for(self.url)


def bench_for(url: str) -> Bench:
    """A fresh bench for that URL."""
    return MemoryBench() if url.partition("?")[0].lower() == "memory:" else UrlBench(url)
