"""What a real-time server allows, beside the `Limits` of connections."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from hubbub.arguments import shown
from hubbub.errors import Misuse

__all__ = ["Bounds"]

MAY_BE_0 = ("expired_grace", "max_command_rate", "max_sessions_per_user")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What a session may do. Sizes are in bytes, times in seconds, which are seen to once a second at least.

    The defaults are Centrifugo's.

    Raises: Misuse: a value that is no number above zero.
    """

    ping: float = 25.0
    """Between two pings of one session."""
    pong_timeout: float = 8.0
    """For the answer to a ping, less than `ping`. At the limit: disconnect 3012."""
    connect_timeout: float = 10.0
    """From the upgrade to the end of the connect command. At the limit: disconnect 3502."""
    expired_grace: float = 25.0
    """After a token has expired, for a refresh. At the limit: disconnect 3005, or unsubscribe 2501."""
    max_command: int = 65_536
    """Of a frame. At the limit: close 1009."""
    max_command_rate: float = 0
    """Commands of one session in a second; 0: no limit. Those of two seconds may come at once, as when a client is back
    and subscribes to everything. At the limit: error 111. If as many come again all the same: disconnect 3013. People
    who chat do well with 50."""
    max_channels: int = 128
    """Of one session. At the limit: error 106, or disconnect 3505 for those that the server subscribes it to."""
    max_publications: int = 300
    """Of one history reply, and of one recovery: with more missing it fails."""
    max_sessions_per_user: int = 0
    """On all nodes; on each, while there is no link to the broker. 0: no limit. At the limit: disconnect 3504.
    Anonymous sessions do not count."""
    max_presence: int = 10_000
    """Clients in one presence reply."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value: Any = getattr(self, field.name)
            least = 0 if field.name in MAY_BE_0 else 1e-3
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= 1e9:
                raise Misuse(f"Bounds.{field.name} is a number above zero, not {shown(value)}")
        if self.pong_timeout >= self.ping:
            raise Misuse(f"Bounds.pong_timeout ({self.pong_timeout:g}) is less than Bounds.ping ({self.ping:g})")
