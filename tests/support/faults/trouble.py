"""Faults in links and engines."""

from __future__ import annotations

from collections.abc import Sequence

from hubbub.brokers import Outgoing, Position, Publication, Published
from hubbub.errors import BrokerUnavailable
from support.faults import found_by
from support.linked import LinkedBroker, Machine


@found_by("trouble.reset_links_again")
class DoesNotReset(LinkedBroker):
    async def reset(self, reason: str) -> None:
        """It should."""


@found_by("trouble.cut_is_told", "trouble.reset_links_again")
class BreaksInSilence(LinkedBroker):
    def cut(self, reason: str) -> None:
        state, self.events.state = self.events.state, lambda up, reason: None  # type: ignore[method-assign]
        super().cut(reason)
        self.events.state = state  # type: ignore[method-assign]


@found_by("trouble.cut_is_told")
class LinksOnce(LinkedBroker):
    async def link_again(self) -> None:
        """It should."""


@found_by("trouble.cut_while_publishing")
class SaysThatNothingWasSent(LinkedBroker):
    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        try:
            return await super().append(batch)
        except BrokerUnavailable:
            self.engine.append(batch)
            raise BrokerUnavailable("the link broke", "unsent") from None


@found_by("trouble.cut_while_publishing")
class AcknowledgesTooEarly(LinkedBroker):
    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        try:
            return await super().append(batch)
        except BrokerUnavailable:
            return [Published(1, "00000000") for _ in batch]


@found_by("trouble.cut_while_publishing")
class SendsAgain(LinkedBroker):
    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        try:
            return await super().append(batch)
        except BrokerUnavailable:
            self.engine.append(batch)
            self.engine.append(batch)
            raise


@found_by("trouble.cut_while_subscribed")
class TellsAgainAsAnother(LinkedBroker):
    async def subscribe(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        positions = await super().subscribe(channels)
        if self.links:
            for channel, position in zip(channels, positions, strict=True):
                assert position is not None
                again = Publication(position.offset, position.offset - 1, position.epoch, b"another one!", b"x")
                self.events.publications(channel, [again])
        return positions


@found_by("trouble.presence_after_a_cut")
class LosesOthersClients(LinkedBroker):
    def cut(self, reason: str) -> None:
        super().cut(reason)
        for broker in self.engine.brokers:
            self.engine.roll.evict(broker)


@found_by("trouble.foreign_data_is_counted")
class CountsNothing(LinkedBroker):
    def take(self, data: bytes) -> None:
        """It should."""


@found_by("trouble.foreign_data_is_counted")
class TellsForeignData(LinkedBroker):
    def take(self, data: bytes) -> None:
        super().take(data)
        for channel in self._subscribed:
            self.events.publications(channel, [Publication(1, 0, "00000000", bytes(12), data)])


@found_by("trouble.restart_of_the_engine")
class LosesWhatIsKept(Machine):
    def stop(self) -> None:
        super().stop()
        for log in self.engine._logs.values():
            log.forget()


@found_by("trouble.restart_of_the_engine")
class LosesKeys(Machine):
    def stop(self) -> None:
        super().stop()
        for log in self.engine._logs.values():
            log._keys = None


@found_by("trouble.loss_of_all_data")
class HasTheSameEpochAlways(Machine):
    def lose(self) -> None:
        for log in self.engine._logs.values():
            log.top = 0
            log.forget()


@found_by("trouble.fall_back_of_the_engine")
class UsesOffsetsAgain(Machine):
    def fall_back(self) -> None:
        self.engine._logs, self.engine._expiring = self.saved._logs, self.saved._expiring


@found_by("trouble.close_while_frozen")
class ClosesWithTheEngine(LinkedBroker):
    async def close(self) -> None:
        await self.machine.runs.wait()
        await super().close()


@found_by("trouble.frozen_engine")
class WaitsForTheFrozen(LinkedBroker):
    answers = 5.0
