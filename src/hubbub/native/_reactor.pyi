"""The compiled way in: it accepts, reads and closes plain TCP and Unix sockets, where asyncio's transports would.

A Reactor has an epoll of its own, which the event loop watches as one descriptor. So a turn of the loop serves many
connections with one call into Python, on asyncio's loop as on uvloop. Everything here is for the loop's thread.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Protocol

from hubbub.errors import PeerError
from hubbub.native._codec import Reader
from hubbub.rounds import Round
from hubbub.wire.received import Received

__all__ = ["Acceptor", "Reactor", "Transport", "advance"]

class Reading(Protocol):
    """What a Transport calls: asyncio's protocol, but for how bytes come in."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def received(self, data: memoryview) -> None:
        """Bytes, which are overwritten after the call."""

    def whole(self, data: str | bytes) -> None:
        """A read that was exactly one message: in place of `received` once `parse` was called."""

    def found(self, received: Received) -> bool:
        """One of several things in any other read. Returns whether the next one is wanted now."""
        ...

    def fault(self, error: PeerError) -> None:
        """What was wrong behind them; nothing follows."""

    def keep(self, data: bytes) -> None:
        """The rest of a read that nobody wanted, or for which there was no time. Reading is to be paused for it."""

    def read_to_end(self, fresh: bool) -> None:
        """Such a read was taken in whole. `fresh`: what is unfinished has begun in it."""

    def eof_received(self) -> bool | None: ...
    def truncated(self) -> None:
        """Over TLS: the end that `eof_received` tells of next was not the peer's to say: its stream was cut off."""

    def tls_failed(self, error: ssl.SSLError | None) -> None:
        """The peer's TLS was wrong, or it speaks none (None); `connection_lost` follows."""

    def connection_lost(self, exc: Exception | None) -> None: ...

    phase: object
    held: bool
    """Whether nothing more is wanted now."""

    def message(self, data: str | bytes) -> None:
        """A message, in the phase in which `parse` says that it needs no look by `found`."""

def advance(protocol: Reading, straight: object, reader: Reader, data: bytes, at: int, until: float) -> None:
    """Give a protocol what these bytes complete, from there on: at least one thing, then until it wants no more or the
    time, in seconds of the monotonic clock, is up. The rest goes to its `keep`, whatever it raises."""

class Reactor:
    """Waits for sockets, and lets those that are ready go on, for as long as the round of the loop has time.

    Args:
        buffer: the only read buffer, writable; a read takes what it holds at the most.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, buffer: memoryview, round: Round) -> None: ...
    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    def turn(self) -> None:
        """Serve what is ready. What it broadcasts meanwhile is handed to the writers together, at its end."""

    def rest(self) -> None:
        """Serve what an earlier turn had no time for."""

    def close(self) -> None:
        """Wait for nothing any more. Transports that are still open are closed when they are collected."""

class Acceptor:
    """Accepts what comes to a listening socket.

    Args:
        descriptor: of a listening, non-blocking stream socket, which stays its owner's.
        make: makes a protocol for each connection.
        failed: is called when the kernel cannot accept, and the Acceptor has stopped.
        tls: what its connections speak TLS with, as servers.
    """

    def __init__(
        self,
        reactor: Reactor,
        descriptor: int,
        make: Callable[[], Reading],
        failed: Callable[[OSError], None],
        tls: ssl.SSLContext | None = None,
    ) -> None: ...
    def start(self) -> None:
        """Begin, or begin again."""

    def close(self) -> None:
        """Stop. The socket stays open."""

class Transport(asyncio.Transport):
    """One accepted socket, by asyncio's contract. (It is no subclass at run time.)

    Once an outlet has the descriptor, only the outlet writes; `write` is for answers before that.
    """

    def parse(self, reader: Reader | None, straight: object = None) -> None:
        """Let the reader parse what comes from here on; None: hand over the bytes.

        Args:
            straight: while `phase` of the protocol is this, messages go straight to its `message`.
        """

    def fileno(self) -> int:
        """The descriptor; -1 when it is closed."""

    def give(self) -> None:
        """An outlet has the descriptor, and will close it when it is detached."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`peername`, as asyncio gives it; over TLS `sslcontext`, `ssl_object`, `peercert` and `cipher` as well."""
