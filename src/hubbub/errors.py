"""Every error hubbub raises or reports, in one tree.

HubbubError
├── Misuse            the calling program did something that can never work (also a ValueError)
│   └── OutOfTurn     an ASGI application sends what it may not send now (also a RuntimeError)
├── Overloaded        a channel has no room for another message just now; trying again makes sense
├── BrokerUnavailable the broker cannot be reached (also a ConnectionError)
├── LimitReached      a count of `Limits` is used up: nothing was done
├── Disconnected      an ASGI application sends to a client that is gone (also a ConnectionError)
├── Reject            raised *by* a handler, in `handshake`, to refuse a connection
└── PeerError         the peer broke the protocol or ran into a limit; its connection closes
    ├── ProtocolError     1002: the bytes are not WebSocket
    ├── InvalidPayload    1007: text that is not UTF-8, or data that does not inflate
    ├── PolicyViolation   1008: a rate or count of `Limits` was passed
    ├── MessageTooBig     1009: a frame, message or inflated message is larger than allowed
    └── HandshakeError    an HTTP status: the upgrade request is refused
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

__all__ = [
    "BrokerUnavailable",
    "Disconnected",
    "HandshakeError",
    "HubbubError",
    "InvalidPayload",
    "LimitReached",
    "MessageTooBig",
    "Misuse",
    "OutOfTurn",
    "Overloaded",
    "PeerError",
    "PolicyViolation",
    "ProtocolError",
    "Reject",
]


class HubbubError(Exception):
    """The root: `except hubbub.HubbubError` catches whatever this package raises."""

    retriable: ClassVar[bool] = False  # whether the same call may succeed later


class Misuse(HubbubError, ValueError):
    """The caller passed something that can never work, such as a limit below zero."""


class OutOfTurn(Misuse, RuntimeError):
    """An ASGI application sends a message that it may not send now: the RuntimeError that other servers raise."""


class Overloaded(HubbubError):
    """A channel's mailbox is full, and nothing of the broadcast was handed over.

    Raised at once on an event loop, after `timeout` seconds on a plain thread.
    """

    retriable = True


class BrokerUnavailable(HubbubError, ConnectionError):
    """The broker cannot be reached, or the link to it broke.

    Args:
        reason: what is wrong, without credentials.
        outcome: "unsent": what was asked for has not happened. "unknown": it was on its way, and may have happened.
    """

    retriable = True

    def __init__(self, reason: str, outcome: Literal["unsent", "unknown"] = "unsent") -> None:
        super().__init__(reason if outcome == "unsent" else f"{reason}; whether it still got there is unknown")
        self.outcome: Literal["unsent", "unknown"] = outcome


class LimitReached(HubbubError):
    """A count of `Limits` is used up, such as the channels of one socket. Nothing was done."""

    retriable = True


class Disconnected(HubbubError, ConnectionError):
    """An ASGI application sends to a client that is gone: the OSError that the ASGI specification asks for."""


class Reject(HubbubError):
    """Raise it in `Handler.handshake` to refuse a connection before it is upgraded.

    Args:
        reason: sent to the client as the `Error` header, for troubleshooting. Visible ASCII.
        status: HTTP status of the answer, 400 to 599.
        headers: further headers of the answer, as `(name, value)` pairs.
    """

    def __init__(
        self, reason: str = "rejected", *, status: int = 400, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(reason)
        said: Any = reason
        if not (isinstance(said, str) and said and said.isascii() and said.isprintable()):
            raise Misuse(f"a reason is visible ASCII, for it travels in a header: {reason!r}")
        code: Any = status
        if not isinstance(code, int) or not 400 <= code <= 599:
            raise Misuse(f"a refusal has a status from 400 to 599, not {status!r}")
        self.reason = reason
        self.status = status
        self.headers = headers


class PeerError(HubbubError):
    """The peer is at fault. Handlers never see it: they get `closed` with its cause."""

    code: ClassVar[int] = 1002  # the close code its connection ends with


class ProtocolError(PeerError):
    """Bytes that RFC 6455 or RFC 7692 forbids."""

    code = 1002


class InvalidPayload(PeerError):
    """Text that is not UTF-8, or compressed data that does not inflate."""

    code = 1007


class PolicyViolation(PeerError):
    """More than `Limits` allows of something that the protocol itself does not bound."""

    code = 1008


class MessageTooBig(PeerError):
    """A frame or message above `Limits.max_message_size`, before or after inflation."""

    code = 1009


class HandshakeError(PeerError):
    """An upgrade request that is refused with an HTTP answer.

    Args:
        cause: value of the answer's `Error` header, such as `"key"` or `"version"`.
        status: HTTP status of the answer.
        headers: further headers of the answer.
        text: body of the answer, for people.
    """

    def __init__(
        self, cause: str, *, status: int = 400, headers: tuple[tuple[str, str], ...] = (), text: str = ""
    ) -> None:
        super().__init__(cause)
        self.cause = cause
        self.status = status
        kind = (("Content-Type", "text/plain; charset=utf-8"),) if text else ()
        self.headers: tuple[tuple[str, str], ...] = (*headers, *kind)
        self.text = text
