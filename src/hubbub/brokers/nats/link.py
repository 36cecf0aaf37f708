"""One connection to a NATS server: who asks gets the answer, or hears that the link broke."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from hubbub.brokers.connection import Connection
from hubbub.brokers.nats.address import Address, Server
from hubbub.brokers.nats.wire import Garbled, Message, Other, Parser, connect, publish, status_of
from hubbub.errors import BrokerUnavailable

__all__ = ["Answer", "Link", "Question", "opened"]

SILENCE = 4.0  # seconds without an answer, until the link is given up
WRITTEN = 256  # questions in one write


class Question(NamedTuple):
    """What is asked: a message that is answered."""

    subject: bytes
    body: bytes = b""
    head: bytes = b""
    many: bool = False
    """Several answers come, the last one without a body."""


class Answer(NamedTuple):
    """What came back."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        return status_of(self.head) if self.head else 0


class _Call:
    """Questions that were asked in one go."""

    __slots__ = ("answers", "done", "first", "heard", "missing")

    def __init__(self, first: int, count: int, now: float) -> None:
        self.first = first
        self.missing = count
        self.answers: list[list[Answer]] = [[] for _ in range(count)]
        self.heard = now
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Link(Connection):
    """Made by `opened`.

    Args:
        deliver: called with what comes for subscriptions, all of one read.
    """

    def __init__(self, deliver: Callable[[Sequence[Message]], None]) -> None:
        super().__init__(SILENCE)
        self._deliver = deliver
        self._parser = Parser()
        self._inbox = b"_INBOX." + os.urandom(9).hex().encode() + b"."
        self._number = 0
        self._calls: dict[int, tuple[_Call, bool]] = {}
        self._pongs: list[asyncio.Future[None]] = []
        self.greeting: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self.info: dict[str, Any] = {}

    # The connection

    def _waits_since(self) -> float | None:
        if self._calls:
            return min(self._heard, *(call.heard for call, _ in self._calls.values()))
        return self._heard if self._pongs else None

    def _ping(self) -> None:
        if self.info:
            self._pongs.append(self._loop.create_future())
            self.write(b"PING\r\n")

    def _fail(self) -> None:
        calls = {id(call): call.done for call, _ in self._calls.values()}.values()
        self._calls.clear()
        _fail_all([self.greeting, *self._pongs], BrokerUnavailable(self.why))
        _fail_all(calls, BrokerUnavailable(self.why, "unknown"))

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        messages: list[Message] = []
        inbox, length = self._inbox, len(self._inbox)
        try:
            for message in self._parser.feed(data):
                if isinstance(message, Other):
                    self._take(message)
                elif message[0][:length] == inbox:
                    self._answer(int(message[0][length:]), message)
                else:
                    messages.append(message)
        except (Garbled, ValueError, TypeError) as error:
            self.give_up(f"the server does not speak NATS: {error}")
        if messages:
            self._deliver(messages)

    def _take(self, said: Other) -> None:
        match said.kind:
            case b"PING":
                self.transport.write(b"PONG\r\n")
            case b"PONG":
                if self._pongs and not (pong := self._pongs.pop(0)).done():
                    pong.set_result(None)
            case b"INFO":
                self.info = dict(json.loads(said.rest))
                if not self.greeting.done():
                    self.greeting.set_result(self.info)
            case b"-ERR":
                self.give_up("the server refuses: " + said.rest.decode("utf-8", "replace").strip(" '"))
            case b"+OK":
                pass
            case _:
                raise Garbled("an unknown word")

    def _answer(self, number: int, message: Message) -> None:
        asked = self._calls.get(number)
        if asked is None:
            return
        call, many = asked
        answers = call.answers[number - call.first]
        answers.append(Answer(message[2], message[3]))
        call.heard = self._heard
        if many and status_of(message[2]) == 0 and b"Nats-Num-Pending" in message[2]:
            return
        del self._calls[number]
        call.missing -= 1
        if not call.missing and not call.done.done():
            call.done.set_result(None)

    # What one can do with it

    async def answers(self, questions: Sequence[Question]) -> list[list[Answer]]:
        """Ask all of these in one go, and wait for what comes back.

        Raises: BrokerUnavailable: "unknown" if the link broke meanwhile.
        """
        if not questions:
            return []
        first = self._number + 1
        self._number += len(questions)
        call = _Call(first, len(questions), self._loop.time())
        inbox = self._inbox
        try:
            for begin in range(0, len(questions), WRITTEN):  # the server begins while the rest is still put into bytes
                parts: list[bytes] = []
                for number, (subject, body, head, many) in enumerate(questions[begin : begin + WRITTEN], first + begin):
                    parts.append(publish(subject, inbox + b"%d" % number, head, body))
                    self._calls[number] = (call, many)
                self.write(*parts)
            await call.done
        finally:
            if call.missing:
                for number in range(first, first + len(questions)):
                    self._calls.pop(number, None)
        return call.answers

    async def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """The same where each has one answer."""
        return [answers[0] for answers in await self.answers(questions)]

    async def flush(self) -> float:
        """Until the server has read all that was written. Returns seconds."""
        began = self._loop.time()
        pong: asyncio.Future[None] = self._loop.create_future()
        self._pongs.append(pong)
        self.write(b"PING\r\n")
        await pong
        return self._loop.time() - began

    async def greet(self, address: Address, server: Server, secure: bool) -> None:
        """Say who we are. Raises: BrokerUnavailable: the server refuses."""
        options: dict[str, Any] = {
            "verbose": False, "pedantic": False, "headers": True, "no_responders": True, "protocol": 1,
            "lang": "python", "version": "hubbub", "name": "hubbub", "tls_required": secure, "echo": True,
            **server.credentials, **address.signed(str(self.info.get("nonce", ""))),
        }  # fmt: skip
        self.write(connect(**options), b"SUB %b* 1\r\n" % self._inbox)
        await self.flush()


def _fail_all(futures: Iterable[asyncio.Future[Any]], error: BrokerUnavailable) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
            future.exception()  # nobody may be waiting


async def opened(address: Address, server: Server, deliver: Callable[[Sequence[Message]], None]) -> Link:
    """A link to that server.

    Raises: OSError, BrokerUnavailable, TimeoutError, ssl.SSLError.
    """
    loop = asyncio.get_running_loop()
    link: Link | None = None
    try:
        async with asyncio.timeout(SILENCE):
            _, link = await loop.create_connection(lambda: Link(deliver), server.host, server.port)
            info = await link.greeting
            secure = server.secure or bool(info.get("tls_required"))
            if secure:
                context = address.context or ssl.create_default_context()
                upgraded = await loop.start_tls(link.transport, link, context, server_hostname=server.host)
                if upgraded is None:
                    raise BrokerUnavailable(link.why)
                link.transport = upgraded
            await link.greet(address, server, secure)
        return link
    except BaseException:
        if link is not None:
            link.give_up("it was not wanted any more")
        raise
