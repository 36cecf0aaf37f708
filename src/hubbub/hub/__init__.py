"""Channels: members, shards with mailboxes, the pool of writers, and the write side of sockets.

Knows outlets, never servers. Start at `hub.py`; a broadcast goes on through `channel.py` (mailboxes), `writers.py`
(who empties them) and `outlet.py` with `backlog.py` (where bytes leave, and what happens when they cannot).
Everything but `Hub`, `Member`, `Overflow` and `Statistics` is for this library alone.
"""

from hubbub.hub.backlog import Overflow
from hubbub.hub.channel import Member
from hubbub.hub.hub import Hub
from hubbub.hub.outlet import Outlet, Owner, Sink
from hubbub.hub.statistics import Counters, Statistics

__all__ = ["Counters", "Hub", "Member", "Outlet", "Overflow", "Owner", "Sink", "Statistics"]
