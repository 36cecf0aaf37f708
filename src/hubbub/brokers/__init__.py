"""Brokers: what lies between nodes, so that one hub spans many processes and machines.

`contract.py` says what a broker is, and `hubbub.testing.brokers` checks one. `memory.py` is the embedded one, and the
shortest; `local.py` joins the processes of one machine, `sqlite.py` lets history survive a restart, `redis.py` and
`nats.py` join machines. A program names one by its URL (`urls.py`) or brings a Broker of its own.

Knows nothing of hubs, nodes or sockets.
"""

from hubbub.brokers.contract import (
    Broker,
    Change,
    Check,
    Entry,
    Events,
    History,
    Outgoing,
    Page,
    Position,
    Presence,
    Publication,
    Published,
    Traits,
)
from hubbub.brokers.urls import broker_for, redacted

__all__ = [
    "Broker",
    "Change",
    "Check",
    "Entry",
    "Events",
    "History",
    "Outgoing",
    "Page",
    "Position",
    "Presence",
    "Publication",
    "Published",
    "Traits",
    "broker_for",
    "redacted",
]
