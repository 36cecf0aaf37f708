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
    message: Annotated[str, 2]
    temporary: Annotated[bool, 3] = False
    """Clients try again, with pauses that grow."""


class Disconnect(Record):
    """Why a connection ends."""

    code: Annotated[U32, 1]
    reason: Annotated[str, 2]

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
    UNAUTHORIZED = Error(code=101, message="unauthorized")
    UNKNOWN_CHANNEL = Error(code=102, message="unknown channel")
    PERMISSION_DENIED = Error(code=103, message="permission denied")
    METHOD_NOT_FOUND = Error(code=104, message="method not found")
    ALREADY_SUBSCRIBED = Error(code=105, message="already subscribed")
    LIMIT_EXCEEDED = Error(code=106, message="limit exceeded")
    BAD_REQUEST = Error(code=107, message="bad request")
    NOT_AVAILABLE = Error(code=108, message="not available")
    TOKEN_EXPIRED = Error(code=109, message="token expired")  # clients get a new token first
    EXPIRED = Error(code=110, message="expired")
    TOO_MANY_REQUESTS = Error(code=111, message="too many requests", temporary=True)
    UNRECOVERABLE_POSITION = Error(code=112, message="unrecoverable position")
    CONCURRENT_PAGINATION = Error(code=113, message="concurrent pagination", temporary=True)


class Disconnects:
    """The protocol's own disconnects: clients come back after those below 3500."""

    CONNECTION_CLOSED = Disconnect(code=3000, reason="connection closed")
    SHUTDOWN = Disconnect(code=3001, reason="shutdown")
    SERVER_ERROR = Disconnect(code=3004, reason="internal server error")
    EXPIRED = Disconnect(code=3005, reason="connection expired")
    SUBSCRIPTION_EXPIRED = Disconnect(code=3006, reason="subscription expired")
    SLOW = Disconnect(code=3008, reason="slow")
    WRITE_ERROR = Disconnect(code=3009, reason="write error")
    INSUFFICIENT_STATE = Disconnect(code=3010, reason="insufficient state")
    FORCE_RECONNECT = Disconnect(code=3011, reason="force reconnect")
    NO_PONG = Disconnect(code=3012, reason="no pong")
    TOO_MANY_REQUESTS = Disconnect(code=3013, reason="too many requests")
    STATE_INVALIDATED = Disconnect(code=3014, reason="state invalidated")  # clients drop tokens and positions

    INVALID_TOKEN = Disconnect(code=3500, reason="invalid token")
    BAD_REQUEST = Disconnect(code=3501, reason="bad request")
    STALE = Disconnect(code=3502, reason="stale")
    FORCE_DISCONNECT = Disconnect(code=3503, reason="force disconnect")
    CONNECTION_LIMIT = Disconnect(code=3504, reason="connection limit")
    CHANNEL_LIMIT = Disconnect(code=3505, reason="channel limit")
    INAPPROPRIATE_PROTOCOL = Disconnect(code=3506, reason="inappropriate protocol")
    PERMISSION_DENIED = Disconnect(code=3507, reason="permission denied")
    NOT_AVAILABLE = Disconnect(code=3508, reason="not available")
    TOO_MANY_ERRORS = Disconnect(code=3509, reason="too many errors")


class Unsubscribes:
    """The protocol's own unsubscribes: clients subscribe again after those from 2500."""

    CLIENT = Unsubscribe(code=0, reason="client unsubscribed")  # this one and the next are never sent
    DISCONNECTED = Unsubscribe(code=1, reason="client disconnected")
    SERVER = Unsubscribe(code=2000, reason="server unsubscribe")
    INSUFFICIENT_STATE = Unsubscribe(code=2500, reason="insufficient state")
    EXPIRED = Unsubscribe(code=2501, reason="subscription expired")
    STATE_INVALIDATED = Unsubscribe(code=2502, reason="state invalidated")  # clients drop token and position


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
