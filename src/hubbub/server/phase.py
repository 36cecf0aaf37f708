"""Where a connection stands, as seen by the I/O."""

from __future__ import annotations

from enum import Enum

__all__ = ["Phase"]


class Phase(Enum):
    """Where a connection stands, as seen by the I/O. (The protocol's own states are `wire.State`.)"""

    HANDSHAKE = "reading the request"
    DECIDING = "the handler or application decides on it"
    OPEN = "messages flow"
    CLOSING = "our close frame is out, the peer's is awaited"
    ENDING = "both have said goodbye: the last bytes leave"
    FAILED = "refused or broken: the last bytes leave, whatever comes is thrown away"
    LOST = "gone"
