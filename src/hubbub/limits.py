"""Every bound of the library, in one frozen object."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import Any

from hubbub.arguments import shown
from hubbub.errors import Misuse

__all__ = ["Limits"]

KIB = 1024
MIB = 1024 * KIB
MOST = sys.maxsize // 2  # of a size or count: sums of two fit into what compiled code counts with
LONGEST = 1e9  # seconds, some thirty years: what stands for "never" where times are added up


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a server and a hub allow. Sizes are in bytes, times in seconds.

    Where a field may be None, None means that there is no bound of hubbub's own. `docs/limits.md`
    tells, field by field, why the default is what it is and how a deployment chooses its own.

    Raises: Misuse: a value that is no number above zero, or two that contradict each other.
    """

    # What one peer may send
    max_message_size: int = MIB
    """Largest message, inflated if it was compressed. At the limit: close 1009."""
    max_fragments: int = 1024
    """Most frames of one message, empty ones included (`ws` allowed 131,072, which proved too many:
    CVE-2026-62389). At the limit: close 1008."""
    message_timeout: float = 60.0
    """Longest time from a message's first byte to its last. At the limit: close 1008, cause timeout."""
    max_message_rate: int | None = None
    """Most messages and control frames of one connection in a second. At the limit: close 1008."""
    max_control_rate: int | None = 100
    """Most pings, pongs and close frames of one connection in a second; honest peers send one in many
    seconds. At the limit: close 1008."""
    max_inbox: int = 64
    """Messages that wait for one connection's asynchronous handler. At the limit the connection is not
    read until the handler catches up; what the read in hand still holds stays unparsed meanwhile."""
    max_inbox_size: int = MIB
    """Bytes of the same, besides one message that passes the limit, with the same behaviour."""

    # The handshake
    max_headers: int = 64
    """Header lines of an upgrade request. At the limit: HTTP 431."""
    max_header_size: int = 8 * KIB
    """Bytes of an upgrade request, all in all. At the limit: HTTP 431."""
    handshake_timeout: float = 5.0
    """From the connection's first instant to its upgrade, in all and not per read, the handler's
    `handshake` included. At the limit: HTTP 408, then the connection is cut."""

    # A living connection
    ping_interval: float = 25.0
    """Silence after which a peer is pinged (Centrifugo and Socket.IO: 25 s)."""
    pong_timeout: float = 10.0
    """Silence after a ping. At the limit: close 1011, cause timeout, and no wait for an answer."""
    close_timeout: float = 5.0
    """Wait for the peer's close frame, and for unsent bytes to leave. At the limit: cut."""

    # The write side
    max_backlog: int = MIB
    """Bytes that wait for one socket, besides a single frame that is larger by itself. At the limit the
    overflow policy acts."""
    backlog_timeout: float = 5.0
    """Longest time in which a socket with a backlog takes no byte. At the limit: cut, cause overflow."""
    max_total_backlog: int = 256 * MIB
    """Bytes that wait for all sockets of the process. One socket may have at most as many waiting as stay
    free beside it, else the overflow policy acts on it: so those who let much wait stop each other, and who
    lets a little wait is served. A message over 64 KiB is sent only if all of it might wait."""
    max_mailbox: int = 8192
    """Messages that wait in one shard. At the limit `broadcast` waits or raises `Overloaded`."""
    max_mailbox_size: int = 16 * MIB
    """Bytes of the same, besides a single message that is larger by itself."""

    # Between processes
    max_outbox: int = 65_536
    """Publications of one process that wait for the broker. At the limit `broadcast` waits or raises `Overloaded`."""
    max_outbox_size: int = 16 * MIB
    """Bytes of the same, besides a single publication that is larger by itself."""
    broker_timeout: float = 5.0
    """How long publications wait for a broker that cannot be reached. At the limit they are given up and counted, and
    `broadcast` waits or raises `BrokerUnavailable`."""

    # Counts
    max_connections: int | None = None
    """Open connections of one server. None: the process's descriptor limit less a reserve of 64.
    At the limit: HTTP 503."""
    max_connections_per_address: int | None = None
    """Open connections from one peer address; off, for behind a proxy all share one. At the limit: HTTP 503."""
    max_accept_rate: int | None = None
    """New connections of one server in a second. At the limit: HTTP 503."""
    max_channels: int = 1_000_000
    """Channels of one hub. At the limit `join` raises `LimitReached`."""
    max_channel_name: int = KIB
    """Bytes of a channel's name: of text in UTF-8, of bytes, and of what a tuple holds; other values count as none.
    At the limit `join` raises `LimitReached`."""
    max_channels_per_socket: int | None = None
    """Channels of one socket. At the limit `join` raises `LimitReached`."""

    # The process
    shutdown_timeout: float = 10.0
    """From the signal to stop, to the moment when what is still open is cut."""
    max_log_rate: int = 10
    """Log lines about what peers did, in a second. At the limit they are counted, and the count is logged."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = _judged(field.name, str(field.type), getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        if self.max_total_backlog < self.max_backlog:
            raise Misuse(
                f"Limits.max_total_backlog ({self.max_total_backlog}) is below max_backlog ({self.max_backlog}):"
                " one slow socket would use up what is meant for all"
            )


def _judged(name: str, kind: str, value: Any) -> int | float | None:
    """The value, or the largest one if it is beyond that. Raises: Misuse."""
    whole = kind.startswith("int")
    if value is None and "None" in kind:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        or_none = ", or None" if "None" in kind else ""
        raise Misuse(f"Limits.{name} must be a number above zero{or_none}, not {shown(value)}")
    most = MOST if whole else LONGEST
    if value > most:
        return most
    if whole and value != int(value):
        raise Misuse(f"Limits.{name} must be a whole number, not {value}")
    return int(value) if whole else value
