"""Nodes on a real engine, through proxies that can be made deaf and mute; one suite over all brokers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from faults.engines import Engine
from hubbub.brokers import Broker, Change, History, Outgoing, Publication, broker_for
from hubbub.limits import Limits
from hubbub.node import Node
from support.broker_nodes import Told
from support.serving import until

__all__ = ["ROOM", "NodeWorld", "Receiver"]

ROOM = b"s:room"


class Receiver:
    """What a node has told."""

    def __init__(self) -> None:
        self.got: list[Publication] = []
        self.missing: list[int | None] = []
        self.failures: list[Outgoing] = []
        self.left: list[Change] = []

    def deliver(self, name: bytes, publications: Sequence[Publication]) -> None:
        self.got += publications

    def missed(self, name: bytes, count: int | None) -> None:
        self.missing.append(count)

    def failed(self, outgoing: Outgoing) -> None:
        self.failures.append(outgoing)

    def answer(self, question: str, content: Any) -> Any:
        return None

    def gone(self, node: bytes, changes: Sequence[Change]) -> None:
        self.left += changes


class NodeWorld:
    def __init__(self, engine: Engine, patch: pytest.MonkeyPatch) -> None:
        self.engine = engine
        self.patch = patch
        self.nodes: list[Node] = []
        self.receivers: list[Receiver] = []

    async def node(self, limits: Limits | None = None) -> Node:
        """With a link, through a proxy of its own."""
        number = len(self.nodes)
        for name, value in self.engine.environment(number, True).items():
            self.patch.setenv(name, value)
        url = await self.engine.url_of(number, True)
        broker = broker_for(url)
        receiver = Receiver()
        node = Node(lambda: broker, receiver, limits or Limits(), lambda _: bool(self.engine.history))
        self.nodes.append(node)
        self.receivers.append(receiver)
        node.settle(asyncio.get_running_loop())
        await until(lambda: node.up)
        return node

    @property
    def kept(self) -> History | None:
        return History(1000, 60) if self.engine.history else None

    async def auditor(self) -> Broker:
        """A look at the engine, beside the proxies."""
        broker, told = self.engine.auditor(), Told()
        await broker.start(b"audit.", told)
        await until(lambda: told.up)
        return broker

    async def close(self) -> None:
        for node in self.nodes:
            await asyncio.to_thread(node.close)
        await self.engine.end()
