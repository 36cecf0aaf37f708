"""Faults in presence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hubbub.brokers import Change, Presence
from support.faults import found_by
from support.linked import LinkedBroker


@found_by("presence.put_replace_and_drop")
class ReplacesNobody(LinkedBroker):
    async def present(self, changes: Sequence[Change]) -> None:
        for change in changes:
            there = {entry.client for entry in (await self.presence(change.channel)).entries}
            if change.info is None or change.client not in there:
                await super().present([change])


@found_by("presence.changes_are_made_in_order")
class MakesChangesBackwards(LinkedBroker):
    async def present(self, changes: Sequence[Change]) -> None:
        await super().present(changes[::-1])


@found_by("presence.counts_are_of_clients_and_users")
class CountsNoUsers(LinkedBroker):
    async def presence(self, channel: bytes, limit: int | None = None) -> Presence:
        found = await super().presence(channel, limit)
        return found._replace(users=found.clients)


@found_by("presence.counts_are_of_clients_and_users")
class CountsWhatItGives(LinkedBroker):
    async def presence(self, channel: bytes, limit: int | None = None) -> Presence:
        found = await super().presence(channel, limit)
        return found._replace(clients=len(found.entries))


@found_by("presence.texts_and_infos_are_of_any_content")
class StripsClients(LinkedBroker):
    async def present(self, changes: Sequence[Change]) -> None:
        await super().present([change._replace(client=change.client.strip()) for change in changes])


@found_by("presence.client_moves_to_another_node")
class DropsOthersClients(LinkedBroker):
    async def present(self, changes: Sequence[Change]) -> None:
        for change in changes:
            entries = {entry.client: entry for entry in (await self.presence(change.channel)).entries}
            owner = entries[change.client].node if change.client in entries else self._node
            self.engine.roll.change(owner if change.info is None else self._node, change)


@found_by("presence.close_removes_at_once")
class LeavesClientsBehind(LinkedBroker):
    async def close(self) -> None:
        self.engine.brokers.pop(self._node, None)
        await super().close()


@found_by("presence.evict_drops_a_node")
class EvictsInSilence(LinkedBroker):
    async def evict(self, node: bytes) -> Sequence[Change]:
        await super().evict(node)
        return []


@found_by("presence.evict_drops_a_node")
class EvictsEverybody(LinkedBroker):
    async def evict(self, node: bytes) -> Sequence[Change]:
        return [
            change for other in list(self.engine.brokers) for change in await super(EvictsEverybody, self).evict(other)
        ]


@found_by("presence.two_thousand_clients")
class EvictsAThousand(LinkedBroker):
    async def evict(self, node: bytes) -> Sequence[Change]:
        return (await super().evict(node))[:1000]


@found_by("presence.evict_tells_each_once")
class EvictsInTwoSteps(LinkedBroker):
    async def evict(self, node: bytes) -> Sequence[Change]:
        there = sorted(self.engine.roll._nodes.get(node, ()))
        await asyncio.sleep(0)
        await super().evict(node)
        return [Change(channel, client, "u") for channel, client in there]
