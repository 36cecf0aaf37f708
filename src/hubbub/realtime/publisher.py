"""What a program publishes and reads, from any thread or event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hubbub.brokers import Position
from hubbub.brokers import Published as Appended
from hubbub.errors import HubbubError
from hubbub.node import Ticket
from hubbub.realtime.bodies import Sent, body_of, name_of
from hubbub.realtime.data import encoded
from hubbub.realtime.namespaces import Place
from hubbub.realtime.permissions import Asker, reading_history, reading_presence
from hubbub.realtime.protocol import ClientInfo, Errors, Fault
from hubbub.realtime.protocol.replies import HistoryResult

if TYPE_CHECKING:
    from hubbub.realtime.service import Service

__all__ = ["Published", "Publisher"]

ECHO = 1.0  # seconds for a publication to come back to this node, once the broker has it
EVERYBODY = Asker(user="", insecure=True)


class Published(NamedTuple):
    """What became of a publication."""

    offset: int
    """0 where nothing is kept."""
    epoch: str
    """"" where nothing is kept."""
    sessions: int
    """Of this node, to which it was handed."""
    suppressed: str = ""
    """"repeated" or "older": it was not published, for its key was used, or its version is not above the latest."""


class Publisher:
    """A part of Realtime."""

    _service: Service

    async def publish(
        self, channel: str, data: Any, *, tags: Mapping[str, str] | None = None, key: str = "", version: int = 0,
        version_epoch: str = "", delta: bool = False, history: bool = True,
    ) -> Published:  # fmt: skip
        """Publish to all sessions of a channel, on all nodes, and into its history if it has one.

        Args:
            data: bytes as they are, which JSON clients need to be JSON; anything else as JSON.
            tags: for clients that choose by them.
            key: an idempotency key: within 300 s only the first publication with it counts.
            version: only what is above the version of the latest one that had one counts; 0: none.
            version_epoch: versions of another one than the latest's count always.
            delta: who wants deltas gets a patch of the publication before it; as `Namespace.delta_publish` for all.
            history: False: it is not kept, and has no offset.

        Returns: as soon as the broker has it, and this node's sessions were given it.
        Raises:
            Fault: no such channel, or no data.
            Overloaded, BrokerUnavailable: as of `Hub.publish`.
        """
        place, body = self._judged(channel, Sent(encoded(data), None, dict(tags or {}), delta))
        self._service.node.settle(asyncio.get_running_loop())
        ticket = Ticket()
        id = self._service.put(place, body, ticket, key, version, version_epoch, history)
        handed = self._service.channels.handed
        handed[id] = 0
        try:
            appended = await ticket
            if not appended.suppressed:
                await self._echo(place, appended)
            return self._told(place, appended, handed.get(id, 0), history)
        finally:
            handed.pop(id, None)

    def publish_sync(
        self, channel: str, data: Any, *, tags: Mapping[str, str] | None = None, key: str = "", version: int = 0,
        version_epoch: str = "", delta: bool = False, history: bool = True, timeout: float = 30.0,
    ) -> Published:  # fmt: skip
        """The same from a plain thread. `timeout`: seconds to wait for the broker."""
        place, body = self._judged(channel, Sent(encoded(data), None, dict(tags or {}), delta))
        ticket = Ticket()
        handed = self._service.channels.handed
        id = self._service.put(place, body, ticket, key, version, version_epoch, history, timeout)
        handed[id] = 0
        try:
            appended = ticket.wait(timeout)
            return self._told(place, appended, handed.get(id, 0), history)
        finally:
            handed.pop(id, None)

    async def broadcast(
        self, channels: Sequence[str], data: Any, *, tags: Mapping[str, str] | None = None, key: str = "",
        version: int = 0, version_epoch: str = "", delta: bool = False, history: bool = True,
    ) -> list[Published | Fault]:  # fmt: skip
        """Publish the same to several channels. Returns what became of each, in their order."""
        how: dict[str, Any] = {
            "tags": tags, "key": key, "version": version, "version_epoch": version_epoch, "delta": delta,
            "history": history,
        }  # fmt: skip
        data = encoded(data)
        done = await asyncio.gather(
            *(self.publish(channel, data, **how) for channel in channels), return_exceptions=True
        )
        results: list[Published | Fault] = []
        for one in done:
            if isinstance(one, (Published, Fault)):
                results.append(one)
            elif isinstance(one, HubbubError):
                results.append(Fault(Errors.INTERNAL, str(one)))
            else:
                raise one
        return results

    async def presence(self, channel: str) -> Mapping[str, ClientInfo]:
        """Who is in the channel, by client, up to `Bounds.max_presence`.

        Raises: Fault: no such channel, or none with presence. BrokerUnavailable.
        """
        reading_presence(self._service.namespaces.place(channel), EVERYBODY)
        return await self._service.present.of(name_of(channel), int(self._service.bounds.max_presence))

    async def presence_stats(self, channel: str) -> tuple[int, int]:
        """How many clients are in the channel, and how many different users. Raises: as of `presence`."""
        reading_presence(self._service.namespaces.place(channel), EVERYBODY)
        return await self._service.present.counts(name_of(channel))

    async def history(
        self, channel: str, *, limit: int = 0, since: Position | None = None, reverse: bool = False
    ) -> HistoryResult:
        """Read what is kept.

        Args:
            limit: publications at the most; 0: only the position; -1: all.
            since: begin behind this position, or, in reverse, before it.
            reverse: newest first.

        Raises: Fault: no such channel, none with history, or a position of another epoch. BrokerUnavailable.
        """
        place = self._service.namespaces.place(channel)
        reading_history(place, EVERYBODY)
        return await self._service.read_history(place, limit, since, reverse, None)

    async def history_remove(self, channel: str) -> None:
        """Empty the history; the position stays. Raises: as of `history`."""
        place = self._service.namespaces.place(channel)
        reading_history(place, EVERYBODY)
        name = name_of(channel)
        await self._service.node.ask(lambda stay: stay.broker.forget(name))
        await self._service.node.survey("rt.forget", channel, ECHO)

    def _judged(self, channel: str, sent: Sent) -> tuple[Place, bytes]:
        place = self._service.namespaces.place(channel)
        if not sent.data and place.options.publication_data_format != "binary":
            raise Fault(Errors.BAD_REQUEST, "a publication without data")
        sent.delta = sent.delta or place.options.delta_publish
        return place, body_of(sent)

    async def _echo(self, place: Place, appended: Appended) -> None:
        """Wait until this node's sessions have it."""
        channel = self._service.channels.find(place.channel)
        position = Position(appended.offset, appended.epoch)
        until = time.monotonic() + ECHO
        while channel is not None and not channel.has(position) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    @staticmethod
    def _told(place: Place, appended: Appended, sessions: int, history: bool) -> Published:
        if place.options.history is None or not history:
            return Published(0, "", sessions, appended.suppressed)
        return Published(appended.offset, appended.epoch, sessions, appended.suppressed)
