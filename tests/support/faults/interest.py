"""Faults in subscriptions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hubbub.brokers import Position, Publication
from hubbub.brokers.memory import Engine
from support.faults import found_by
from support.linked import LinkedBroker


@found_by("interest.nothing_before_subscribe")
class TellsTheLatestAtFirst(LinkedBroker):
    async def subscribe(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        positions = await super().subscribe(channels)
        for channel, position in zip(channels, positions, strict=True):
            if position is not None and position.offset:
                late = Publication(position.offset, position.offset - 1, position.epoch, bytes(12), b"late")
                self.events.publications(channel, [late])
        return positions


@found_by("interest.nothing_after_unsubscribe", "interest.ten_thousand_channels")
class StaysSubscribed(LinkedBroker):
    async def unsubscribe(self, channels: Sequence[bytes]) -> None:
        if not self.machine.brokers or self in self.machine.brokers:
            return
        await super().unsubscribe(channels)


@found_by("interest.only_to_who_is_subscribed")
class TellsEverybody(Engine):
    def _hand_over(self, pending: dict[bytes, list[Publication]]) -> None:
        for channel, publications in pending.items():
            for broker in self.brokers.values():
                broker.events.publications(channel, publications)


@found_by("interest.nothing_is_lost_from_the_position_on", "interest.coming_and_going")
class SubscribesTooLate(LinkedBroker):
    async def subscribe(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        positions = await self.positions(channels)
        await asyncio.sleep(0.002)
        await super().subscribe(channels)
        return positions


@found_by("interest.coming_and_going")
class UnsubscribesTooLate(LinkedBroker):
    async def unsubscribe(self, channels: Sequence[bytes]) -> None:
        for channel in channels:
            asyncio.get_running_loop().call_soon(self.engine.unsubscribe, self, channel)


@found_by("interest.ten_thousand_channels")
class IsFullAtFiveThousand(LinkedBroker):
    async def subscribe(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        await super().subscribe(channels[: max(0, 5000 - len(self._subscribed))])
        return await self.positions(channels)
