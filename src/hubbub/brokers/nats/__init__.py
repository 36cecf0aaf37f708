"""The broker on NATS JetStream.

`broker.py` is what a node calls; `publishing.py` appends, `records.py` says what lies in the stream and what follows
from it, `roll.py` keeps who is present, `streams.py` finds and makes the streams. Below them `link.py` is the
connection, `wire.py` the protocol, and `address.py` the URL. There is no client library: of NATS' protocol a dozen
words are needed, and so a batch is one write, and an answer costs no task.
"""

from hubbub.brokers.nats.broker import NatsBroker

__all__ = ["NatsBroker"]
