"""The broker between machines on Redis or Valkey. See `library.lua` for what lies there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar

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
    Publication,
    Published,
    Traits,
)
from hubbub.brokers.redis import roll
from hubbub.brokers.redis.address import Address
from hubbub.brokers.redis.checking import checks_of
from hubbub.brokers.redis.link import Link, Refusal, command
from hubbub.brokers.redis.records import Batch, publications_of, unpacked
from hubbub.brokers.redis.servers import Servers, connected
from hubbub.errors import BrokerUnavailable, HubbubError
from hubbub.supervision import Pauses

__all__ = ["RedisBroker"]

_between = random.SystemRandom().uniform

TOGETHER = 512  # channels in one command
ASKED = 4096  # channels in one call
PAGE = 1000  # entries of one reply
EVERYBODY = b"all"
SIGN_OF_LIFE = 20.0  # seconds
FAREWELL = 2.0  # seconds for what is to be said at the end


class RedisBroker(Broker):
    """One node's links to Redis 7 or Valkey servers.

    Each call to append is one call of the server, or one for each partition of a cluster. Where a server was started
    again or another one was promoted, all epochs begin anew, for it may have lost what it acknowledged; unless its
    settings are `appendonly yes` and `appendfsync always`.

    Args:
        address: servers, credentials and options; see `Address`.
    """

    refused: int
    traits: ClassVar[Traits] = Traits(name="redis")

    def __init__(self, address: Address) -> None:
        self._address = address
        self._node = b""
        self._events: Events | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._servers: Servers | None = None
        self._met: dict[bytes, tuple[bytes, bytes, int]] = {}  # by prefix: generation, replication id, calls
        self.reason: str = "it was not started"

    @classmethod
    def from_url(cls, url: str) -> RedisBroker:
        """Raises: Misuse: something in the URL is wrong."""
        return cls(Address.of(url))

    # The link

    async def start(self, node: bytes, events: Events) -> None:
        self._node, self._events = node, events
        self._keeping = asyncio.get_running_loop().create_task(self._keep_linked(events), name="hubbub redis link")

    async def close(self) -> None:
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()
            await asyncio.wait([keeping])
        servers, self._servers = self._servers, None
        if servers is not None:
            try:
                async with asyncio.timeout(FAREWELL):
                    await roll.evicted(servers, self._node)
            except (HubbubError, TimeoutError):
                pass
            await servers.end()

    async def reset(self, reason: str) -> None:
        if self._servers is not None:
            self._servers.give_up(reason)

    async def _keep_linked(self, events: Events) -> None:
        clock = asyncio.get_running_loop().time
        pauses = Pauses(0.05, 3.0)
        while True:
            began = clock()
            try:
                servers = await connected(self._address, self._take)
            except Exception as error:
                reason = str(error) or ("it does not answer" if isinstance(error, TimeoutError) else repr(error))
                self._tell(events, False, reason)
            else:
                await self._serve(servers, events)
            await asyncio.sleep(pauses.after(clock() - began) * _between(0.5, 1.5))

    async def _serve(self, servers: Servers, events: Events) -> None:
        """From when there are links until one breaks."""
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def end(why: str) -> None:
            if self._servers is servers:
                self._servers = None
                servers.give_up(why)
                self._tell(events, False, why)
            if not lost.done():
                lost.set_result(None)

        def watched(link: Link) -> None:
            link.broken = lambda: end(f"{link.place}: {link.why}")

        for link in servers.links:
            watched(link)
        try:
            await self._meet(servers)
            own, everybody = self._control_channel(servers, self._node), self._control_channel(servers, EVERYBODY)
            await self._listen(servers, b"SUBSCRIBE", [own, everybody])
            self._servers = servers
        except HubbubError as error:
            servers.give_up(str(error))
            return self._tell(events, False, str(error))
        finally:
            if self._servers is not servers:
                servers.give_up("it was not wanted any more")
        self._tell(events, True, str(servers))
        while not lost.done():
            with suppress(HubbubError):
                for silent in await roll.alive(servers, self._node):
                    await roll.evicted(servers, silent)
            await asyncio.wait([lost], timeout=SIGN_OF_LIFE)

    async def _meet(self, servers: Servers) -> None:
        """Say what was seen before, so that the servers know if they have fallen back."""
        asked: list[tuple[bytes, list[bytes]]] = []
        for shard in servers.shards:
            for prefix in shard.prefixes:
                generation, id, calls = self._met.get(prefix, (b"", b"", 0))
                asked.append((prefix, [b"1" if shard.durable else b"0", generation, id, b"%d" % calls]))
        for (prefix, _), reply in zip(asked, await servers.calls(b"meet", asked), strict=True):
            if isinstance(reply, Refusal):
                raise servers.judged(reply)
            self._met[prefix] = (reply[0], reply[1], reply[2])

    def _tell(self, events: Events, up: bool, reason: str) -> None:
        self.reason = reason
        events.state(up, reason)

    def _linked(self) -> Servers:
        if self._servers is None:
            raise BrokerUnavailable(self.reason)
        return self._servers

    # What comes

    def _take(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        """Hand over what one read has brought."""
        assert self._events is not None
        begin = len(self._address.prefix)
        pending: dict[bytes, list[Publication]] = {}
        for channel, message in messages:
            at = begin if channel[begin : begin + 1] == b":" else channel.find(b"}", begin) + 1
            if channel[at : at + 3] != b":c:":
                self._hear(message)
                continue
            found = publications_of(message)
            if found is None:
                self.refused += 1
            else:
                pending.setdefault(channel[at + 3 :], []).extend(found)
        for name, publications in pending.items():
            self._events.publications(name, publications)

    def _hear(self, message: bytes) -> None:
        assert self._events is not None
        if len(message) < NODE_SIZE:
            self.refused += 1
        else:
            self._events.control(message[:NODE_SIZE], message[NODE_SIZE:])

    # What a node asks

    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        servers = self._linked()
        parts: dict[bytes, Batch] = {}
        for place, new in enumerate(batch):
            prefix = servers.prefix_of(new.channel)
            part = parts.get(prefix)
            if part is None:
                part = parts[prefix] = Batch()
            part.add(new, place)
        replies = await servers.calls(b"append", [(prefix, part.arguments()) for prefix, part in parts.items()])
        results: list[Any] = [None] * len(batch)
        for (prefix, part), reply in zip(parts.items(), replies, strict=True):
            if isinstance(reply, Refusal):
                error = servers.judged(reply)
                if len(parts) == 1 and isinstance(error, BrokerUnavailable):
                    raise error
                part.fail(error, results)
            else:
                self._met[prefix] = (*self._met[prefix][:2], reply[0])
                part.settle(reply[1:], results)
        return results

    async def subscribe(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        servers = self._linked()
        await self._listen(servers, b"SUBSCRIBE", [(servers.prefix_of(name), b":c:" + name) for name in channels])
        return await self.positions(channels)

    async def unsubscribe(self, channels: Sequence[bytes]) -> None:
        servers = self._linked()
        await self._listen(servers, b"UNSUBSCRIBE", [(servers.prefix_of(name), b":c:" + name) for name in channels])

    @staticmethod
    def _control_channel(servers: Servers, node: bytes) -> tuple[bytes, bytes]:
        return servers.prefix_of(EVERYBODY), b":k:" + (node if node == EVERYBODY else node.hex().encode())

    @staticmethod
    async def _listen(servers: Servers, word: bytes, channels: Sequence[tuple[bytes, bytes]]) -> None:
        """Subscribe to these pub/sub channels, each a prefix and the rest, or no more; and wait until it is done."""
        by_prefix: dict[bytes, list[bytes]] = {}
        for prefix, rest in channels:
            by_prefix.setdefault(prefix, []).append(prefix + rest)
        word = b"S" + word if servers.clustered else word
        asked: dict[int, list[bytes]] = {}
        counts: dict[int, int] = {}
        for prefix, names in by_prefix.items():
            number = servers.shards.index(servers.shard_of(prefix))
            commands = asked.setdefault(number, [])
            commands += [command(word, *names[at : at + TOGETHER]) for at in range(0, len(names), TOGETHER)]
            counts[number] = counts.get(number, 0) + len(names)
        for number, commands in asked.items():
            for reply in await servers.shards[number].ears.ask(commands, counts[number]):
                if isinstance(reply, Refusal):
                    raise servers.judged(reply)

    async def positions(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        servers = self._linked()
        by_prefix: dict[bytes, list[int]] = {}
        for at, name in enumerate(channels):
            by_prefix.setdefault(servers.prefix_of(name), []).append(at)
        parts = [
            (prefix, places[begin : begin + ASKED])
            for prefix, places in by_prefix.items() for begin in range(0, len(places), ASKED)
        ]  # fmt: skip
        replies = await servers.calls(
            b"positions", [(prefix, [channels[at] for at in places]) for prefix, places in parts]
        )
        found: list[Position | None] = [None] * len(channels)
        for (_, places), reply in zip(parts, replies, strict=True):
            if isinstance(reply, Refusal):
                raise servers.judged(reply)
            for at, top, epoch in zip(places, reply[::2], reply[1::2], strict=True):
                found[at] = Position(top, epoch.decode()) if top >= 0 else None
        return found

    async def history(
        self, channel: bytes, since: Position | None = None, limit: int | None = None, reverse: bool = False
    ) -> Page:
        for _ in range(5):
            page = await self._read(channel, since, limit, reverse)
            if page is not None:
                return page
        raise BrokerUnavailable("the history is trimmed faster than it can be read")

    async def _read(self, channel: bytes, since: Position | None, limit: int | None, reverse: bool) -> Page | None:
        """Page by page, so that neither the server nor this loop stands still. None: some of it went meanwhile."""
        servers = self._linked()
        prefix = servers.prefix_of(channel)
        publications: list[Publication] = []
        top, complete, at = Position(0, ""), True, since
        while True:
            want = PAGE if limit is None else min(PAGE, limit - len(publications))
            offset, epoch = (b"%d" % at.offset, at.epoch.encode()) if at is not None else (b"", b"")
            reply: Any = await servers.call(
                b"history", prefix, channel, offset, epoch, b"%d" % want, b"1" if reverse else b"0"
            )
            before, known, first, entries = reply[2:]
            stands = Position(reply[0], reply[1].decode())
            found, strange = unpacked(entries, first, stands.epoch)
            self.refused += strange
            if at is since:
                top = stands
                complete = bool(known) and (reverse or since is None or since.offset >= before)
            elif stands.epoch != top.epoch or (not reverse and first != publications[-1].offset + 1):
                return None
            publications += reversed(found) if reverse else (p for p in found if p.offset <= top.offset)
            if not publications or len(entries) < want or len(publications) == limit:
                return Page(publications, top, complete)
            if not reverse and publications[-1].offset == top.offset:
                return Page(publications, top, complete)
            at = Position(publications[-1].offset, stands.epoch)

    async def forget(self, channel: bytes) -> None:
        servers = self._linked()
        await servers.call(b"forget", servers.prefix_of(channel), channel)

    async def present(self, changes: Sequence[Change]) -> None:
        await roll.changed(self._linked(), self._node, changes)

    async def presence(self, channel: bytes, limit: int | None = None) -> Presence:
        found, strange = await roll.present(self._linked(), channel, limit)
        self.refused += strange
        return found

    async def evict(self, node: bytes) -> Sequence[Change]:
        return await roll.evicted(self._linked(), node)

    async def control(self, data: bytes, node: bytes | None = None) -> None:
        servers = self._linked()
        prefix, rest = self._control_channel(servers, EVERYBODY if node is None else node)
        word = b"SPUBLISH" if servers.clustered else b"PUBLISH"
        (reply,) = await servers.shard_of(prefix).link.ask([command(word, prefix + rest, self._node + data)])
        if isinstance(reply, Refusal):
            raise servers.judged(reply)

    async def check(self) -> Sequence[Check]:
        try:
            servers = self._linked()
        except BrokerUnavailable as error:
            return [Check("link", str(error), "look at the server's log", fatal=True)]
        return [check for shard in servers.shards for check in await checks_of(shard)]
