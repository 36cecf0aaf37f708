"""One connection to a Redis server: who asks gets the replies, or hears that the link broke."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis

from hubbub.brokers.connection import Connection
from hubbub.brokers.redis.address import Address, Place
from hubbub.errors import BrokerUnavailable, HubbubError

__all__ = ["Link", "Refusal", "command", "opened"]

SILENCE = 4.0  # seconds without a reply, until the link is given up
PUSHED = {b"message", b"smessage"}


class Refusal(HubbubError):
    """The server's own words: why it does not do something."""

    @property
    def code(self) -> str:
        """The first of them, such as "READONLY"."""
        return str(self).partition(" ")[0]


class _Call:
    """Commands that were written in one go."""

    __slots__ = ("done", "missing", "replies", "since")

    def __init__(self, count: int, now: float) -> None:
        self.missing = count
        self.replies: list[Any] = []
        self.since = now
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


def _first(reply: Any) -> Any:
    return cast("list[Any]", reply)[0] if isinstance(reply, list) and reply else None


def command(*parts: bytes) -> bytes:
    """A command as it is on the wire."""
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


class Link(Connection):
    """Made by `opened`.

    Args:
        deliver: called with what comes for subscriptions, all of one read: channels and messages.
    """

    def __init__(self, place: Place, deliver: Callable[[Sequence[tuple[bytes, bytes]]], None] | None) -> None:
        super().__init__(SILENCE)
        self.place: Place = place
        self._deliver = deliver
        self._reader = hiredis.Reader(replyError=cast("Any", Refusal))
        self._calls: deque[_Call] = deque()

    # The connection

    def _waits_since(self) -> float | None:
        return max(self._calls[0].since, self._heard) if self._calls else None

    def _ping(self) -> None:
        self._begin([command(b"PING")])

    def _fail(self) -> None:
        calls, self._calls = self._calls, deque()
        for call in calls:
            if not call.done.done():
                call.done.set_exception(BrokerUnavailable(self.why, "unknown"))
                call.done.exception()  # nobody may be waiting

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        reader: Any = self._reader
        pushed = self._deliver is not None
        messages: list[tuple[bytes, bytes]] = []
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                word = _first(reply) if pushed else None
                if word in PUSHED:
                    messages.append((reply[1], reply[2]))
                elif word == b"sunsubscribe" and not self._calls:
                    self.give_up("the cluster has moved a slot")
                else:
                    self._answer(reply)
        except (hiredis.HiredisError, IndexError, TypeError) as error:
            self.give_up(f"the server does not speak Redis' protocol: {error}")
        if messages:
            assert self._deliver is not None
            self._deliver(messages)

    def _answer(self, reply: Any) -> None:
        if not self._calls:
            return self.give_up("the server says something that nobody asked for")
        call = self._calls[0]
        call.replies.append(reply)
        call.missing -= 1
        if not call.missing:
            self._calls.popleft()
            if not call.done.done():
                call.done.set_result(None)

    # What one can do with it

    async def ask(self, commands: Sequence[bytes], replies: int = 0) -> list[Any]:
        """Write these commands in one go, and wait for their replies; one that the server refuses is a Refusal.

        Args:
            replies: how many there are, if there is not one for each command.

        Raises: BrokerUnavailable: "unknown" if the link broke meanwhile.
        """
        if not commands:
            return []
        call = self._begin(commands, replies)
        await call.done
        return call.replies

    def _begin(self, commands: Sequence[bytes], replies: int = 0) -> _Call:
        self.write(*commands)
        call = _Call(replies or len(commands), self._loop.time())
        self._calls.append(call)
        return call

    async def demand(self, *parts: bytes) -> Any:
        """The reply to one command. Raises: Refusal: the server refuses it; BrokerUnavailable."""
        (reply,) = await self.ask([command(*parts)])
        if isinstance(reply, Refusal):
            raise reply
        return reply

    async def greet(self, user: str, password: str, db: int) -> None:
        """Say who we are. Raises: BrokerUnavailable: the server refuses."""
        try:
            if password:
                who = [user.encode()] if user else []
                await self.demand(b"AUTH", *who, password.encode())
            if db:
                await self.demand(b"SELECT", b"%d" % db)
            await self.demand(b"PING")
        except Refusal as error:
            raise BrokerUnavailable(f"the server refuses: {error}") from None
        (_,) = await self.ask([command(b"CLIENT", b"SETNAME", b"hubbub")])


async def opened(
    address: Address, place: Place, deliver: Callable[[Sequence[tuple[bytes, bytes]]], None] | None = None,
    sentinel: bool = False,
) -> Link:  # fmt: skip
    """A link to that server.

    Raises: OSError, BrokerUnavailable, TimeoutError, ssl.SSLError.
    """
    loop = asyncio.get_running_loop()
    link: Link | None = None
    try:
        async with asyncio.timeout(SILENCE):
            if not place.port:
                _, link = await loop.create_unix_connection(lambda: Link(place, deliver), place.host)
            else:
                context = (address.context or ssl.create_default_context()) if address.secure else None
                _, link = await loop.create_connection(
                    lambda: Link(place, deliver), place.host, place.port, ssl=context,
                    server_hostname=place.host if context else None,
                )  # fmt: skip
            if sentinel:
                await link.greet(address.sentinel_user, address.sentinel_password, 0)
            else:
                await link.greet(address.user, address.password, address.db)
        return link
    except BaseException:
        if link is not None:
            link.give_up("it was not wanted any more")
        raise
