"""The base of users' handlers."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from hubbub.hub import Closed, Hub, Socket
from hubbub.wire import Frame, Request

if TYPE_CHECKING:
    from typing import Any

__all__ = ["Handler"]


class Handler:
    """Subclass it; one instance per connection, whose attributes are the connection's state.

    Every callback may be `def` or `async def`. For one connection they never overlap and keep the order of arrival;
    while an `async def` callback runs, later messages wait, and a peer that sends many of them is not read
    (`Limits.max_inbox`). A callback that raises closes its own connection with 1011 and is logged; so does one that
    returns something other than None or a number, such as what `write` returns, since nothing is done with it.
    """

    socket: Socket
    hub: Hub | None = None
    """The hub that the server was started with."""

    def handshake(self, request: Request) -> str | Awaitable[str | None] | None:
        """Decide on an upgrade request, which has `path`, `query`, `headers` and `peer`.

        Returns: one of `request.subprotocols` to choose it, or None.
        Raises: Reject: to refuse the connection.
        """

    def opened(self) -> Awaitable[None] | None:
        """The connection is up."""

    def message(self, data: Any) -> Awaitable[None] | None:
        """A whole message: `str` for text, `bytes` for binary."""

    def dropped(self, count: int) -> Awaitable[None] | None:
        """So many messages to this client were dropped since the last call: its overflow policy acted."""

    def closed(self, reason: Closed) -> Awaitable[None] | None:
        """The connection is over: called exactly once if `handshake` was reached.

        It is in no channel any more; `reason.channels` are those that it was in.
        """

    def write(self, data: str | bytes | Frame) -> bool:
        """`self.socket.write`."""
        return self.socket.write(data)

    def ping(self) -> bool:
        """`self.socket.ping`."""
        return self.socket.ping()

    def close(self, code: int = 1000, reason: str = "") -> bool:
        """`self.socket.close`."""
        return self.socket.close(code, reason)

    @property
    def buffered(self) -> int:
        """`self.socket.buffered`."""
        return self.socket.buffered
