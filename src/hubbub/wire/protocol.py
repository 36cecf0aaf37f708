"""One connection after its handshake, as a state machine: an enum, a table, and who may say what.

The table is the specification (RFC 6455, sections 5.5.1 and 7): `TRANSITIONS[state][trigger]` is the next state, and
what is not in it cannot happen or is passed over.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from hubbub import native
from hubbub.errors import PeerError
from hubbub.wire import frames
from hubbub.wire.deflate import Agreed
from hubbub.wire.received import Ping, Pong, Received, ReceivedClose

if TYPE_CHECKING or native.compiled("_codec") is None:
    from hubbub.wire.reader import Reader
else:
    from hubbub.native._codec import Reader

__all__ = ["TRANSITIONS", "Close", "Event", "Failure", "Protocol", "State", "Trigger", "diagram"]


class State(Enum):
    OPEN = "open"
    CLOSE_SENT = "close sent"  # ours is out; the peer may still send until it has read it
    CLOSED = "closed"  # both close frames have passed
    FAILED = "failed"  # the peer broke the protocol: our close frame says how, and nothing more is read
    LOST = "lost"  # the stream ended without the peer's close frame


OPEN = State.OPEN  # what every connection begins with: members of an Enum take a while to look up


class Trigger(Enum):
    MESSAGE = "message or ping or pong"
    PEER_CLOSE = "peer's close frame"
    FAULT = "fault of the peer"
    END = "end of stream"
    OUR_CLOSE = "our close frame"


TRANSITIONS: dict[State, dict[Trigger, State]] = {
    State.OPEN: {
        Trigger.MESSAGE: State.OPEN,
        Trigger.PEER_CLOSE: State.CLOSED,
        Trigger.FAULT: State.FAILED,
        Trigger.END: State.LOST,
        Trigger.OUR_CLOSE: State.CLOSE_SENT,
    },
    State.CLOSE_SENT: {
        Trigger.MESSAGE: State.CLOSE_SENT,
        Trigger.PEER_CLOSE: State.CLOSED,
        Trigger.FAULT: State.FAILED,
        Trigger.END: State.LOST,
    },
    State.CLOSED: {Trigger.END: State.CLOSED},
    State.FAILED: {Trigger.END: State.FAILED},
    State.LOST: {Trigger.END: State.LOST},
}


class Close(NamedTuple):
    """The peer's close frame, and the one to answer it with: empty if ours has gone before."""

    code: int
    reason: str
    reply: bytes


class Failure(NamedTuple):
    """What the peer did wrong, and the close frame that tells it: empty if one of ours has gone before."""

    error: PeerError
    reply: bytes


Event = str | bytes | Ping | Pong | Close | Failure


class Protocol:
    """The server's side of one connection. It never raises for what a peer sends.

    Args:
        max_message_size: bytes of one message, inflated.
        max_fragments: frames of one message.
        agreed: the compression that was negotiated.
    """

    __slots__ = ("_listens", "reader", "state")

    def __init__(self, *, max_message_size: int, max_fragments: int, agreed: Agreed | None = None) -> None:
        self.reader: Reader = Reader(max_message_size=max_message_size, max_fragments=max_fragments, agreed=agreed)
        self.state: State = OPEN
        self._listens = True  # what the table says of messages in this state: looking it up costs more than a read

    def receive(self, data: bytes | memoryview) -> list[Event]:
        """What these bytes complete, in order.

        A message is its `str` or `bytes` itself. `Close` and `Failure` are the last event; bytes after them are
        passed over. `data` may be overwritten after the call.
        """
        events: list[Event] = []
        data, at = bytes(data), 0
        while at < len(data):
            event, at = self.next(data, at)
            if event is not None:
                events.append(event)
        return events

    def next(self, data: bytes, at: int) -> tuple[Event | None, int]:
        """The first event that these bytes complete, and where in them to go on for the next one.

        So nothing is made of a message, and nothing inflated, before it is asked for.

        Args:
            at: where to begin.
        """
        if not self._listens:
            return None, len(data)
        received: list[Received] = []
        try:
            at = self.reader.read(data, received, at, 1)
        except PeerError as error:  # its frames hold what was read, and one of them holds it: a cycle
            return self.fault(error.with_traceback(None)), len(data)
        return (self.event(received[0]), at) if received else (None, len(data))

    def event(self, received: Received) -> Event | None:
        """What `reader` has found, where somebody else lets it read; None if it is too late for it."""
        if not self._listens:
            return None
        return self._closed(received) if isinstance(received, ReceivedClose) else received

    def fault(self, fault: PeerError) -> Event | None:
        """What `reader` has raised there."""
        if not self._listens:
            return None
        reply = frames.close(fault.code, str(fault)) if self.state is State.OPEN else b""
        self._move(Trigger.FAULT)
        return Failure(fault, reply)

    def receive_end(self) -> None:
        """The peer sends no more."""
        self._move(Trigger.END)

    def send_close(self, code: int | None = 1000, reason: str = "") -> bytes | None:
        """The close frame to send; None if it is too late for one.

        Raises: Misuse: a code or reason that may not be sent.
        """
        data = frames.close(code, reason)
        if Trigger.OUR_CLOSE not in TRANSITIONS[self.state]:
            return None
        self._move(Trigger.OUR_CLOSE)
        return data

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended, in a state in which its end is waited for."""
        return self._listens and self.reader.unfinished

    def _closed(self, received: ReceivedClose) -> Close:
        code = None if received.code == 1005 else received.code
        reply = frames.close(code) if self.state is State.OPEN else b""
        self._move(Trigger.PEER_CLOSE)
        return Close(received.code, received.reason, reply)

    def _move(self, trigger: Trigger) -> None:
        self.state = TRANSITIONS[self.state][trigger]
        self._listens = Trigger.MESSAGE in TRANSITIONS[self.state]


def diagram() -> str:
    """The table as a Mermaid state diagram, for the docs."""
    lines = ["stateDiagram-v2", "    [*] --> OPEN"]
    for state, moves in TRANSITIONS.items():
        for trigger, target in moves.items():
            if target is not state:
                lines.append(f"    {state.name} --> {target.name}: {trigger.value}")
    return "\n".join(lines)
