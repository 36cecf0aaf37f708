"""One process among several: what is the same for every broker.

`node.py` is what any thread may call; `home.py` is where it lives, and `stay.py` one stay there, with one broker.
`names.py` makes channel ids into names, `outbox.py` holds what waits for the broker, `publishing.py` gives it to the
broker, `roster.py` tells it who is present, `lines.py` subscribes and heals,
`line.py` decides what follows, what is a duplicate and what is missing, `colleagues.py` knows the other nodes.
Knows brokers, never hubs or sockets.
"""

from hubbub.node.names import channel_of, name_of
from hubbub.node.node import Node
from hubbub.node.outbox import Promise, Ticket, Waiter
from hubbub.node.statistics import BrokerStatistics
from hubbub.node.stay import Receiver

__all__ = ["BrokerStatistics", "Node", "Promise", "Receiver", "Ticket", "Waiter", "channel_of", "name_of"]
