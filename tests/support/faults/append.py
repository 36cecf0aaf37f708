"""Faults in appending."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fnmatch import fnmatchcase

from hubbub.brokers import Events, History, Outgoing, Page, Position, Publication, Published
from hubbub.brokers.log import Log
from hubbub.brokers.memory import Engine
from hubbub.errors import HubbubError
from support.faults import changed, found_by
from support.linked import LinkedBroker


@found_by("append.result_is_the_position")
class TellsThePositionBefore(LinkedBroker):
    async def positions(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        return [p and Position(p.offset - 1, p.epoch) for p in await super().positions(channels)]


@found_by("append.result_is_the_position")
class HasLongEpochs(LinkedBroker):
    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        return [r._replace(epoch=r.epoch * 2) if isinstance(r, Published) else r for r in await super().append(batch)]


@found_by("append.links_have_no_hole", "append.one_order_for_all")
class DropsEverySeventh(LinkedBroker):
    def tell(self, channel: bytes, batch: Sequence[Publication], events: Events) -> None:
        events.publications(channel, [p for p in batch if p.offset % 7])


@found_by("append.links_have_no_hole")
class LinksToNothing(LinkedBroker):
    def tell(self, channel: bytes, batch: Sequence[Publication], events: Events) -> None:
        events.publications(channel, [p._replace(previous=0) for p in batch])


@found_by("append.links_have_no_hole", "append.first_publication_has_none_before_it")
class CountsInTwosAndSaysDense(Log):
    __slots__ = ()

    def append(self, new: Outgoing, now: float, position_ttl: float | None = None) -> Publication | Published:
        self.top += 1
        return super().append(new, now, position_ttl)


@found_by("append.batch_keeps_its_order")
class AppendsBackwards(LinkedBroker):
    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        return (await super().append(batch[::-1]))[::-1]


@found_by("append.batch_keeps_its_order")
class AppendsByChannel(LinkedBroker):
    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        return await super().append(sorted(batch, key=lambda new: new.channel))


@found_by("append.largest_batch")
class TakesAThousand(LinkedBroker):
    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        return [*await super().append(batch[:1000]), *(HubbubError("too many") for _ in batch[1000:])]


@found_by("append.one_order_for_all")
class TellsItsOwnFirst(LinkedBroker):
    def tell(self, channel: bytes, batch: Sequence[Publication], events: Events) -> None:
        if any(p.id.startswith(self._node) for p in batch):
            events.publications(channel, batch)
        else:
            asyncio.get_running_loop().call_later(0.001, events.publications, channel, batch)


@found_by("append.own_node_gets_it_too")
class TellsOthersOnly(LinkedBroker):
    def tell(self, channel: bytes, batch: Sequence[Publication], events: Events) -> None:
        events.publications(channel, [p for p in batch if not p.id.startswith(self._node)])


@found_by("append.bodies_are_any_bytes")
class StripsBodies(LinkedBroker):
    def tell(self, channel: bytes, batch: Sequence[Publication], events: Events) -> None:
        events.publications(channel, [p._replace(body=p.body.strip()) for p in batch])


@found_by("append.bodies_are_any_bytes")
class StripsIds(LinkedBroker):
    def tell(self, channel: bytes, batch: Sequence[Publication], events: Events) -> None:
        events.publications(channel, [p._replace(id=p.id.strip()) for p in batch])


@found_by("append.history_has_any_bytes")
class KeepsBodiesUpToNul(Log):
    __slots__ = ()

    def _keep(self, publication: Publication, history: History | None, now: float) -> None:
        super()._keep(publication._replace(body=publication.body.partition(b"\0")[0]), history, now)


@found_by("append.wild_names_are_names")
class MatchesPatterns(Engine):
    def _hand_over(self, pending: dict[bytes, list[Publication]]) -> None:
        for channel, publications in pending.items():
            for name in list(self._interest):
                if name == channel or fnmatchcase(channel.decode("latin-1"), name.decode("latin-1")):
                    for broker in self._interest[name]:
                        broker.events.publications(name, publications)


class Renames(LinkedBroker):
    def renamed(self, channel: bytes) -> bytes:
        raise NotImplementedError

    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        return await super().append([changed(new, channel=self.renamed(new.channel)) for new in batch])

    async def subscribe(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        return await super().subscribe([self.renamed(channel) for channel in channels])

    async def history(
        self, channel: bytes, since: Position | None = None, limit: int | None = None, reverse: bool = False
    ) -> Page:
        return await super().history(self.renamed(channel), since, limit, reverse)

    async def forget(self, channel: bytes) -> None:
        await super().forget(self.renamed(channel))


@found_by("append.names_are_any_bytes", "append.names_reach_no_other_history")
class IgnoresCase(Renames):
    def renamed(self, channel: bytes) -> bytes:
        return channel.lower()


@found_by("append.names_are_any_bytes", "append.names_reach_no_other_history")
class CutsNames(Renames):
    def renamed(self, channel: bytes) -> bytes:
        return channel[:2047]


@found_by("append.names_are_any_bytes", "append.names_reach_no_other_history")
class TakesBracesOff(Renames):
    def renamed(self, channel: bytes) -> bytes:
        return channel.strip(b"{} \r\n\0")
