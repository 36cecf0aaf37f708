"""Faults in control messages."""

from __future__ import annotations

import asyncio

from hubbub.errors import HubbubError
from support.faults import found_by
from support.linked import LinkedBroker


@found_by("control.to_one_node")
class WritesToAll(LinkedBroker):
    async def control(self, data: bytes, node: bytes | None = None) -> None:
        await super().control(data)


@found_by("control.to_all_nodes")
class WritesToOthers(LinkedBroker):
    async def control(self, data: bytes, node: bytes | None = None) -> None:
        for other in [*self.engine.brokers] if node is None else [node]:
            if other != self._node or node is not None:
                await super().control(data, other)


@found_by("control.to_nobody")
class NeedsToKnowTheNode(LinkedBroker):
    async def control(self, data: bytes, node: bytes | None = None) -> None:
        if node is not None and node not in self.engine.brokers:
            raise HubbubError("there is no such node")
        await super().control(data, node)


@found_by("control.one_senders_order")
class WritesToAllLater(LinkedBroker):
    async def control(self, data: bytes, node: bytes | None = None) -> None:
        await super().control(data, node) if node is not None else asyncio.get_running_loop().call_soon(
            self.spread, data
        )

    def spread(self, data: bytes) -> None:
        for broker in self.engine.brokers.values():
            broker.events.control(self._node, data)


@found_by("control.messages_are_any_bytes")
class CutsMessages(LinkedBroker):
    async def control(self, data: bytes, node: bytes | None = None) -> None:
        await super().control(data[:32768], node)
