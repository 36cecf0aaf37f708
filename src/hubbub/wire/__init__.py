"""The WebSocket protocol, free of I/O: bytes in, events out (RFC 6455, RFC 7692).

`handshake.py` reads the upgrade request and builds the answers, `values.py` is what the request says by name, and
`origins.py` judges whose page sent it; `protocol.py` is the connection after it, a state
machine over the parser in `reader.py`, or over its compiled twin; `received.py` is what either of them finds;
`frames.py` encodes; `deflate.py` negotiates and inflates. Nothing here knows sockets, loops, clocks or chance, and any
split of a byte stream gives the same events.
"""

from hubbub.wire.deflate import Agreed, Deflate, negotiate
from hubbub.wire.frames import Frame, Opcode, binary, close, encode, frame, mask, ping, pong, split, text
from hubbub.wire.handshake import HandshakeReader, Request, accept, accept_key, read_usual, refuse
from hubbub.wire.origins import Origins
from hubbub.wire.protocol import TRANSITIONS, Close, Event, Failure, Protocol, State, Trigger, diagram
from hubbub.wire.received import Ping, Pong, Received
from hubbub.wire.values import Headers, Values, query_of

__all__ = [
    "TRANSITIONS",
    "Agreed",
    "Close",
    "Deflate",
    "Event",
    "Failure",
    "Frame",
    "HandshakeReader",
    "Headers",
    "Opcode",
    "Origins",
    "Ping",
    "Pong",
    "Protocol",
    "Received",
    "Request",
    "State",
    "Trigger",
    "Values",
    "accept",
    "accept_key",
    "binary",
    "close",
    "diagram",
    "encode",
    "frame",
    "mask",
    "negotiate",
    "ping",
    "pong",
    "query_of",
    "read_usual",
    "refuse",
    "split",
    "text",
]
