"""Faults in history."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from hubbub.brokers import Events, History, Outgoing, Page, Position, Publication, Published
from hubbub.brokers.log import Log, new_epoch
from support.faults import changed, found_by
from support.linked import LinkedBroker


class Pages(LinkedBroker):
    def page(self, page: Page, since: Position | None, limit: int | None, reverse: bool) -> Page:
        raise NotImplementedError

    async def history(
        self, channel: bytes, since: Position | None = None, limit: int | None = None, reverse: bool = False
    ) -> Page:
        return self.page(await super().history(channel, since, limit, reverse), since, limit, reverse)


@found_by("history.what_is_kept_is_what_was_told")
class KeepsNoIds(Pages):
    def page(self, page: Page, since: Position | None, limit: int | None, reverse: bool) -> Page:
        return page._replace(publications=[p._replace(id=bytes(12)) for p in page.publications])


@found_by("history.what_was_told_is_kept_already")
class KeepsLater(LinkedBroker):
    fresh = 0.0

    def tell(self, channel: bytes, batch: Sequence[Publication], events: Events) -> None:
        self.fresh = time.monotonic()
        events.publications(channel, batch)

    async def history(
        self, channel: bytes, since: Position | None = None, limit: int | None = None, reverse: bool = False
    ) -> Page:
        page = await super().history(channel, since, limit, reverse)
        late = time.monotonic() - self.fresh > 0.1
        return page if late else page._replace(publications=page.publications[:-1])


@found_by("history.size_is_exact", "history.trimmed_is_said")
class KeepsOneMore(LinkedBroker):
    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        return await super().append(
            [changed(new, history=new.history and History(new.history.size + 1, new.history.ttl)) for new in batch]
        )


@found_by("history.each_channel_keeps_its_own")
class ForgetsEverywhere(LinkedBroker):
    async def forget(self, channel: bytes) -> None:
        for log in self.engine._logs.values():
            log.forget()


@found_by("history.each_channel_keeps_its_own")
class KeepsByTheSmallest(LinkedBroker):
    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        least = min((new.history for new in batch if new.history), key=lambda history: history.size, default=None)
        return await super().append([changed(new, history=least) for new in batch])


@found_by("history.long_history")
class ReadsAThousand(LinkedBroker):
    async def history(
        self, channel: bytes, since: Position | None = None, limit: int | None = None, reverse: bool = False
    ) -> Page:
        return await super().history(channel, since, 1000 if limit is None else limit, reverse)


@found_by("history.ttl_counts_from_the_last")
class TtlFromTheFirst(Log):
    __slots__ = ()

    def _keep(self, publication: Publication, history: History | None, now: float) -> None:
        until = self.kept_until
        super()._keep(publication, history, now)
        self.kept_until = until if until > now else self.kept_until


@found_by("history.ttl_counts_from_the_last")
class ExpiryBeginsAnEpoch(Log):
    __slots__ = ()

    def tidy(self, now: float) -> float:
        if self._publications and self.kept_until <= now:
            self.epoch = new_epoch()
        return super().tidy(now)


@found_by("history.ttl_counts_from_the_last")
class NeverExpires(Log):
    __slots__ = ()

    def _keep(self, publication: Publication, history: History | None, now: float) -> None:
        super()._keep(publication, history, now)
        self.kept_until = now + 1000


@found_by("history.paging_forward")
class BeginsWithSince(LinkedBroker):
    async def history(
        self, channel: bytes, since: Position | None = None, limit: int | None = None, reverse: bool = False
    ) -> Page:
        if since is not None and since.offset and not reverse:
            since = since._replace(offset=since.offset - 1)
        return await super().history(channel, since, limit, reverse)


@found_by("history.paging_in_reverse")
class ReversesForwardPages(LinkedBroker):
    async def history(
        self, channel: bytes, since: Position | None = None, limit: int | None = None, reverse: bool = False
    ) -> Page:
        page = await super().history(channel, since, limit)
        return page._replace(publications=page.publications[::-1]) if reverse else page


@found_by("history.limit_of_none")
class TakesNoneForAll(LinkedBroker):
    async def history(
        self, channel: bytes, since: Position | None = None, limit: int | None = None, reverse: bool = False
    ) -> Page:
        return await super().history(channel, since, limit or None, reverse)


@found_by(
    "history.trimmed_is_said",
    "history.foreign_positions_are_said",
    "history.forget_keeps_the_position",
    "history.ttl_counts_from_the_last",
    "history.limit_of_none",
    "history.unkept_publication_is_a_hole",
)
class IsAlwaysComplete(Pages):
    def page(self, page: Page, since: Position | None, limit: int | None, reverse: bool) -> Page:
        return page._replace(complete=True)


@found_by("history.foreign_positions_are_said")
class LooksAtNoEpoch(LinkedBroker):
    async def history(
        self, channel: bytes, since: Position | None = None, limit: int | None = None, reverse: bool = False
    ) -> Page:
        if since is not None:
            since = Position(since.offset, self.engine.log(channel, 0).epoch)
        return await super().history(channel, since, limit, reverse)


@found_by("history.unkept_publication_is_a_hole")
class KeepsBesideAHole(Log):
    __slots__ = ()

    def _keep(self, publication: Publication, history: History | None, now: float) -> None:
        if history is not None:
            super()._keep(publication, history, now)


@found_by("history.forget_keeps_the_position")
class ForgetsAll(LinkedBroker):
    async def forget(self, channel: bytes) -> None:
        log = self.engine.log(channel, 0)
        log.forget()
        log.top, log.epoch = 0, new_epoch()


@found_by("history.unknown_channel_gets_an_epoch", "history.reading_races_the_first_publication")
class MakesEpochsUp(LinkedBroker):
    async def history(
        self, channel: bytes, since: Position | None = None, limit: int | None = None, reverse: bool = False
    ) -> Page:
        if self.engine.position(channel) is None:
            return Page((), Position(0, new_epoch()), True)
        return await super().history(channel, since, limit, reverse)


@found_by("history.page_is_of_one_moment")
class ReadsTheTopLater(LinkedBroker):
    async def history(
        self, channel: bytes, since: Position | None = None, limit: int | None = None, reverse: bool = False
    ) -> Page:
        page = await super().history(channel, since, limit, reverse)
        await asyncio.sleep(0.002)
        return page._replace(top=self.engine.position(channel) or page.top)


@found_by("history.positions_of_many")
class LeavesOutUnknownOnes(LinkedBroker):
    async def positions(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        return [position for position in await super().positions(channels) if position is not None]


@found_by("history.positions_of_many")
class SortsWhatIsAsked(LinkedBroker):
    async def subscribe(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        return await super().subscribe(sorted(channels))
