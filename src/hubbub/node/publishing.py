"""What waits in the outbox goes to the broker, batch after batch.

Of a batch that was on its way when the link broke nobody knows what became. Where there is a history, it tells: what is
in it has happened, and what is not, though nothing is missing from where the channel stood before, is appended again.
Nothing else is appended twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from hubbub.brokers import Broker, Outgoing, Position, Published
from hubbub.errors import BrokerUnavailable
from hubbub.node.lines import Lines
from hubbub.node.outbox import BATCH, Outbox, Result
from hubbub.node.statistics import Counts

__all__ = ["Publishing"]

MOMENT = 0.0005  # seconds for which a burst is gathered at the most
LATE = 0.2  # seconds in which what went into a link that broke may still get to the engine
REMEMBERED = 4096  # channels whose position is known from what was published to them

Stood = Position | Published
Before = dict[bytes, "Stood | None"]


class Publishing:
    """Of one stay of the node on an event loop, and used there alone.

    Args:
        patience: seconds for a link to come back and tell what became of what was on its way.
    """

    def __init__(self, broker: Broker, outbox: Outbox, lines: Lines, counts: Counts, patience: float) -> None:
        self._broker = broker
        self._outbox = outbox
        self._lines = lines
        self._counts = counts
        self._patience = patience
        self._stood: dict[bytes, Published] = {}  # channels with history: what this node published last
        self._doubtful = broker.traits.processes  # in this process there is no link that breaks
        self.filled: asyncio.Event = asyncio.Event()
        self.up: bool = False

    async def keep_up(self) -> None:
        """Append what waits: what comes meanwhile is the next batch."""
        outbox = self._outbox
        while True:
            await self.filled.wait()
            self.filled.clear()
            while self.up and (batch := await self._gathered()):
                before: Before = {}
                try:
                    await self._lines.joined(batch)
                    before = self._positions(batch) if self._doubtful else {}
                    results = await self._broker.append(batch)
                    self.settle(results)
                    if before:
                        self._note(batch, results)
                except BrokerUnavailable as error:
                    if error.outcome == "unsent":
                        outbox.put_back()
                        await asyncio.sleep(0.05)
                    else:
                        await self._find_out(batch, before, error)
                except Exception as error:
                    outbox.settle(error)
                    raise

    def settle(self, results: Sequence[Result]) -> None:
        """The broker has said this of the batch in flight."""
        self._counts.published += sum([not isinstance(result, Exception) for result in results])
        self._outbox.settle(results)

    def _note(self, batch: Sequence[Outgoing], results: Sequence[Result]) -> None:
        if len(self._stood) > REMEMBERED:
            self._stood.clear()
        for new, result in zip(batch, results, strict=False):
            if new.history is not None and isinstance(result, Published):
                self._stood[new.channel] = result

    async def _gathered(self) -> list[Outgoing]:
        """The next batch. A burst comes in over some turns of the loop, and is to leave together: each part of it would
        cost every process a send to each of its members."""
        outbox, had = self._outbox, 0
        until = time.monotonic() + MOMENT
        while had < len(outbox) < BATCH and time.monotonic() < until:
            had = len(outbox)
            await asyncio.sleep(0)
        return outbox.take()

    def _positions(self, batch: Sequence[Outgoing]) -> Before:
        """Where the channels with a history stand, or stood a while ago."""
        channels = {new.channel for new in batch if new.history is not None}
        return {channel: self._lines.position(channel) or self._stood.get(channel) for channel in channels}

    async def _find_out(self, batch: Sequence[Outgoing], before: Before, error: BrokerUnavailable) -> None:
        """What became of those in flight, when the link broke."""
        until = time.monotonic() + self._patience
        known: dict[bytes, Published | None] = {}
        while before and time.monotonic() < until:
            await asyncio.sleep(LATE)
            if self.up:
                try:
                    known = await self._look(batch, before)
                    break
                except BrokerUnavailable:
                    continue
        results: list[Result | None] = [known.get(new.id, error) for new in batch]
        self._counts.published += sum([isinstance(result, Published) for result in results])
        self._counts.unknown += sum([result is error for result in results])
        self._counts.repeated += results.count(None)
        self._outbox.settle_some(results)
        self.filled.set()

    async def _look(self, batch: Sequence[Outgoing], before: Before) -> dict[bytes, Published | None]:
        """By id, what is in the histories, or None: it is certainly not there."""
        known: dict[bytes, Published | None] = {}
        for channel, stood in before.items():
            since = None if stood is None else Position(stood.offset, stood.epoch)
            page = await self._broker.history(channel, since)
            there = {p.id: Published(p.offset, p.epoch) for p in page.publications}
            proved = page.complete if since is not None else page.top.offset == 0
            for new in batch:
                if new.channel == channel and new.history is not None and (proved or new.id in there):
                    known[new.id] = there.get(new.id)
        return known
