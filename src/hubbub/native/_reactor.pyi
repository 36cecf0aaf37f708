"""The compiled way in: it accepts, reads and closes plain TCP and Unix sockets, where asyncio's transports would.

A Reactor has an epoll of its own, which the event loop watches as one descriptor. So a turn of the loop serves many
connections with one call into Python, on asyncio's loop as on uvloop. Everything here is for the loop's thread.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from hubbub.errors import PeerError
from hubbub.native._codec import Reader
from hubbub.wire.received import Received

__all__ = ["Acceptor", "Reactor", "Transport"]

class Reading(Protocol):
    """What a Transport calls: asyncio's protocol, but for how bytes come in."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def received(self, data: memoryview) -> None:
        """Bytes, which are overwritten after the call."""

    def whole(self, data: str | bytes) -> None:
        """A read that was exactly one message: in place of `received` once `parse` was called."""

    def parsed(self, received: list[Received], fault: PeerError | None) -> None:
        """What any other read completed, and what was wrong behind it."""

    def eof_received(self) -> bool | None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...

class Reactor:
    """Waits for sockets, and lets those that are ready go on: 256 of them in a turn of the loop, for at most 2 ms.

    Args:
        buffer: the only read buffer, writable; a read takes what it holds at the most.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, buffer: memoryview) -> None: ...
    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    def turn(self) -> None:
        """Serve what is ready. What it broadcasts meanwhile is handed to the writers together, at its end."""

    def close(self) -> None:
        """Wait for nothing any more. Transports that are still open are closed when they are collected."""

class Acceptor:
    """Accepts what comes to a listening socket.

    Args:
        descriptor: of a listening, non-blocking stream socket, which stays its owner's.
        make: makes a protocol for each connection.
        failed: is called when the kernel cannot accept, and the Acceptor has stopped.
    """

    def __init__(
        self, reactor: Reactor, descriptor: int, make: Callable[[], Reading], failed: Callable[[OSError], None]
    ) -> None: ...
    def start(self) -> None:
        """Begin, or begin again."""

    def close(self) -> None:
        """Stop. The socket stays open."""

class Transport(asyncio.Transport):
    """One accepted socket, by asyncio's contract. (It is no subclass at run time.)

    Once an outlet has the descriptor, only the outlet writes; `write` is for answers before that.
    """

    def parse(self, reader: Reader) -> None:
        """Let the reader parse what comes from here on."""

    def fileno(self) -> int:
        """The descriptor; -1 when it is closed."""

    def give(self) -> None:
        """An outlet has the descriptor, and will close it when it is detached."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`peername`, as asyncio gives it, is all that there is."""
