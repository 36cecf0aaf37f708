"""What an ASGI application may send, and when: an enum and a table (ASGI specification, WebSocket, version 2.4)."""

from __future__ import annotations

from enum import Enum

from hubbub.errors import OutOfTurn

__all__ = ["MOVES", "Stage", "advance"]


class Stage(Enum):
    CONNECTING = "connecting"  # the application has not answered yet
    DENYING = "denying"  # it sends an HTTP response instead: extension websocket.http.response
    OPEN = "open"
    CLOSED = "closed"  # it has closed or denied the connection


ACCEPT = "websocket.accept"
SEND = "websocket.send"
CLOSE = "websocket.close"
RESPONSE = "websocket.http.response.start"
BODY = "websocket.http.response.body"

MOVES: dict[Stage, dict[str, Stage]] = {
    Stage.CONNECTING: {ACCEPT: Stage.OPEN, CLOSE: Stage.CLOSED, RESPONSE: Stage.DENYING},
    Stage.DENYING: {BODY: Stage.DENYING},  # CLOSED with the last part
    Stage.OPEN: {SEND: Stage.OPEN, CLOSE: Stage.CLOSED},
    Stage.CLOSED: {},
}


def advance(stage: Stage, message: str) -> Stage:
    """The stage after a message of that type. Raises: OutOfTurn: it may not be sent now."""
    try:
        return MOVES[stage][message]
    except KeyError:
        allowed = " or ".join(map(repr, MOVES[stage]))
        if not allowed:
            raise OutOfTurn(f"ASGI message {message!r} after the connection was closed or denied") from None
        raise OutOfTurn(f"Expected ASGI message {allowed} but got {message!r}.") from None
