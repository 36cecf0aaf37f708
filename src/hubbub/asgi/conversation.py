"""What an ASGI application may send, and when: an enum and a table (ASGI specification, WebSocket, version 2.4)."""

from __future__ import annotations

from enum import Enum

from hubbub.errors import Misuse

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
    """The stage after a message of that type. Raises: Misuse: it may not be sent now."""
    try:
        return MOVES[stage][message]
    except KeyError:
        allowed = " or ".join(MOVES[stage]) or "nothing"
        raise Misuse(f"the application sent {message!r} while {stage.value}; it may send {allowed}") from None
