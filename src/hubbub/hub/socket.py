"""One client's connection as its handler sees it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from enum import StrEnum
from threading import get_ident
from typing import Any, NamedTuple, Protocol

from hubbub.arguments import whole
from hubbub.hub.outlet import AnyOutlet
from hubbub.lock import lock
from hubbub.wire import Frame, close, frame, ping

__all__ = ["Cause", "Closed", "Link", "Socket"]

PING = ping()


class Cause(StrEnum):
    """Why a connection ended."""

    REJECTED = "rejected"
    """The handler's `handshake` refused it; `Closed.code` is the HTTP status."""
    CLIENT = "client"
    """The client sent a close frame."""
    SERVER = "server"
    """The program called `close`."""
    PROTOCOL_ERROR = "protocol error"
    """The client broke the protocol or passed a limit."""
    TIMEOUT = "timeout"
    """No pong, no end of a message or no upgrade in time."""
    RESET = "reset"
    """The connection broke, or ended without a close frame."""
    OVERFLOW = "overflow"
    """The client did not read: its backlog passed a limit."""
    SHUTDOWN = "shutdown"
    """The server stops."""
    HANDLER_ERROR = "handler error"
    """A callback raised."""


class Closed(NamedTuple):
    """How a connection ended. `code` is the close code sent or received, 1006 if there was none."""

    cause: Cause
    code: int
    text: str
    channels: tuple[Any, ...] = ()
    """Those that it was in, in the order of joining; in a handler's `closed` alone."""


class Link(Protocol):
    """What a socket needs of the connection behind it."""

    def peer(self) -> Any: ...
    def closing(self, closed: Closed) -> None:
        """The close frame has been put; called once, on the event loop."""

    def on_its_way(self) -> int:
        """Bytes that the kernel keeps until the peer has them; 0 where it does not tell."""
        ...


class Socket:
    """One client. `write`, `ping` and `close` may be called from any thread; none of them raises for a closed one."""

    __slots__ = ("__weakref__", "_left", "_link", "_outlet", "_owed", "_tell_dropped", "subprotocol")

    def __init__(self, link: Link, outlet: AnyOutlet) -> None:
        self._link = link
        self._outlet: AnyOutlet = outlet
        self.subprotocol: str | None = None
        """The subprotocol that the handshake chose."""
        self._owed: int = 0  # pongs that the peer may send unasked-for otherwise, as answers to our pings
        self._tell_dropped: Callable[[int], object] | None = None  # called where there is no handler for it
        self._left: tuple[Hashable, ...] = ()

    def __repr__(self) -> str:
        return f"<Socket {self.peer} {'open' if self.is_open else 'closed'}>"

    def write(self, data: str | bytes | Frame) -> bool:
        """Send a message: `str` as text, bytes as binary, a Frame as what it was made.

        Returns: False if the socket is closed, or its overflow policy drops the message.
        Raises: TypeError: data of any other type.
        """
        outlet = self._outlet
        if outlet.form is None and (type(data) is bytes or type(data) is str):
            return outlet.send(data)
        return outlet.write(frame(data))

    def ping(self) -> bool:
        """Send a ping. Returns False if the socket is closed."""
        with lock:  # before it leaves, for the answer may come at once
            self._owed += 1
        return self._outlet.control(PING)

    def close(self, code: int = 1000, reason: str = "") -> bool:
        """Send a close frame after everything sent before, and end the connection when the peer answers it.

        Args:
            code: 1000 to 1014, or 3000 to 4999 for the program's own.
            reason: at most 123 bytes of UTF-8.

        Returns: False if the socket is closed already.
        Raises: Misuse: a code or reason that may not be sent.
        """
        return self._end(Closed(Cause.SERVER, whole("a close code", code, 0), reason))

    def _end(self, closed: Closed) -> bool:
        """`close`, for another cause than the program's wish."""
        self._remember()
        if not self._outlet.finish(close(closed.code, closed.text), closed):
            return False
        if get_ident() == self._outlet.thread:
            self._link.closing(closed)
        else:
            self._outlet.call_owner(self._link.closing, closed)
        return True

    def _remember(self) -> None:
        """It is about to leave every channel: keep which."""
        if not self._left:
            for hub in self._outlet.hubs:
                self._left += tuple(hub._channels_of(self._outlet))

    @property
    def buffered(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        return self._outlet.buffered

    @property
    def unread(self) -> int:
        """Bytes written that have not reached the peer's machine, as far as ours knows: those `buffered` among them."""
        return self._outlet.buffered + self._link.on_its_way()

    @property
    def is_open(self) -> bool:
        """Whether `write` would accept a message."""
        return self._outlet.open

    @property
    def left(self) -> tuple[Hashable, ...]:
        """The channels that it was in when it was closed or lost, for programs that announce who left; empty before."""
        return self._left

    @property
    def peer(self) -> Any:
        """The peer's address, such as `("127.0.0.1", 54321)`; None where there is none."""
        return self._link.peer()
