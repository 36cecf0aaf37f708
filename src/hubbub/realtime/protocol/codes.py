"""What goes wrong, as data: errors in replies, disconnects and unsubscribes, and what client libraries do about each.

An error answers one command. A disconnect ends the connection: code and reason travel in the close frame. An
unsubscribe ends one subscription. Applications have codes of their own: errors from 400 to 1999, disconnects from 4000
to 4999.
"""

from __future__ import annotations

from typing import Annotated

from hubbub.errors import HubbubError
from hubbub.realtime.protocol.records import U32, Record

__all__ = ["Disconnect", "Disconnects", "Error", "Errors", "Fault", "Unsubscribe", "Unsubscribes"]


class Error(Record):
    """The error of a reply."""

    code: Annotated[U32, 1]
    """400 to 1999: the application's own."""
    message: Annotated[str, 2]
    """What the client is told."""
    temporary: Annotated[bool, 3] = False
    """Clients try again, with pauses that grow."""


class Disconnect(Record):
    """Why a connection ends."""

    code: Annotated[U32, 1]
    """4000 to 4999: the application's own."""
    reason: Annotated[str, 2]
    """Up to 123 bytes."""

    @property
    def reconnects(self) -> bool:
        """Whether clients connect again."""
        return self.code < 3500 or 4000 <= self.code < 4500


class Unsubscribe(Record):
    """Why a subscription ends."""

    code: Annotated[U32, 2]
    reason: Annotated[str, 3]

    @property
    def resubscribes(self) -> bool:
        """Whether clients subscribe again, if they did so themselves: what the server subscribed them to is gone."""
        return self.code >= 2500


class Errors:
    """The protocol's own errors."""

    INTERNAL = Error(code=100, message="internal server error", temporary=True)
    """A handler has raised, the broker cannot be reached or has no room, or the channel has just lost something."""
    UNAUTHORIZED = Error(code=101, message="unauthorized")
    """Never sent by hubbub."""
    UNKNOWN_CHANNEL = Error(code=102, message="unknown channel")
    """There is no such namespace."""
    PERMISSION_DENIED = Error(code=103, message="permission denied")
    """Nothing allows it, a handler has refused it, or a subscription token is not good."""
    METHOD_NOT_FOUND = Error(code=104, message="method not found")
    """There is no such rpc, though there are others."""
    ALREADY_SUBSCRIBED = Error(code=105, message="already subscribed")
    """The client is in the channel already, by itself or by the server."""
    LIMIT_EXCEEDED = Error(code=106, message="limit exceeded")
    """The session has `Bounds.max_channels` channels."""
    BAD_REQUEST = Error(code=107, message="bad request")
    """A channel's name, data, a filter or a request is not what it has to be."""
    NOT_AVAILABLE = Error(code=108, message="not available")
    """The namespace has no history or no presence, or there is no rpc at all."""
    TOKEN_EXPIRED = Error(code=109, message="token expired")
    """The token has expired, or is not valid yet."""
    EXPIRED = Error(code=110, message="expired")
    """Never sent by hubbub."""
    TOO_MANY_REQUESTS = Error(code=111, message="too many requests", temporary=True)
    """The session's commands come faster than `Bounds.max_command_rate`."""
    UNRECOVERABLE_POSITION = Error(code=112, message="unrecoverable position")
    """History was asked for behind a position of another epoch; or a recovery has failed, and the client has asked to
    be told so."""
    CONCURRENT_PAGINATION = Error(code=113, message="concurrent pagination", temporary=True)
    """Never sent by hubbub."""


