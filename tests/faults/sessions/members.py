"""Clients of a world of sessions, which recover as the published libraries do, and write down what they are told."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from msgspec import Raw

from faults.sessions.worker import padded
from faults.worker import ROOM
from hubbub.realtime import fossil
from hubbub.realtime.protocol import JSON, PROTOBUF, Command, Dialect, Publication, Reply
from hubbub.realtime.protocol.commands import ConnectRequest, PublishRequest, SubscribeRequest
from hubbub.realtime.protocol.replies import SubscribeResult
from support.client import HEAD, encode

__all__ = ["Event", "SessionMember"]

AGAIN = 0.03  # seconds until it connects or subscribes again
PAUSE = 0.1  # between two publications of a client
ANSWER = 15.0  # for a connect or a subscribe


@dataclass(frozen=True)
class Event:
    """What a client was told: `kind` is subscribed, publication, told, or wrong."""

    kind: str
    epoch: str = ""
    offset: int = 0
    item: str = ""
    since: tuple[str, int] | None = None
    """What it asked to recover from."""
    recovered: bool = False
    found: tuple[tuple[int, str], ...] = ()


class Connection(asyncio.Protocol):
    """One connection: what comes is given to `hear`, message by message."""

    transport: asyncio.Transport | None = None

    def cut(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def __init__(self, dialect: Dialect, hear: Callable[[Reply], None]) -> None:
        self.over = asyncio.Event()
        self.code = 0
        self._dialect = dialect
        self._hear = hear
        self._data = bytearray()
        self.upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        path = "/?format=protobuf" if self._dialect is PROTOBUF else "/"
        transport.write(HEAD.format(path=path).encode() + b"\r\n")

    def say(self, command: Command | None) -> None:
        """A command; None: a pong."""
        message = self._dialect.ping if command is None else self._dialect.encode(command)
        self._write(encode(2 if self._dialect.binary else 1, message))

    def _write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self.upgraded:
            if (end := self._data.find(b"\r\n\r\n")) < 0:
                return
            del self._data[: end + 4]
            self.upgraded = True
        while (frame := self._frame()) is not None:
            first, payload = frame
            if first in (0x81, 0x82):
                for reply in self._dialect.replies(payload):
                    self._hear(reply)
            elif first == 0x88:
                self.code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                self.cut()
            elif first == 0x89:
                self._write(encode(10, payload))

    def _frame(self) -> tuple[int, bytes] | None:
        data = self._data
        if len(data) < 2:
            return None
        size, begin = data[1], 2
        if size >= 126:
            begin = 4 if size == 126 else 10
            size = int.from_bytes(data[2:begin], "big")
        if len(data) < begin + size:
            return None
        first, payload = data[0], bytes(data[begin : begin + size])
        del data[: begin + size]
        return first, payload

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set()


class SessionMember:
    """Somebody who comes back to any of the servers when the connection breaks.

    Args:
        port: where to connect to now.
        server_side: the server subscribes it.
        delta: it asks for patches.
        speaks: it publishes as well.
        tls: with which it connects.
    """

    def __init__(
        self, number: int, port: Callable[[], int], chance: random.Random, *, dialect: Dialect,
        server_side: bool = False, delta: bool = False, speaks: bool = False, tls: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        self.name = f"c{number:05}"
        self.events: list[Event] = []
        self.acknowledged: list[str] = []
        self.said = 0
        self.quiet = False
        self.pause = PAUSE
        self.count = 0
        self._port, self._chance, self._dialect = port, chance, dialect
        self._server_side, self._delta, self._speaks = server_side, delta, speaks
        self._tls = tls
        self._position: tuple[str, int] | None = None
        self._document = b""
        self._subscribed = False
        self._connection: Connection | None = None
        self._numbers = 0
        self._answers: dict[int, asyncio.Future[Reply]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._here = asyncio.ensure_future(self._stay())

    def __str__(self) -> str:
        kind = self._dialect.name + " by the server" * self._server_side + " with deltas" * self._delta
        latest = [(event.kind, event.item) for event in self.events[-3:]]
        return f"{self.name} ({kind}) waits for answers to {list(self._answers)}, after {latest}"

    @property
    def here(self) -> bool:
        return self._subscribed

    @property
    def position(self) -> tuple[str, int] | None:
        """Of the latest that it has."""
        return self._position

    def leave(self) -> None:
        self._here.cancel()
        if self._connection is not None:
            self._connection.cut()

    async def _stay(self) -> None:
        while True:
            with suppress(OSError, TimeoutError):
                await self._visit()
            self._subscribed = False
            for task in self._tasks:  # what it asked for is over with the connection
                task.cancel()
            for answer in self._answers.values():
                answer.cancel()
            self._answers.clear()
            if self._connection is not None:
                self._connection.cut()
                code = self._connection.code
                if code and not (code < 3500 or code in (1001, 1006)):
                    self._note(Event("wrong", item=f"sent away with {code}"))
                elif code == 3010:
                    self._note(Event("told"))
            await asyncio.sleep(AGAIN * (0.5 + self._chance.random()))

    async def _visit(self) -> None:
        loop = asyncio.get_running_loop()
        connection = self._connection = Connection(self._dialect, self._hear)
        await loop.create_connection(lambda: connection, "127.0.0.1", self._port(), ssl=self._tls)
        tasks = [loop.create_task(self._begin())]
        if self._speaks:
            tasks.append(loop.create_task(self._speak()))
        await connection.over.wait()
        for task in tasks:
            task.cancel()

    async def _ask(self, **request: Any) -> Reply:
        self._numbers += 1
        assert self._connection is not None
        answer = self._answers[self._numbers] = asyncio.get_running_loop().create_future()
        self._connection.say(Command(id=self._numbers, **request))
        return await answer

    def _request(self) -> SubscribeRequest:
        since = self._position
        request = SubscribeRequest(channel=ROOM, delta="fossil" if self._delta else "")
        if since is not None:
            request.recover, request.epoch, request.offset = True, since[0], since[1]
        return request

    async def _begin(self) -> None:
        assert self._connection is not None
        try:
            async with asyncio.timeout(ANSWER):
                if not self._server_side:
                    reply = await self._ask(connect=ConnectRequest())
                else:
                    subs = {} if self._position is None else {ROOM: self._request()}
                    reply = await self._ask(connect=ConnectRequest(data=Raw(b'"server"'), subs=subs))
                    if reply.connect is not None:
                        return
                if reply.connect is None:
                    raise ConnectionError  # temporary, and tried again
                await self._subscribe()
        except (ConnectionError, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                self._note(Event("wrong", item="no answer"))
            self._connection.cut()

    async def _subscribe(self) -> None:
        connection = self._connection
        while self._connection is connection:
            reply = await self._ask(subscribe=self._request())
            if reply.subscribe is not None:
                return
            if reply.error is None or not reply.error.temporary:
                self._note(Event("wrong", item=f"not subscribed: {reply.error}"))
            await asyncio.sleep(AGAIN)

    async def _speak(self) -> None:
        while True:
            await asyncio.sleep(self.pause * (0.5 + self._chance.random()))
            if self._subscribed and not self.quiet:
                self.said += 1
                item = f"{self.name}{self.said:08}"
                data = Raw(json.dumps(padded(item)).encode())
                reply = await self._ask(publish=PublishRequest(channel=ROOM, data=data))
                if reply.publish is not None:
                    self.acknowledged.append(item)

    # What it is told

    def _hear(self, reply: Reply) -> None:
        if reply.id:
            answer = self._answers.pop(reply.id)
            result = reply.subscribe
            if reply.connect is not None and self._server_side:
                result = reply.connect.subs[ROOM]
            if result is not None:  # at once: what comes next is behind it
                self._enter(result)
            if not answer.done():
                answer.set_result(reply)
        elif reply.push is None:
            assert self._connection is not None
            self._connection.say(None)
        elif reply.push.pub is not None:
            publication = reply.push.pub
            item = self._item(publication)
            assert self._position is not None
            self.count += 1
            self._note(Event("publication", offset=publication.offset, item=item))
            self._position = self._position[0], publication.offset
        elif reply.push.unsubscribe is not None:
            self._subscribed = False
            if reply.push.unsubscribe.code != 2500 or self._server_side:
                return self._note(Event("wrong", item=f"unsubscribed with {reply.push.unsubscribe.code}"))
            self._note(Event("told"))
            task = asyncio.get_running_loop().create_task(self._again())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _again(self) -> None:
        try:
            async with asyncio.timeout(ANSWER):
                await self._subscribe()
        except TimeoutError:
            self._note(Event("wrong", item=f"no answer to {list(self._answers)}"))
            if self._connection is not None:
                self._connection.cut()

    def _enter(self, result: SubscribeResult) -> None:
        since = self._position
        found = tuple((one.offset, self._item(one)) for one in result.publications)
        if since is not None and not result.was_recovering:
            self._note(Event("wrong", item="it asked to recover, and was not told what became of it"))
        self._position = result.epoch, found[-1][0] if found else result.offset
        self._subscribed = True
        self._note(
            Event("subscribed", result.epoch, result.offset, since=since, recovered=result.recovered, found=found)
        )

    def _item(self, publication: Publication) -> str:
        data = bytes(publication.data)
        if self._delta:
            if self._dialect is JSON:
                data = json.loads(data).encode()
            if publication.delta:
                data = fossil.apply(self._document, data)
            self._document = data
        return str(json.loads(data)).rstrip(".")

    def _note(self, event: Event) -> None:
        self.events.append(event)
