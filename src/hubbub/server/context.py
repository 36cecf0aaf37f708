"""What all connections of one server share."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from hubbub import native
from hubbub.hub import Counters, Hub, Tally
from hubbub.limits import Limits
from hubbub.logs import PeerLog, logger
from hubbub.rounds import Round, round_of
from hubbub.server.sweep import Sweep
from hubbub.supervision import supervise
from hubbub.system import descriptors
from hubbub.wire import Deflate, Origins

if TYPE_CHECKING:
    from hubbub.server.connection import Connection

__all__ = ["Context", "ServerStatistics"]

READ_SIZE = 64 * 1024  # bytes of one read: the only read buffer that a server has
MOST = 1_000_000  # connections where the system has no bound
RESERVE = 64  # descriptors kept for listeners, files and the program's own use


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerStatistics:
    """A server at one moment. Counts are since it started, unless said."""

    connections: int
    """Open now, those in the handshake included."""
    accepted: int
    """Connections that came in."""
    upgraded: int
    """Those that became WebSockets."""
    refused: Mapping[str, int]
    """Those that did not, by the value of the `Error` header: `key`, `timeout`, `capacity` ..."""
    closed: Mapping[str, int]
    """Ended WebSockets, by cause."""
    failures: Mapping[int, int]
    """WebSockets that hubbub ended for what the peer sent, by close code: 1002, 1007, 1008, 1009."""
    pings: int
    """Pings that peers sent."""
    paused: int
    """Times that a connection was not read because its handler could not keep up."""
    log_lines_suppressed: int
    """Log lines about peers that were counted instead of written."""


class Context:
    """Limits, counts, the read buffer and the sweep.

    Args:
        hub: the hub that the server's sockets belong to from the start, if any.
        compression: settings for permessage-deflate; None refuses it.
        loop: the loop that all connections live on.
        origins: of the pages that may connect; None: all may.
        health: the path at which a plain HTTP request is told that the server works; None: none.
    """

    def __init__(
        self,
        *,
        hub: Hub | None,
        limits: Limits,
        compression: Deflate | None,
        loop: asyncio.AbstractEventLoop,
        origins: Origins | None = None,
        health: str | None = None,
    ) -> None:
        if not native.active():  # or it refuses to start
            _say_that_it_is_slow()
        self.hub = hub
        self.limits = limits
        self.compression = compression
        self.loop = loop
        self.origins = origins
        self.health = health
        self.round: Round = round_of(loop)
        self.counters: Counters = hub._counters if hub is not None else Counters()
        self.log: PeerLog = PeerLog(limits.max_log_rate)
        self.sweep: Sweep = Sweep(_tick(limits), loop.time)
        self.view: memoryview = memoryview(bytearray(READ_SIZE))
        self.connections: dict[Connection, str | None] = {}  # in order, each with the address that it is counted for
        self.tasks: set[asyncio.Task[Any]] = set()  # asynchronous callbacks under way
        self.accepted: int = 0
        self.upgraded: int = 0
        self.pings: int = 0
        self.paused: int = 0
        self.refused: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self.failures: Counter[int] = Counter()
        self.stopping = False
        self._exiting = False
        self._sweeping: asyncio.Task[None] | None = None
        self._most = limits.max_connections or _descriptors() - RESERVE
        self._per_address: Counter[str] = Counter()
        self._second = -1
        self._in_second = 0

    def start(self) -> None:
        """Keep time from here on."""
        if self._sweeping is None:
            self.sweep.now = self.loop.time()
            self._sweeping = self.loop.create_task(supervise("the sweep", self.sweep.run))

    def stop(self) -> list[asyncio.Task[None]]:
        """No connection is left that needs the time. Returns what is ending now, if anything is."""
        ending = [] if self._sweeping is None else [self._sweeping]
        for task in ending:
            task.cancel()
        self._sweeping = None
        return ending

    async def idle(self) -> None:
        """Wait until no connection and no callback is left."""
        while self.connections or self.tasks:  # noqa: ASYNC110  only at the end: not worth an event per connection
            await asyncio.sleep(0.01)

    def admit(self, connection: Connection) -> str:
        """Count a new connection. Returns why it is to be refused, or an empty string."""
        self.accepted += 1
        limits = self.limits
        most = limits.max_connections_per_address
        address = None if most is None else connection.address()
        self.connections[connection] = address
        if address is not None:  # counted whatever becomes of it, for `release` does not know
            self._per_address[address] += 1
        if self.stopping:
            return "shutdown"
        if len(self.connections) > self._most:
            return "capacity"
        if limits.max_accept_rate is not None and self._come_in_this_second() > limits.max_accept_rate:
            return "rate"
        if most is not None and address is not None and self._per_address[address] > most:
            return "address"
        return ""

    def _come_in_this_second(self) -> int:
        second = int(self.loop.time())
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        return self._in_second

    def release(self, connection: Connection) -> None:
        """The connection is gone."""
        address = self.connections.pop(connection, None)
        if address is not None:  # as it was: a transport that is closed may have forgotten it
            self._per_address[address] -= 1
            if self._per_address[address] <= 0:
                del self._per_address[address]

    def let_out(self, error: BaseException) -> None:
        """SystemExit and KeyboardInterrupt out of a callback end the program, by way of the loop, as elsewhere.

        Only the first one does: those that come while the program ends would break off its orderly stop.
        """
        if isinstance(error, (SystemExit, KeyboardInterrupt)) and not self._exiting:
            self._exiting = True
            self.loop.call_soon(_raise, error)

    def statistics(self) -> ServerStatistics:
        return ServerStatistics(
            connections=len(self.connections),
            accepted=self.accepted,
            upgraded=self.upgraded,
            refused=Tally(self.refused),
            closed=Tally(self.closed),
            failures=Tally(self.failures),
            pings=self.pings,
            paused=self.paused,
            log_lines_suppressed=self.log.suppressed,
        )


def _raise(error: BaseException) -> None:
    raise error


@cache
def _say_that_it_is_slow() -> None:
    """Once, and unless it was wished for."""
    if os.environ.get("HUBBUB_NATIVE") != "0":
        logger.warning("%s; HUBBUB_NATIVE=0 chooses it without this line", native.describe())


def _tick(limits: Limits) -> float:
    """A second, or a quarter of the shortest timeout."""
    shortest = min(
        limits.handshake_timeout,
        limits.ping_interval,
        limits.pong_timeout,
        limits.close_timeout,
        limits.message_timeout,
        limits.backlog_timeout,
    )
    return min(1.0, shortest / 4)


def _descriptors() -> int:
    return max(int(min(descriptors()[0], MOST)), RESERVE + 16)
