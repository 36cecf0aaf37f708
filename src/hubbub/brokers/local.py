"""The broker of one machine: a relay joins its processes, and there is nothing to start. See `relay.py`."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

from hubbub.brokers import messages as m
from hubbub.brokers.contract import (
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
from hubbub.brokers.places import INSTEAD, is_own, place_of
from hubbub.brokers.urls import options_of
from hubbub.errors import BrokerUnavailable, HubbubError
from hubbub.logs import PeerLog, logger
from hubbub.system import needs_unix

__all__ = ["LocalBroker"]

_between = random.SystemRandom().uniform

ANSWER = 8.0  # seconds for an answer, until the relay is thought to hang
FAREWELL = 1.0  # seconds for what is still to be written at the end
LINES = 50  # of relays in our log in a second: a traceback fits
START = 5.0  # seconds for a relay to start

_log = PeerLog(LINES)


class LocalBroker(Broker):
    """One process among those of this machine.

    Args:
        name: of the relay: the absolute path of its socket, or a short name within the user's own folder; processes
            that give the same are joined.
    """

    traits: ClassVar[Traits] = Traits(name="local")

    def __init__(self, name: str = "") -> None:
        self.path: Path = place_of(name)  # of the relay's socket
        self._arguments: tuple[str, ...] = ()  # of the relay that it starts
        self._node = b""
        self._link: _Link | None = None
        self._keeping: asyncio.Task[None] | None = None
        self.relay: int = 0  # the relay's process

    @classmethod
    def from_url(cls, url: str) -> LocalBroker:
        """The broker of `local:`, `local:NAME` or `local:/path.sock`."""
        options_of(url)
        return cls(url.partition(":")[2].partition("?")[0])

    async def start(self, node: bytes, events: Events) -> None:
        """Begin to look for a relay."""
        self._node = node
        self._keeping = asyncio.get_running_loop().create_task(self._keep_linked(events), name="hubbub link")

    async def close(self) -> None:
        """Leave."""
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()
            await asyncio.wait([keeping])
        if self._link is not None:
            link, self._link = self._link, None
            link.transport.close()
            try:
                async with asyncio.timeout(FAREWELL):
                    await link.lost.wait()
            except TimeoutError:  # a relay that hangs reads nothing of what waits
                link.transport.abort()
                await link.lost.wait()

    async def reset(self, reason: str) -> None:
        """Cut the link; another one is made."""
        if self._link is not None:
            self._link.transport.abort()

    async def _keep_linked(self, events: Events) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                link = await self._connect(events)
            except (OSError, HubbubError) as error:
                events.state(False, f"no relay at {self.path}: {error}")
                await asyncio.sleep(_between(0.5, 1.5))
                continue
            self._link, self.relay = link, link.pid
            events.state(True, f"relay of process {link.pid} at {self.path}")
            since = loop.time()
            await link.lost.wait()
            self._link = None
            events.state(False, link.why)
            if loop.time() - since < 1.0:
                await asyncio.sleep(_between(0.05, 0.2))

    async def _connect(self, events: Events) -> _Link:
        loop = asyncio.get_running_loop()
        until = loop.time() + START
        starts = 0.0
        while True:
            try:
                _, link = await loop.create_unix_connection(lambda: _Link(self, events), str(self.path))
                try:
                    await link.greet(self._node)
                except BaseException:
                    link.transport.abort()
                    raise
                return link
            except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, BrokerUnavailable):
                if loop.time() > until:
                    raise
                if loop.time() >= starts:
                    starts = loop.time() + 1.0
                    _start_relay(self.path, self._arguments)
                await asyncio.sleep(_between(0.005, 0.03))

    async def _ask(self, ask: m.Ask) -> Any:
        link = self._link
        if link is None or link.over:
            raise BrokerUnavailable("there is no link to the relay")
        answer = await link.ask(ask)
        if isinstance(answer, m.Refused):
            raise HubbubError(answer.reason)
        return answer

    async def append(self, batch: Sequence[Outgoing]) -> Sequence[Published | Exception]:
        """One message to the relay."""
        appended = await self._ask(m.Append([m.packed(new) for new in batch]))
        return [BrokerUnavailable(appended.failure) if result is None else result for result in appended.results]

    async def subscribe(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        """One message to the relay."""
        return cast("list[Position | None]", (await self._ask(m.Subscribe(list(channels)))).positions)

    async def unsubscribe(self, channels: Sequence[bytes]) -> None:
        """One message to the relay."""
        await self._ask(m.Unsubscribe(list(channels)))

    async def positions(self, channels: Sequence[bytes]) -> Sequence[Position | None]:
        """One message to the relay."""
        return cast("list[Position | None]", (await self._ask(m.Positions(list(channels)))).positions)

    async def history(
        self, channel: bytes, since: Position | None = None, limit: int | None = None, reverse: bool = False
    ) -> Page:
        """One message to the relay."""
        return cast("Page", (await self._ask(m.Read(channel, since, limit, reverse))).page)

    async def forget(self, channel: bytes) -> None:
        """One message to the relay."""
        await self._ask(m.Forget(channel))

    async def present(self, changes: Sequence[Change]) -> None:
        """One message to the relay."""
        await self._ask(m.Present(list(changes)))

    async def presence(self, channel: bytes, limit: int | None = None) -> Presence:
        """One message to the relay."""
        return cast("Presence", (await self._ask(m.Who(channel, limit))).presence)

    async def evict(self, node: bytes) -> Sequence[Change]:
        """One message to the relay."""
        return cast("list[Change]", (await self._ask(m.Evict(node))).changes)

    async def control(self, data: bytes, node: bytes | None = None) -> None:
        """One message to the relay."""
        await self._ask(m.Control(data, node))

    async def check(self) -> Sequence[Check]:
        """What the relay says of its engine, and where it is."""
        checked = (await self._ask(m.Check())).lines
        return [Check("relay", f"process {self.relay} at {self.path}"), *(Check(*line) for line in checked)]


class _Link(asyncio.Protocol):
    """The connection to the relay."""

    transport: asyncio.Transport

    def __init__(self, broker: LocalBroker, events: Events) -> None:
        self._broker = broker
        self._events = events
        self._buffer = bytearray()
        self._number = 0
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._welcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.pid = 0
        self.lost = asyncio.Event()
        self.over = False
        self.why = "the relay has gone"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if not is_own(transport.get_extra_info("socket")):
            self.why = "the relay is another user's"
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.over = True
        for waiting in (self._welcome, *self._asked.values()):
            if not waiting.done():
                waiting.set_exception(BrokerUnavailable(self.why, "unknown"))
        self._welcome.exception() if self._welcome.done() and not self._welcome.cancelled() else None
        self._asked.clear()
        self.lost.set()

    async def greet(self, node: bytes) -> None:
        self.transport.write(m.framed(m.Hello(m.VERSION, node)))
        async with asyncio.timeout(ANSWER):
            await asyncio.shield(self._welcome)

    async def ask(self, ask: m.Ask) -> Any:
        self._number += 1
        number = self._number
        waiting = self._asked[number] = asyncio.get_running_loop().create_future()
        self.transport.write(m.framed(m.Request(number, ask)))
        hangs = asyncio.get_running_loop().call_later(ANSWER, self._give_up)
        try:
            return await waiting
        finally:
            hangs.cancel()
            self._asked.pop(number, None)

    def _give_up(self) -> None:
        self.why = f"the relay did not answer within {ANSWER:g} s"
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            for message in m.cut(self._buffer):
                self._take(m.reply_from(message))
        except Exception as error:
            self._broker.refused += 1
            self.why = f"the relay said something that is not understood: {error}"
            logger.warning("%s", self.why)
            self.transport.abort()

    def _take(self, reply: m.Reply) -> None:
        match reply:
            case m.Told(channel, batch):
                self._events.publications(channel, batch)
            case m.Answered(number, answer):
                waiting = self._asked.get(number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
            case m.Controlled(node, data):
                self._events.control(node, data)
            case m.Gone(node):
                self._events.gone(node)
            case m.Welcome(_, pid):
                self.pid = pid
                if not self._welcome.done():
                    self._welcome.set_result(None)


def _start_relay(path: Path, arguments: tuple[str, ...]) -> None:
    """Beside this process and not below it, so that it outlives it. If another one was quicker, it ends at once."""
    needs_unix("a relay", INSTEAD)
    if not Path(sys.executable or "-").name.startswith("python"):
        raise HubbubError(
            f"this program ({sys.executable}) is not Python's own, and cannot start a relay:"
            f" keep one running with `hubbub relay {path}`"
        )
    command = [sys.executable, "-m", "hubbub.brokers.relay", *arguments, str(path)]
    # It outlives us, so of what we have open it gets nothing: who waits for the end of our output would wait for it,
    # too, and a port would stay taken. What it has to say is in our log, as long as we are there.
    said, saying = os.pipe()
    os.set_blocking(saying, False)  # nobody may be there to read
    nothing = subprocess.DEVNULL
    try:
        process = subprocess.Popen(  # noqa: S603
            command, stdin=nothing, stdout=nothing, stderr=saying, start_new_session=True
        )
    except BaseException:
        os.close(said)
        raise
    finally:
        os.close(saying)
    threading.Thread(target=_hear_out, args=(process, said), name="hubbub-relay", daemon=True).start()


def _hear_out(process: subprocess.Popen[bytes], said: int) -> None:
    with open(said, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            _log.write(30, "the relay, process %d: %s", process.pid, line.rstrip())
    process.wait()