class Disconnects:
    """The protocol's own disconnects: clients come back after those below 3500."""

    CONNECTION_CLOSED = Disconnect(code=3000, reason="connection closed")
    """Never sent by hubbub."""
    SHUTDOWN = Disconnect(code=3001, reason="shutdown")
    """`Realtime.close` was called."""
    SERVER_ERROR = Disconnect(code=3004, reason="internal server error")
    """Never sent by hubbub."""
    EXPIRED = Disconnect(code=3005, reason="connection expired")
    """The connection has expired, and was not refreshed in time, or by an expired token; or a handler has said no."""
    SUBSCRIPTION_EXPIRED = Disconnect(code=3006, reason="subscription expired")
    """The same of a subscription that the server made; or any was refreshed with an expired token."""
    SLOW = Disconnect(code=3008, reason="slow")
    """The client does not read, and lost something in a channel where nothing can be recovered."""
    WRITE_ERROR = Disconnect(code=3009, reason="write error")
    """Never sent by hubbub."""
    INSUFFICIENT_STATE = Disconnect(code=3010, reason="insufficient state")
    """Something is lost in a channel that the server has subscribed the client to: it recovers when it is back."""
    FORCE_RECONNECT = Disconnect(code=3011, reason="force reconnect")
    """Only by `Realtime.disconnect`."""
    NO_PONG = Disconnect(code=3012, reason="no pong")
    """No answer to a ping within `Bounds.pong_timeout`."""
    TOO_MANY_REQUESTS = Disconnect(code=3013, reason="too many requests")
    """The client goes on to send commands faster than `Bounds.max_command_rate`, or sends messages as fast."""
    STATE_INVALIDATED = Disconnect(code=3014, reason="state invalidated")
    """Only by `Realtime.disconnect`: clients drop their tokens and positions as well."""
    INVALID_TOKEN = Disconnect(code=3500, reason="invalid token")
    """A connection token is not good; or a token is for another user, client or channel."""
    BAD_REQUEST = Disconnect(code=3501, reason="bad request")
    """What came is no command, or comes when it may not; a connect without a token where one is needed."""
    STALE = Disconnect(code=3502, reason="stale")
    """No connect command was done within `Bounds.connect_timeout`."""
    FORCE_DISCONNECT = Disconnect(code=3503, reason="force disconnect")
    """`Realtime.disconnect` or `Client.disconnect` was called."""
    CONNECTION_LIMIT = Disconnect(code=3504, reason="connection limit")
    """The user has `Bounds.max_sessions_per_user` sessions."""
    CHANNEL_LIMIT = Disconnect(code=3505, reason="channel limit")
    """The server would subscribe the session to more than `Bounds.max_channels` channels."""
    INAPPROPRIATE_PROTOCOL = Disconnect(code=3506, reason="inappropriate protocol")
    """What was published is not JSON, and the client speaks JSON."""
    PERMISSION_DENIED = Disconnect(code=3507, reason="permission denied")
    """Never sent by hubbub."""
    NOT_AVAILABLE = Disconnect(code=3508, reason="not available")
    """The client has sent a message, and there is no handler for messages."""
    TOO_MANY_ERRORS = Disconnect(code=3509, reason="too many errors")
    """Never sent by hubbub."""


class Unsubscribes:
    """The protocol's own unsubscribes: clients subscribe again after those from 2500."""

    CLIENT = Unsubscribe(code=0, reason="client unsubscribed")
    """Never sent: the client has asked for it."""
    DISCONNECTED = Unsubscribe(code=1, reason="client disconnected")
    """Never sent: the connection has ended."""
    SERVER = Unsubscribe(code=2000, reason="server unsubscribe")
    """`Realtime.unsubscribe` was called."""
    INSUFFICIENT_STATE = Unsubscribe(code=2500, reason="insufficient state")
    """Something is lost in this channel: the client recovers it."""
    EXPIRED = Unsubscribe(code=2501, reason="subscription expired")
    """The subscription has expired, and was not refreshed in time, or a handler has said no."""
    STATE_INVALIDATED = Unsubscribe(code=2502, reason="state invalidated")
    """Never sent by hubbub: clients drop token and position."""


class Fault(HubbubError):
    """What a client did that its command, or its connection, does not survive.

    Args:
        verdict: an Error answers the command; a Disconnect ends the connection.
        detail: for the log; the client does not see it. Never holds a token.
    """

    def __init__(self, verdict: Error | Disconnect, detail: str = "") -> None:
        text = verdict.message if isinstance(verdict, Error) else verdict.reason
        super().__init__(f"{verdict.code} {text}: {detail}" if detail else f"{verdict.code} {text}")
        self.verdict: Error | Disconnect = verdict
        self.detail: str = detail
