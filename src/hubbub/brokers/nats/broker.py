"""The broker between machines on NATS JetStream. See `streams.py` for what lies there."""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import ClassVar

from hubbub.brokers.contract import (
    NODE_SIZE,
    Broker,
    Change,
    Check,
    Events,
    Outgoing,
    Page,
    Position,
    Presence,
    Published,
    Traits,
)
from hubbub.brokers.nats.address import Address
from hubbub.brokers.nats.checking import checks_of
from hubbub.brokers.nats.interests import Interests
from hubbub.brokers.nats.link import Link, opened
from hubbub.brokers.nats.publishing import Publishing
from hubbub.brokers.nats.reading import Reading
from hubbub.brokers.nats.records import FORGOTTEN, Record, page_of, record_of
from hubbub.brokers.nats.roll import Roll
from hubbub.brokers.nats.streams import Stream, Streams
from hubbub.brokers.nats.wire import Message, publish
from hubbub.errors import BrokerUnavailable, HubbubError
from hubbub.supervision import Pauses

__all__ = ["NatsBroker"]

_between = random.SystemRandom().uniform

ASKED = 4096  # questions at a time
EVERYBODY = "all"
CONTROL = {b"2", b"3"}  # subscriptions


class NatsBroker(Broker):
    """One node's link to NATS servers with JetStream, 2.9 at least.

    One file stream holds the publications of all channels, and the server republishes each as it stores it; nodes are
    subscribed to that, so there are no consumers. Offsets are the stream's: they rise, but not one by one. Its epoch
    is in its name: a stream that is lost and made anew has another one.

    It keeps as many publications of each channel as the largest History that is in use, and each says by how large
    a one it was published; readers go by that. So a program may change a channel's History at any time.
    Positions live for the option keep, one day, and not for the contract's 30.

    Args:
        address: servers, credentials and options; see `Address`.
    """

    refused: int
    traits: ClassVar[Traits] = Traits(name="nats", dense=False, survives="process")

    def __init__(self, address: Address) -> None:
        self._address = address
        self._node = b""
        self._events: Events | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._streams: Streams | None = None
        self._publishing: Publishing | None = None
        self._seen = Position(0, "")  # the highest offset that is known, and its epoch
        self._seen_id = b""
        self._ahead = 0.0  # the server's clock, less the monotonic one
        self._interests: Interests
        self._roll: Roll
        self._reading: Reading | None = None
        self.reason: str = "it was not started"
        self.round_trip: float = 0.0

    @classmethod
    def from_url(cls, url: str) -> NatsBroker:
        """Raises: Misuse: something in the URL is wrong."""
        return cls(Address.of(url))

    # The link

    async def start(self, node: bytes, events: Events) -> None:
        self._node, self._events = node, events
        self._interests = Interests(events.publications, self._see, self._refuse)
        self._roll = Roll(self._address.prefix, node, self._refuse)
        self._keeping = asyncio.get_running_loop().create_task(self._keep_linked(events), name="hubbub nats link")

    async def close(self) -> None:
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()
            await asyncio.wait([keeping])
        link, streams, self._link = self._link, self._streams, None
        if link is not None:
            try:
                if streams is not None:
                    await self._roll.clear(link, streams)
                await link.flush()
            except HubbubError:
                pass
            await link.end()

    async def reset(self, reason: str) -> None:
        if self._link is not None:
            self._link.give_up(reason)

    async def _keep_linked(self, events: Events) -> None:
        clock = asyncio.get_running_loop().time
        pauses = Pauses(0.05, 3.0)
        at = random.randrange(1 << 16)  # noqa: S311
        servers = self._address.servers
        while True:
            began, server = clock(), servers[at % len(servers)]
            link: Link | None = None
            try:
                link = await opened(self._address, server, self._take)
                servers = self._address.with_others(link.info, server)
                await self._settle(link)
            except Exception as error:
                reason = str(error) or ("it does not answer" if isinstance(error, TimeoutError) else repr(error))
                if link is not None:
                    reason = link.why if link.over else reason
                    link.give_up(reason)
                    await link.lost.wait()
                self._tell(events, False, f"{server}: {reason}")
                at += 1
            except BaseException:
                if link is not None:
                    await link.end()
                raise
            else:
                self._begin(link, events, f"nats-server {link.info.get('version')} at {server}")
                await link.lost.wait()
            await asyncio.sleep(pauses.after(clock() - began) * _between(0.5, 1.5))

    def _begin(self, link: Link, events: Events, reason: str) -> None:
        def end() -> None:
            if self._link is link:
                self._link = self._publishing = None
                self._interests.clear()
                self._tell(events, False, link.why)

        self._link, link.broken = link, end
        self._tell(events, not link.over, link.why if link.over else reason)

    def _tell(self, events: Events, up: bool, reason: str) -> None:
        self.reason = reason
        events.state(up, reason)

    async def _settle(self, link: Link) -> None:
        """Find or make what there must be, and see whether it is what it was."""
        prefix = self._address.prefix
        streams = Streams(link, self._address)
        await streams.account()
        stream = await streams.found()
        if stream.epoch == self._seen.epoch and await self._has_fallen_back(link, streams, stream):
            await streams.replace(stream)
            stream = await streams.found()
        made = await streams.found_presence()
        stamp = await streams.clock(self._node)
        self._ahead = datetime.fromisoformat(stamp.decode()).timestamp() - time.monotonic()
        await self._roll.settle(link, made)
        for sid, name in (b"2", EVERYBODY), (b"3", self._node.hex()):
            link.write(b"SUB %b %b\r\n" % (f"{prefix}.k.{name}".encode(), sid))
        self.round_trip = await link.flush()
        self._streams = streams
        self._reading = Reading(link, streams, self._refuse)
        self._publishing = Publishing(link, streams, stream, self._subject, prefix)

    async def _has_fallen_back(self, link: Link, streams: Streams, stream: Stream) -> bool:
        """Whether it has lost publications that it had, so that their offsets would be used again, or were."""
        if stream.last < self._seen.offset:
            return True
        (answer,) = await link.ask([streams.direct(stream.name, {"seq": self._seen.offset})])
        record = None if answer.status else record_of(answer.head, answer.body)
        return record is not None and bool(self._seen_id) and record.id != self._seen_id

    def _linked(self) -> tuple[Link, Streams, Publishing]:
        link, streams, publishing = self._link, self._streams, self._publishing
        if link is None or streams is None or publishing is None or link.over:
            raise BrokerUnavailable(self.reason)
        return link, streams, publishing

    # What comes

    def _take(self, messages: Sequence[Message]) -> None:
        """Hand over what one read has brought."""
        if any(sid in CONTROL for _, sid, _, _ in messages):
            for _, _, _, body in (message for message in messages if message.sid in CONTROL):
                self._hear(body)
            messages = [message for message in messages if message.sid not in CONTROL]
        self._interests.take(messages)

    def _hear(self, body: bytes) -> None:
        assert self._events is not None
        if len(body) < NODE_SIZE:
            self._refuse()
        else:
            self._events.control(body[:NODE_SIZE], body[NODE_SIZE:])

    def _see(self, offset: int, epoch: str, id: bytes) -> None:
        if offset > self._seen.offset or epoch != self._seen.epoch:
            self._seen, self._seen_id = Position(offset, epoch), id

    def _refuse(self) -> None:
        self.refused += 1

    # What a node asks

    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        link, _, publishing = self._linked()
        before = self._seen
        results = await publishing.append(batch)
        last: tuple[Published, bytes] | None = None
        for new, result in zip(batch, results, strict=True):
            if isinstance(result, Published) and not result.suppressed:
                if result.epoch == before.epoch and result.offset <= before.offset:
                    link.give_up("the stream has fallen back: it uses offsets again")
                    raise BrokerUnavailable(link.why, "unknown")
                last = (result, new.id)
        if last is not None:
            self._see(last[0].offset, last[0].epoch, last[1])
        return results

    async def subscribe(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        link, _, _ = self._linked()
        new = [(channel, sid) for channel in channels if (sid := self._interests.add(channel)) is not None]
        link.write(*(b"SUB %b %b\r\n" % (self._subject(b"r", channel), sid) for channel, sid in new))
        return await self.positions(channels)

    async def unsubscribe(self, channels: Sequence[bytes]) -> None:
        link, _, _ = self._linked()
        gone = [sid for channel in channels if (sid := self._interests.remove(channel)) is not None]
        link.write(*(b"UNSUB %b\r\n" % sid for sid in gone))

    async def positions(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        positions: list[Position] = []
        for at in range(0, len(channels), ASKED):
            part = channels[at : at + ASKED]
            epoch, records = await self._latest(part)
            for channel, record in zip(part, records, strict=True):
                positions.append(Position(record.top if record else 0, epoch))
                self._interests.begin(channel, positions[-1], record)
        return positions

    async def _latest(self, channels: Sequence[bytes]) -> tuple[str, list[Record | None]]:
        """The epoch, and the latest record of each."""
        for _ in range(3):
            _, _, publishing = self._linked()
            assert self._reading is not None
            stream = publishing.stream
            records = await self._reading.latest(stream.name, [self._subject(b"c", channel) for channel in channels])
            if records is not None:
                return stream.epoch, records
            await publishing.find_again()
        raise BrokerUnavailable("the stream does not answer")

    async def history(
        self, channel: bytes, since: Position | None = None, limit: int | None = None, reverse: bool = False
    ) -> Page:
        epoch, (latest,) = await self._latest([channel])
        _, _, publishing = self._linked()
        assert self._reading is not None
        now = self._ahead + time.monotonic()
        stream = publishing.stream
        if latest is None or (limit == 0 and since is None):
            records = [latest] if latest is not None else []
        else:
            subject = self._subject(b"c", channel)
            begin = since.offset if since is not None and since.epoch == epoch and not reverse else 0
            records = await self._reading.all(stream.name, subject, begin, latest.offset)
            if begin and (not records or records[0].offset != begin):
                records = await self._reading.all(stream.name, subject, 0, latest.offset)
                stream = await publishing.find_again()  # for what it has let go by now
        return page_of(records, epoch, stream.oldest, since, limit, reverse, now)

    async def forget(self, channel: bytes) -> None:
        _, _, publishing = self._linked()
        for _ in range(100):
            _, (latest,) = await self._latest([channel])
            if latest is None or latest.flags & FORGOTTEN or await publishing.forget(channel, latest.offset):
                return
        raise BrokerUnavailable("others publish all the time", "unknown")

    async def present(self, changes: Sequence[Change]) -> None:
        link, streams, _ = self._linked()
        await self._roll.change(link, streams, changes)

    async def presence(self, channel: bytes, limit: int | None = None) -> Presence:
        link, streams, _ = self._linked()
        return await self._roll.of(link, streams, channel, limit)

    async def evict(self, node: bytes) -> Sequence[Change]:
        link, streams, _ = self._linked()
        return await self._roll.evict(link, streams, node)

    async def control(self, data: bytes, node: bytes | None = None) -> None:
        link, _, _ = self._linked()
        subject = f"{self._address.prefix}.k.{EVERYBODY if node is None else node.hex()}"
        link.write(publish(subject.encode(), b"", b"", self._node + data))

    async def check(self) -> Sequence[Check]:
        try:
            link, streams, publishing = self._linked()
        except BrokerUnavailable as error:
            return [Check("link", str(error), "look at the server's log", fatal=True)]
        return await checks_of(link, streams, await publishing.find_again(), self._address)

    @staticmethod
    @lru_cache(maxsize=4096)
    def _token(channel: bytes) -> bytes:
        """A channel's name as one part of a subject: there is no full stop, wildcard or blank in it."""
        return base64.urlsafe_b64encode(channel).rstrip(b"=") or b"="

    def _subject(self, kind: bytes, channel: bytes) -> bytes:
        return b"%b.%b.%b" % (self._address.prefix.encode(), kind, self._token(channel))
