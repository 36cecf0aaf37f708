"""Channels: members, shards with mailboxes, the pool of writers, and the write side of sockets.

Knows outlets, never servers. Start at `hub.py` and at its other half, `register.py`; a broadcast goes on through
`channel.py` to the shards. Those of plain sockets are compiled (`native`); those over transports are here:
`mailbox.py`, `writers.py` (who empties mailboxes) and `outlet.py` with `backlog.py` (where bytes leave, and what
happens when they cannot). With a broker, `reach.py` joins a hub with those of other processes.
`socket.py` is what programs see of an outlet.
"""

from hubbub.hub.backlog import Overflow
from hubbub.hub.given import cores
from hubbub.hub.hub import Hub, Member
from hubbub.hub.outlet import AnyOutlet, Outlet, Owner, Sink, outlet_for
from hubbub.hub.publishing import publish, publish_async
from hubbub.hub.several import WORKERS
from hubbub.hub.socket import Cause, Closed, Link, Socket
from hubbub.hub.statistics import Counters, Statistics, Tally

__all__ = [
    "WORKERS",
    "AnyOutlet",
    "Cause",
    "Closed",
    "Counters",
    "Hub",
    "Link",
    "Member",
    "Outlet",
    "Overflow",
    "Owner",
    "Sink",
    "Socket",
    "Statistics",
    "Tally",
    "cores",
    "outlet_for",
    "publish",
    "publish_async",
]
