"""Who is present through this process: changed from any thread, and put at the broker again whenever that may be gone.

It holds how things are to be, and which of it the broker has not been told; so only the latest of a client counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hubbub.brokers import Broker, Change
from hubbub.errors import BrokerUnavailable

__all__ = ["Presenting", "Roster"]

AT_ONCE = 4096  # changes in one call

Key = tuple[bytes, str]  # channel and client


class Roster:
    """Single steps on dicts, so it needs no lock; whoever changes it does so in the order of things."""

    __slots__ = ("_present", "_untold")

    def __init__(self) -> None:
        self._present: dict[Key, Change] = {}
        self._untold: dict[Key, None] = {}

    def __len__(self) -> int:
        """How many are present."""
        return len(self._present)

    @property
    def told(self) -> bool:
        """The broker has been told everything, or is being told."""
        return not self._untold

    def change(self, change: Change) -> None:
        key = (change.channel, change.client)
        if change.info is None:
            self._present.pop(key, None)
        else:
            self._present[key] = change
        self._untold[key] = None

    def tell_again(self) -> None:
        """All who are present."""
        self._untold.update(dict.fromkeys(list(self._present)))

    def take(self) -> list[Change]:
        """What is to be told next."""
        changes: list[Change] = []
        while self._untold and len(changes) < AT_ONCE:
            key, _ = self._untold.popitem()
            changes.append(self._present.get(key) or Change(*key))
        return changes

    def put_back(self, changes: Sequence[Change]) -> None:
        """These were not told after all."""
        self._untold.update(dict.fromkeys((change.channel, change.client) for change in changes))


class Presenting:
    """Tells the broker, on the event loop of one stay of the node."""

    def __init__(self, broker: Broker, roster: Roster) -> None:
        self._broker = broker
        self._roster = roster
        self._telling = False
        self.changed: asyncio.Event = asyncio.Event()
        self.up: bool = False

    @property
    def done(self) -> bool:
        """The broker knows everything."""
        return self._roster.told and not self._telling

    def tell_again(self) -> None:
        """What this node has put may be gone."""
        self._roster.tell_again()
        self.changed.set()

    async def keep_up(self) -> None:
        """Tell what changes: what comes meanwhile is told next."""
        while True:
            await self.changed.wait()
            self.changed.clear()
            while self.up and (changes := self._roster.take()):
                self._telling = True
                try:
                    await self._broker.present(changes)
                except BrokerUnavailable:
                    self._roster.put_back(changes)
                    await asyncio.sleep(0.05)  # when there is a link again, all of it is told
                except BaseException:
                    self._roster.put_back(changes)
                    raise
                finally:
                    self._telling = False
