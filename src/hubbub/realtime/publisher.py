"""What a program publishes and reads, from any thread or event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hubbub.arguments import shown, text
from hubbub.brokers import Position
from hubbub.brokers import Published as Appended
from hubbub.errors import HubbubError, Misuse
from hubbub.node import Promise, Ticket, Waiter
from hubbub.realtime.bodies import Sent, body_of, name_of
from hubbub.realtime.channel import Channel
from hubbub.realtime.data import encoded
from hubbub.realtime.permissions import Asker, reading_history, reading_presence
from hubbub.realtime.protocol import ClientInfo, Errors, Fault
from hubbub.realtime.protocol.replies import HistoryResult

if TYPE_CHECKING:
    from hubbub.realtime.service import Service

__all__ = ["Published", "Publisher", "Publishing"]

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


class Publishing(NamedTuple):
    """What is to be published, as of `Realtime.publish`."""

    channel: str
    data: Any
    tags: Mapping[str, str] | None = None
    key: str = ""
    version: int = 0
    version_epoch: str = ""
    delta: bool = False
    history: bool = True


class Publisher:
    """A part of Realtime."""

    _service: Service

    async def publish(
        self, channel: str, data: Any, *, tags: Mapping[str, str] | None = None, key: str = "", version: int = 0,
        version_epoch: str = "", delta: bool = False, history: bool = True,
    ) -> Published:  # fmt: skip
        """Publish to all sessions of a channel, on all nodes, and into its history if it has one.

        For the event loop of the sessions; `publish_sync` is for plain threads. Nobody's permission is asked.

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
            Fault: 102 or 107: no such channel, or no data.
            Misuse: the data cannot be JSON.
            Overloaded: `Limits.max_outbox` or `max_outbox_size` are reached.
            BrokerUnavailable: it may have been published or not, as `outcome` says: with a key, try again.
        """
        loop = asyncio.get_running_loop()
        self._service.node.settle(loop)
        promise = Promise(loop)
        id = self._give(promise, 0.0, channel, data, tags, key, version, version_epoch, delta, history)
        handed = self._service.channels.handed
        try:
            appended = await promise.told
            if (behind := self._behind(channel, appended)) is not None:
                await self._echo(behind, appended)
            return self._published(channel, history, appended, handed.get(id, 0))
        finally:
            handed.pop(id, None)

    async def publish_many(self, publications: Iterable[Publishing]) -> list[Published | Fault]:
        """Publish several at once, which costs less than one by one, and keeps their order.

        Returns: what became of each, in their order; Error 100 where the broker does not take it.
        """
        loop = asyncio.get_running_loop()
        self._service.node.settle(loop)
        handed = self._service.channels.handed
        given = [(publishing, *self._given(publishing, loop)) for publishing in publications]
        results: list[Published | Fault] = []
        try:
            for publishing, id, told in given:
                if isinstance(told, Fault):
                    results.append(told)
                    continue
                try:
                    appended = await told
                    if (behind := self._behind(publishing.channel, appended)) is not None:
                        await self._echo(behind, appended)
                    sessions = handed.get(id, 0)
                    results.append(self._published(publishing.channel, publishing.history, appended, sessions))
                except HubbubError as error:
                    results.append(Fault(Errors.INTERNAL, str(error)))
            return results
        finally:
            for _, id, _ in given:
                handed.pop(id, None)

    def publish_sync(
        self, channel: str, data: Any, *, tags: Mapping[str, str] | None = None, key: str = "", version: int = 0,
        version_epoch: str = "", delta: bool = False, history: bool = True, timeout: float = 30.0,
    ) -> Published:  # fmt: skip
        """The same from a plain thread, which it blocks.

        Args:
            timeout: seconds to wait for room, and for the broker.

        Raises: as of `publish`.
        """
        ticket = Ticket()
        id = self._give(ticket, timeout, channel, data, tags, key, version, version_epoch, delta, history)
        handed = self._service.channels.handed
        try:
            appended = ticket.wait(timeout)
            return self._published(channel, history, appended, handed.get(id, 0))
        finally:
            handed.pop(id, None)

    async def broadcast(
        self, channels: Sequence[str], data: Any, *, tags: Mapping[str, str] | None = None, key: str = "",
        version: int = 0, version_epoch: str = "", delta: bool = False, history: bool = True,
    ) -> list[Published | Fault]:  # fmt: skip
        """Publish the same to several channels, each on its own.

        Returns: what became of each, in their order; Fault 100: the broker could not be reached, or had no room.
        Raises: Misuse: the data cannot be JSON.
        """
        data = encoded(data)
        return await self.publish_many(
            Publishing(channel, data, tags, key, version, version_epoch, delta, history) for channel in channels
        )

    async def presence(self, channel: str) -> Mapping[str, ClientInfo]:
        """Who is in the channel, by client, up to `Bounds.max_presence`.

        Raises: Fault: no such channel, or none with presence. BrokerUnavailable.
        """
        reading_presence(self._service.namespaces.known(channel), EVERYBODY)
        return await self._service.present.of(name_of(channel), int(self._service.bounds.max_presence))

    async def presence_stats(self, channel: str) -> tuple[int, int]:
        """How many clients are in the channel, and how many different users. Raises: as of `presence`."""
        reading_presence(self._service.namespaces.known(channel), EVERYBODY)
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
        place = self._service.namespaces.known(channel)
        reading_history(place, EVERYBODY)
        return await self._service.read_history(place, limit, since, reverse, None)

    async def history_remove(self, channel: str) -> None:
        """Empty the history; the position stays. Raises: as of `history`."""
        place = self._service.namespaces.known(channel)
        reading_history(place, EVERYBODY)
        name = name_of(channel)
        await self._service.node.ask(lambda stay: stay.broker.forget(name))
        await self._service.node.survey("rt.forget", channel, ECHO)

    def _give(
        self, waiter: Waiter, timeout: float, channel: str, data: Any, tags: Mapping[str, str] | None, key: str,
        version: int, version_epoch: str, delta: bool, history: bool,
    ) -> bytes:  # fmt: skip
        """Give it to the broker. Returns its id. Raises: Fault. Misuse, Overloaded, BrokerUnavailable."""
        if key:
            text("key", key)
        given: Mapping[Any, Any] | None = tags
        if given and not all(isinstance(part, str) for tag in given.items() for part in tag):
            raise Misuse(f'tags are texts, such as {{"total": "100"}}, not {shown(tags)}')
        sent = Sent(encoded(data), None, dict(tags) if tags else {}, delta)
        place = self._service.namespaces.known(channel)
        if not sent.data and place.options.publication_data_format != "binary":
            raise Fault(Errors.BAD_REQUEST, "a publication without data")
        sent.delta = sent.delta or place.options.delta_publish
        id = self._service.put(place, body_of(sent), waiter, key, version, version_epoch, history, timeout)
        self._service.channels.handed[id] = 0
        return id

    def _given(
        self, publishing: Publishing, loop: asyncio.AbstractEventLoop
    ) -> tuple[bytes, asyncio.Future[Appended] | Fault]:
        """Its id, and what is to be awaited; or why it was not taken."""
        promise = Promise(loop)
        try:
            return self._give(promise, 0.0, *publishing), promise.told
        except Fault as fault:
            return b"", fault
        except HubbubError as error:
            return b"", Fault(Errors.INTERNAL, str(error))

    def _behind(self, channel: str, appended: Appended) -> Channel | None:
        """The channel, if its sessions on this node have not been given that yet."""
        found = self._service.channels.find(channel)
        return None if found is None or appended.suppressed or found.has(appended) else found

    @staticmethod
    async def _echo(channel: Channel, appended: Appended) -> None:
        """Wait until this node's sessions have it."""
        until = time.monotonic() + ECHO
        while not channel.has(appended) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    def _published(self, channel: str, history: bool, appended: Appended, sessions: int) -> Published:
        if not history or self._service.namespaces.known(channel).options.history is None:
            return Published(0, "", sessions, appended.suppressed)
        return Published(appended.offset, appended.epoch, sessions, appended.suppressed)
