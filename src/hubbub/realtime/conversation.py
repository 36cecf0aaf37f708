"""What a client may ask when, as a state machine: an enum, a table, and what a request needs to be one.

The table is the specification: `TRANSITIONS[state][trigger]` is the next state, and what is not in it ends the
connection with 3501. Free of I/O: frames go in, requests come out, each when it is asked for. So whoever finishes one
before it asks for the next keeps the order, and what follows a connect waits for as long as that takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from hubbub.realtime.protocol import Command, Dialect, Disconnect, Disconnects, Error, Errors, Fault, Request
from hubbub.realtime.protocol.commands import (
    HistoryRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    RefreshRequest,
    SubRefreshRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)

__all__ = ["TRANSITIONS", "Asked", "Conversation", "State", "Trigger", "diagram", "judge"]


class State(Enum):
    if not TYPE_CHECKING:
        __hash__ = object.__hash__  # Enum's is in Python, and asked for ten times by every request

    NEW = "new"  # nothing but a connect may come
    CONNECTING = "connecting"  # it is being decided
    CONNECTED = "connected"
    REFUSED = "refused"  # by an error in reply, after which client libraries leave: nothing is heard any more
    ENDED = "ended"


class Trigger(Enum):
    if not TYPE_CHECKING:
        __hash__ = object.__hash__

    CONNECT = "connect"
    REQUEST = "any other request"
    PONG = "pong"
    NO_PONG = "pong without a ping"
    NOTHING = "command that asks for nothing"
    ACCEPTED = "connect accepted"
    REFUSED = "connect refused"
    END = "end"


FROM_CLIENT = (Trigger.CONNECT, Trigger.REQUEST, Trigger.PONG, Trigger.NO_PONG, Trigger.NOTHING)
TRANSITIONS: dict[State, dict[Trigger, State]] = {
    State.NEW: {
        Trigger.CONNECT: State.CONNECTING,
        Trigger.END: State.ENDED,
    },
    State.CONNECTING: {
        Trigger.ACCEPTED: State.CONNECTED,
        Trigger.REFUSED: State.REFUSED,
        Trigger.END: State.ENDED,
    },
    State.CONNECTED: {
        Trigger.REQUEST: State.CONNECTED,
        Trigger.PONG: State.CONNECTED,
        Trigger.END: State.ENDED,
    },
    State.REFUSED: {**dict.fromkeys(FROM_CLIENT, State.REFUSED), Trigger.END: State.ENDED},
    State.ENDED: dict.fromkeys((*FROM_CLIENT, Trigger.ACCEPTED, Trigger.REFUSED, Trigger.END), State.ENDED),
}


class Asked(NamedTuple):
    """A request, and the number that its reply repeats."""

    id: int
    request: Request


class Conversation:
    """One client's side of a session.

    Args:
        dialect: how it writes.
    """

    __slots__ = ("_owed", "dialect", "state")

    def __init__(self, dialect: Dialect) -> None:
        self.dialect: Dialect = dialect
        self.state: State = State.NEW
        self._owed = 0

    def requests(self, frame: str | bytes) -> Iterator[Asked]:
        """What a frame asks for, one by one. After a connect, say what became of it before you ask for the next.

        Raises: Fault: a Disconnect: the connection ends. What was given before has been good.
        """
        commands = self.dialect.commands(frame)
        try:
            while self.hears and (command := next(commands, None)) is not None:
                request, trigger = _heard(command, self._owed > 0)
                self._move(trigger)
                if request is None:
                    self._owed -= trigger is Trigger.PONG
                else:
                    yield Asked(command.id, request)
        except Fault:
            self.end()
            raise

    @property
    def hears(self) -> bool:
        """Whether anything that the client says can have an effect."""
        return Trigger.NOTHING not in TRANSITIONS[self.state]

    def accepted(self) -> None:
        """The connect that was given is good, and its reply written; or the connection has ended meanwhile."""
        self._move(Trigger.ACCEPTED)

    def refused(self) -> None:
        """The connect that was given has been answered with an error."""
        self._move(Trigger.REFUSED)

    def pinged(self) -> None:
        """A ping has been written: the client may answer it, once."""
        self._owed += 1

    @property
    def owes_pong(self) -> bool:
        """Whether a ping is unanswered."""
        return self._owed > 0

    def end(self) -> None:
        """The connection ends: nothing is heard any more."""
        self._move(Trigger.END)

    def _move(self, trigger: Trigger) -> None:
        moves = TRANSITIONS[self.state]
        if trigger not in moves:
            assert self.state is not State.CONNECTING, "more was asked for before the connect was decided"
            assert trigger in FROM_CLIENT, f"{trigger} when {self.state}"
            raise Fault(Disconnects.BAD_REQUEST, f"{trigger.value} when {self.state.value}")
        self.state = moves[trigger]


def judge(request: Request) -> None:
    """Whether a request has what it needs, whoever asks.

    Raises: Fault: an Error that answers it, or a Disconnect that ends the connection.
    """
    for is_missing, verdict, detail in _NEEDS.get(type(request), ()):
        if is_missing(request):
            raise Fault(verdict, detail)


def diagram() -> str:
    """The table as a Mermaid state diagram, for the docs."""
    lines = ["stateDiagram-v2", "    [*] --> NEW"]
    for state, moves in TRANSITIONS.items():
        for trigger, target in moves.items():
            if target is not state:
                lines.append(f"    {state.name} --> {target.name}: {trigger.value}")
    return "\n".join(lines)


def _heard(command: Command, owed: bool) -> tuple[Request | None, Trigger]:
    if command.pong:
        return None, Trigger.PONG if owed else Trigger.NO_PONG
    request = command.request
    if request is None:
        return None, Trigger.NOTHING
    return request, Trigger.CONNECT if request is command.connect else Trigger.REQUEST


_Need = tuple[Callable[[Any], bool], Error | Disconnect, str]
_CHANNEL: _Need = (lambda request: not request.channel, Disconnects.BAD_REQUEST, "a request without its channel")
_NEEDS: dict[type[Any], tuple[_Need, ...]] = {
    SubscribeRequest: (
        _CHANNEL,
        (lambda request: request.delta not in ("", "fossil"), Disconnects.BAD_REQUEST, "an unknown kind of delta"),
    ),
    UnsubscribeRequest: (_CHANNEL,),
    PublishRequest: (
        _CHANNEL,
        (lambda request: request.type != 0, Errors.NOT_AVAILABLE, "publishing into a map"),
    ),
    PresenceRequest: (_CHANNEL,),
    PresenceStatsRequest: (_CHANNEL,),
    HistoryRequest: (
        _CHANNEL,
        (
            lambda request: request.reverse and request.since is not None and request.since.offset == 0,
            Errors.BAD_REQUEST,
            "history in reverse from its beginning",
        ),
    ),
    RefreshRequest: ((lambda request: not request.token, Disconnects.BAD_REQUEST, "a refresh without a token"),),
    SubRefreshRequest: (  # without a channel it is the token's that is meant: some clients do not send it
        (
            lambda request: not request.channel and not request.token,
            Disconnects.BAD_REQUEST,
            "a request without its channel",
        ),
        (lambda request: not request.token, Errors.BAD_REQUEST, "a refresh without a token"),
    ),
}
