"""Faults in keys and versions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hubbub.brokers import Outgoing, Publication, Published
from hubbub.brokers.log import Log, new_epoch
from support.faults import changed, found_by
from support.linked import LinkedBench, LinkedBroker, Machine


class ChangesWhatIsNew(LinkedBroker):
    def new(self, new: Outgoing, before: Sequence[Outgoing]) -> Outgoing:
        raise NotImplementedError

    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        return await super().append([self.new(new, batch[:at]) for at, new in enumerate(batch)])


@found_by("guards.key_counts_once")
class KnowsNoKeys(ChangesWhatIsNew):
    def new(self, new: Outgoing, before: Sequence[Outgoing]) -> Outgoing:
        return changed(new, key="")


@found_by("guards.key_counts_once")
class TellsTheTopOfARepeatedOne(Log):
    __slots__ = ()

    def append(self, new: Outgoing, now: float, position_ttl: float | None = None) -> Publication | Published:
        done = super().append(new, now, position_ttl)
        return done if isinstance(done, Publication) else done._replace(offset=self.top)


@found_by("guards.key_is_known_for_long")
class KnowsAThousandKeys(Log):
    __slots__ = ()

    def _remember(self, key: str, published: Published, now: float) -> None:
        super()._remember(key, published, now)
        if self._keys is not None and len(self._keys) > 1000:
            del self._keys[next(iter(self._keys))]


@found_by("guards.key_is_known_for_long", "guards.version_is_known_for_long")
class ForgetsGuardsWithTheHistory(Log):
    __slots__ = ()

    def forget(self) -> None:
        super().forget()
        self._keys, self.version = None, 0


@found_by("guards.key_within_one_batch")
class LooksKeysUpBeforeTheBatch(ChangesWhatIsNew):
    def new(self, new: Outgoing, before: Sequence[Outgoing]) -> Outgoing:
        return changed(new, key="") if any(one.key == new.key for one in before) else new


@found_by("guards.key_from_several_nodes_at_once")
class KnowsKeysOfItsOwn(ChangesWhatIsNew):
    def new(self, new: Outgoing, before: Sequence[Outgoing]) -> Outgoing:
        return changed(new, key=new.key and f"{self._node.hex()} {new.key}")


@found_by("guards.key_is_of_its_channel")
class StripsKeys(ChangesWhatIsNew):
    def new(self, new: Outgoing, before: Sequence[Outgoing]) -> Outgoing:
        return changed(new, key=new.key.strip())


@found_by("guards.key_is_of_its_channel")
class KnowsKeysOfAllChannels(LinkedBroker):
    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.keys: dict[str, Published] = {}

    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        results: list[Published | Exception] = []
        for new in batch:
            result = self.keys.get(new.key) or (await super().append([new]))[0]
            assert isinstance(result, Published)
            results.append(result)
            self.keys[new.key] = result._replace(suppressed="repeated")
        return results


@found_by("guards.version_never_goes_back", "guards.version_is_a_whole_number")
class TakesTheSameVersion(Log):
    __slots__ = ()

    def _is_older(self, version: int, epoch: str) -> bool:
        return super()._is_older(version + 1, epoch)


@found_by("guards.version_is_of_its_channel")
class KnowsOneVersion(LinkedBroker):
    latest = 0

    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        log = self.engine.log(batch[0].channel, 0)
        if 0 < batch[0].version <= self.latest:
            return [Published(log.top, log.epoch, "older") for _ in batch]
        self.latest = max(self.latest, batch[0].version)
        return await super().append(batch)


@found_by("guards.version_within_one_batch")
class LooksVersionsUpBeforeTheBatch(ChangesWhatIsNew):
    def new(self, new: Outgoing, before: Sequence[Outgoing]) -> Outgoing:
        return changed(new, version=0) if before else new


@found_by("guards.version_is_a_whole_number")
class ComparesVersionsAsFloats(Log):
    __slots__ = ()

    def _is_older(self, version: int, epoch: str) -> bool:
        return float(version) <= float(self.version)


@found_by("guards.version_is_a_whole_number")
class ComparesVersionsAsText(Log):
    __slots__ = ()

    def _is_older(self, version: int, epoch: str) -> bool:
        return str(version) <= str(self.version)


@found_by("guards.version_epochs")
class LooksAtNoVersionEpoch(Log):
    __slots__ = ()

    def _is_older(self, version: int, epoch: str) -> bool:
        return super()._is_older(version, "")


@found_by("guards.versions_from_several_nodes_at_once")
class ComparesVersionsTooEarly(LinkedBroker):
    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        log = self.engine.log(batch[0].channel, 0)
        if log._is_older(batch[0].version, ""):
            return [Published(log.top, log.epoch, "older")]
        await asyncio.sleep(0)
        return await super().append([changed(batch[0], version_epoch=new_epoch())])


@found_by("guards.what_is_suppressed_uses_up_nothing")
class UsesKeysUp(Log):
    __slots__ = ()

    def append(self, new: Outgoing, now: float, position_ttl: float | None = None) -> Publication | Published:
        done = super().append(new, now, position_ttl)
        if isinstance(done, Published) and done.suppressed == "older" and new.key:
            self._remember(new.key, done, now)
        return done


class WrongBench(LinkedBench):
    def __init__(self) -> None:
        super().__init__(KnowsNoKeys)
