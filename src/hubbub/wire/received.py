"""What a reader finds in a peer's bytes, whichever twin it is."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["NOT_UTF8", "Ping", "Pong", "Received", "ReceivedClose", "sendable"]

NOT_UTF8 = "text that is not UTF-8"


class Ping(NamedTuple):
    """Answer it with a pong of the same payload: section 5.5.2."""

    payload: bytes


class Pong(NamedTuple):
    """The answer to a ping, or a sign of life: section 5.5.3."""

    payload: bytes


class ReceivedClose(NamedTuple):
    """The peer's close frame; code 1005 if it named none."""

    code: int
    reason: str


Received = str | bytes | Ping | Pong | ReceivedClose


def sendable(code: int) -> bool:
    """Whether a close code may stand in a frame: section 7.4."""
    return 3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in (1004, 1005, 1006))
