"""Counts of a real-time server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from hubbub.hub import Statistics
from hubbub.node import BrokerStatistics

__all__ = ["Counts", "NodeInfo", "RealtimeStatistics"]


class Counts:
    """What a node counts as it goes."""

    __slots__ = ("disconnects", "errors", "received", "sent")

    def __init__(self) -> None:
        self.received: int = 0
        self.sent: int = 0
        self.errors: Counter[int] = Counter()
        self.disconnects: Counter[int] = Counter()


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeStatistics:
    """One node at one moment."""

    sessions: int
    """Connected."""
    users: int
    """Different ones; the anonymous are one."""
    subscriptions: int
    """Of all sessions together."""
    channels: int
    """With sessions of this node."""
    received: int
    """Frames of clients."""
    sent: int
    """Replies and pushes to single clients; what is published is in `hub`."""
    errors: Mapping[int, int]
    """Error replies, by code."""
    disconnects: Mapping[int, int]
    """Ends of connections by this server, by code."""
    hub: Statistics
    """What is handed out, waits and was dropped, as of every hub."""
    broker: BrokerStatistics
    """The state of the link, and what went wrong on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo:
    """One node of all."""

    uid: str
    """New with each start."""
    name: str
    """As `Realtime` was told, or else the host's name and the process' number."""
    version: str
    """As `Realtime` was told."""
    num_clients: int
    """Sessions."""
    num_users: int
    """Different ones; the anonymous are one."""
    num_subs: int
    """Of all its sessions together."""
    num_channels: int
    """With sessions of this node."""
    uptime: int
    """Seconds."""
