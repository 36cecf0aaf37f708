"""The Centrifuge client protocol, free of I/O: what clients and servers say to each other, in two dialects.

`commands.py` and `replies.py` define the messages, once for both; `json.py` and `protobuf.py` write and read them, and
`dialect.py` is what a session sees of either. `codes.py` is the table of all that may go wrong.

Knows nothing of channels, sessions or sockets.
"""

from hubbub.realtime.protocol.codes import Disconnect, Disconnects, Error, Errors, Fault, Unsubscribe, Unsubscribes
from hubbub.realtime.protocol.commands import Command, Request
from hubbub.realtime.protocol.dialect import JSON, PROTOBUF, Dialect
from hubbub.realtime.protocol.records import NOTHING, raw
from hubbub.realtime.protocol.replies import ClientInfo, Publication, Push, Reply, push, reply

__all__ = [
    "JSON",
    "NOTHING",
    "PROTOBUF",
    "ClientInfo",
    "Command",
    "Dialect",
    "Disconnect",
    "Disconnects",
    "Error",
    "Errors",
    "Fault",
    "Publication",
    "Push",
    "Reply",
    "Request",
    "Unsubscribe",
    "Unsubscribes",
    "push",
    "raw",
    "reply",
]
