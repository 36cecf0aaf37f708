"""A broker with a link that can break, to an engine that can be killed, frozen and set back, all within this process.

It keeps every promise. Tests make wrong ones of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import deepcopy

from hubbub.brokers import Broker, Events, Outgoing, Publication, Published, Traits
from hubbub.brokers.log import new_epoch
from hubbub.brokers.memory import Engine, MemoryBroker
from hubbub.errors import BrokerUnavailable
from hubbub.testing.brokers import Bench

__all__ = ["LinkedBench", "LinkedBroker", "Machine"]


class Machine:
    """On which the engine runs."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.brokers: list[LinkedBroker] = []
        self.runs = asyncio.Event()
        self.runs.set()
        self.saved: Engine

    def stop(self) -> None:
        for broker in self.brokers:
            broker.cut("the engine has ended")

    def lose(self) -> None:
        self.engine = type(self.engine)()

    def fall_back(self) -> None:
        for log in self.saved._logs.values():
            log.epoch = new_epoch()
            log.forget()
        self.engine._logs, self.engine._expiring = self.saved._logs, self.saved._expiring


class Told(Events):
    """Between an engine and a node."""

    def __init__(self, broker: LinkedBroker, events: Events) -> None:
        self.broker = broker
        self.events = events
        self.control, self.gone, self.gap, self.state = events.control, events.gone, events.gap, events.state

    def publications(self, channel: bytes, batch: Sequence[Publication]) -> None:
        self.broker.tell(channel, batch, self.events)


class LinkedBroker(MemoryBroker):
    traits = Traits(name="linked", processes=False, survives="process")
    answers = 0.05  # seconds for an answer

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.engine)
        self.machine = machine
        self.links = 0
        self._again: asyncio.Task[None] | None = None

    async def start(self, node: bytes, events: Events) -> None:
        self.engine = self.machine.engine
        self.machine.brokers.append(self)
        await super().start(node, Told(self, events))

    async def close(self) -> None:
        if self in self.machine.brokers:
            self.machine.brokers.remove(self)
        if self._again is not None:
            self._again.cancel()
            await asyncio.wait([self._again])
        await super().close()

    def tell(self, channel: bytes, batch: Sequence[Publication], events: Events) -> None:
        events.publications(channel, batch)

    def cut(self, reason: str) -> None:
        if not self._started:
            return
        self._started = False
        self.links += 1
        for channel in self._subscribed:
            self.engine.unsubscribe(self, channel)
        self._subscribed.clear()
        self.engine.brokers.pop(self._node, None)
        self.events.state(False, reason)
        self._again = asyncio.get_running_loop().create_task(self.link_again())

    async def link_again(self) -> None:
        await self.machine.runs.wait()
        await asyncio.sleep(0.002)
        self.engine = self.machine.engine
        self.engine.brokers[self._node] = self
        self._started = True
        self.events.state(True, "again")

    async def reset(self, reason: str) -> None:
        self.cut(reason)

    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        self._linked()
        link = self.links
        try:
            await asyncio.wait_for(self.machine.runs.wait(), self.answers)
        except TimeoutError:
            self.cut("no answer")
        else:
            await asyncio.sleep(0)
        if link != self.links or not self._started:
            raise BrokerUnavailable("the link broke", "unknown")
        results = await super().append(batch)
        await asyncio.sleep(0)
        if link != self.links:
            raise BrokerUnavailable("the link broke", "unknown")
        return results

    def take(self, data: bytes) -> None:
        """What the engine sends, and nobody understands."""
        self.refused += 1


class LinkedBench(Bench):
    patience = 0.5
    grace = 0.004
    largest = 1 << 17

    def __init__(self, kind: type[LinkedBroker] = LinkedBroker, engine: type[Engine] = Engine,
                 machine: type[Machine] = Machine) -> None:  # fmt: skip
        super().__init__()
        self.kind = kind
        self.machine = machine(engine())

    def broker(self) -> Broker:
        return self.kind(self.machine)

    async def cut(self, broker: Broker) -> None:
        assert isinstance(broker, LinkedBroker)
        broker.cut("the bench has cut it")

    async def restart(self) -> None:
        self.machine.stop()

    async def lose(self) -> None:
        self.machine.stop()
        self.machine.lose()

    async def freeze(self) -> None:
        self.machine.runs.clear()

    async def thaw(self) -> None:
        self.machine.runs.set()

    async def save(self) -> None:
        self.machine.saved = Engine()
        self.machine.saved._logs = deepcopy(self.machine.engine._logs)
        self.machine.saved._expiring = list(self.machine.engine._expiring)

    async def fall_back(self) -> None:
        self.machine.stop()
        self.machine.fall_back()

    async def intrude(self, broker: Broker, channel: bytes) -> None:
        assert isinstance(broker, LinkedBroker)
        broker.take(b"foreign")
