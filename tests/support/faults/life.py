"""Faults in starts and ends."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from typing import Any

from hubbub.brokers import Events, Outgoing, Position, Publication, Published
from hubbub.brokers.memory import Engine
from support.faults import found_by
from support.linked import LinkedBroker, Machine


@found_by("life.close_in_any_state")
class ClosesOnce(LinkedBroker):
    async def close(self) -> None:
        assert self._started, "it is not started"
        await super().close()


@found_by("life.nodes_that_start_together")
class MakesTheEngineIfThereIsNone(LinkedBroker):
    async def start(self, node: bytes, events: Events) -> None:
        is_there = bool(self.machine.brokers)
        await asyncio.sleep(0)
        if not is_there:
            self.machine.lose()
        await super().start(node, events)


@found_by("life.answers_reach_their_askers")
class MixesAnswersUp(LinkedBroker):
    asked = b""

    async def positions(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        self.asked = channels[0]
        await asyncio.sleep(0)
        return await super().positions([self.asked, *channels[1:]])


@found_by("append.own_node_gets_it_too")
class TellsViews(LinkedBroker):
    def tell(self, channel: bytes, batch: Sequence[Publication], events: Events) -> None:
        views: Any = [p._replace(body=memoryview(p.body)) for p in batch]  # type: ignore[arg-type]
        events.publications(channel, views)


@found_by("append.own_node_gets_it_too")
class TellsOnAnotherThread(LinkedBroker):
    def tell(self, channel: bytes, batch: Sequence[Publication], events: Events) -> None:
        thread = threading.Thread(target=events.publications, args=(channel, batch))
        thread.start()
        thread.join()


@found_by("life.no_link_no_calls")
class WorksWithoutALink(LinkedBroker):
    def _linked(self) -> Engine:
        return self.engine


@found_by("life.start_again_after_close")
class RemembersSubscriptions(LinkedBroker):
    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.before: set[bytes] = set()

    async def start(self, node: bytes, events: Events) -> None:
        await super().start(node, events)
        await self.subscribe(list(self.before))

    async def close(self) -> None:
        self.before |= self._subscribed
        await super().close()


@found_by("life.start_again_after_close")
class StartsOnce(LinkedBroker):
    async def close(self) -> None:
        await super().close()
        self.machine = Machine(Engine())


@found_by("life.closed_is_silent")
class TellsTheDead(LinkedBroker):
    async def close(self) -> None:
        subscribed = list(self._subscribed)
        await super().close()
        for channel in subscribed:
            self.engine.subscribe(self, channel)


@found_by("life.close_leaves_nothing")
class LeavesATask(LinkedBroker):
    async def start(self, node: bytes, events: Events) -> None:
        await super().start(node, events)
        self.left = asyncio.get_running_loop().create_task(asyncio.sleep(1), name="left")


@found_by("life.close_leaves_nothing")
class LeavesAFile(LinkedBroker):
    async def start(self, node: bytes, events: Events) -> None:
        await super().start(node, events)
        OPENED.append(os.open(os.devnull, os.O_RDONLY))


OPENED: list[int] = []


@found_by("life.close_under_load")
class WaitsForEver(LinkedBroker):
    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        await asyncio.sleep(0)
        while not self._started:
            await asyncio.sleep(0.01)
        return await super().append(batch)


@found_by("life.closed_is_silent")
class TakesOthersAlong(LinkedBroker):
    async def close(self) -> None:
        await super().close()
        self.engine._interest.clear()
