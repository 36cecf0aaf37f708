"""Real-time sessions: clients of the Centrifuge protocol, and who may do what in which channel.

`protocol/` is what clients and servers say to each other, free of I/O, and `conversation.py` what may be asked when.
`namespaces.py` says what channels are, `permissions.py` who may do what in them, `filters.py` which publications they
get, and `tokens.py` what tokens say (`keys.py`: who has signed them; `claims.py`: what is in them). `publications.py`
makes of a publication what subscribers get, with patches by `fossil.py`.
"""

from hubbub.extras import brought_by

with brought_by("realtime", "hubbub.realtime"):
    from hubbub.brokers import History, Position
    from hubbub.realtime.bounds import Bounds
    from hubbub.realtime.client import Client
    from hubbub.realtime.handlers import Accepted, Connected, Denied, Refreshed
    from hubbub.realtime.namespaces import Names, Namespace
    from hubbub.realtime.protocol import ClientInfo, Disconnect, Error, Fault, Publication
    from hubbub.realtime.protocol.replies import HistoryResult
    from hubbub.realtime.publisher import Published, Publishing
    from hubbub.realtime.realtime import Realtime
    from hubbub.realtime.statistics import NodeInfo, RealtimeStatistics
    from hubbub.realtime.tokens import Tokens

__all__ = [
    "Accepted",
    "Bounds",
    "Client",
    "ClientInfo",
    "Connected",
    "Denied",
    "Disconnect",
    "Error",
    "Fault",
    "History",
    "HistoryResult",
    "Names",
    "Namespace",
    "NodeInfo",
    "Position",
    "Publication",
    "Published",
    "Publishing",
    "Realtime",
    "RealtimeStatistics",
    "Refreshed",
    "Tokens",
]
