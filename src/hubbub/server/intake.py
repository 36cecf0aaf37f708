"""What comes from a peer, message after message, as long as the loop's round has time and somebody wants it.

What does not come to that is kept as it came, unparsed and compressed, and the peer is not read meanwhile. So one read
at the most waits for each connection: 64 KiB, and some 250 where uvloop's own transport reads.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

from hubbub.errors import PeerError, PolicyViolation
from hubbub.hub import AnyOutlet
from hubbub.native import compiled
from hubbub.server.context import Context
from hubbub.server.deadlines import Deadlines
from hubbub.server.phase import Phase
from hubbub.wire import Close, Event, Failure, Ping, Pong, Protocol, Received, pong

__all__ = ["Intake"]

_reactor = compiled("_reactor")
advance: Any = None if _reactor is None else _reactor.advance  # the twin of `Intake._advance`

READ = 64 * 1024  # bytes: where the loop has read as much behind what waits already, it is told to stop

# Asked for with every read: members of an Enum take a while to look up.
OPEN, CLOSING = Phase.OPEN, Phase.CLOSING


class Intake(Deadlines):
    """The half of a Connection that takes in what comes. (One object for both, since there are so many of them.)"""

    __slots__ = (
        "_at",
        "_ended",
        "_kept",
        "_queued",
        "_rate",
        "_wire",
        "context",
        "due",
        "held",
        "outlet",
        "phase",
        "straight",
        "transport",
    )

    transport: asyncio.Transport
    outlet: AnyOutlet
    seen: float  # these are of Deadlines: said again, for who checks types looks at one class at a time
    stalled: float
    unfinished: float

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context: Context = context
        self.phase: Phase = Phase.HANDSHAKE
        self.due: int = 0  # the sweep's
        self._wire: Protocol | None = None
        self.held: bool = False  # not read, for those who build on it cannot keep up
        self._kept = b""  # what came and was not taken in yet, from `_at` on
        self._at = 0
        self._queued = False  # in the round's queue
        self._ended = False  # the peer said that nothing comes behind what is kept
        self.straight: bool = context.limits.max_message_rate is None  # messages need no look at their rate
        self._rate: tuple[int, int, int] | None = None  # the second, and messages and control frames in it

    # What a Connection answers to

    def message(self, data: str | bytes) -> None:
        """A whole message."""
        raise NotImplementedError

    def fail(self, error: PeerError, *, reply: bytes = b"") -> None:
        """The peer broke the protocol."""
        raise NotImplementedError

    def answered(self) -> bool:
        """A pong came. Returns whether it answers a ping of ours, and is not held against the peer."""
        raise NotImplementedError

    def peer_closed(self, event: Close) -> None:
        """The peer's close frame."""
        raise NotImplementedError

    def eof_received(self) -> bool:
        """The peer sends no more. Returns whether to leave the transport open."""
        raise NotImplementedError

    def check(self, now: float) -> float | None:
        """The sweep's call."""
        raise NotImplementedError

    # What comes

    def take_in(self, data: bytes | memoryview) -> None:
        """Bytes of frames; they may be overwritten after the call."""
        if self._kept:
            self._kept, self._at = self._kept[self._at :] + data, 0
            if len(self._kept) >= READ:
                self.transport.pause_reading()
            return
        round = self.context.round
        began, left = round.clock(), round.left()
        if left > 0:
            self._advance(bytes(data), 0, began + left)
            round.spend(round.clock() - began)
        else:
            self.keep(bytes(data))

    def whole(self, data: str | bytes) -> None:
        """A read that was one message, where the transport has `Protocol.reader` read: the usual one, kept short."""
        self.seen = self.context.sweep.now
        if self.phase is OPEN and self.straight:
            self.message(data)
        else:
            self._event(data)

    def found(self, received: Received) -> bool:
        """One of several things that came, unless it went straight to `message`. Returns whether the next one is wanted
        now."""
        if self._wire is not None and (event := self._wire.event(received)) is not None:
            self._event(event)
        return self._listens and not self.held

    def fault(self, error: PeerError) -> None:
        """What was wrong in what came; nothing follows."""
        self.seen = self.context.sweep.now
        if (parse := getattr(self.transport, "parse", None)) is not None:
            parse(None)
        if self._wire is not None and (event := self._wire.fault(error)) is not None:
            self._event(event)

    def keep(self, data: bytes, at: int = 0) -> None:
        """The rest of what came, from there on, for which there is no time or which nobody wants now."""
        self.seen = self.context.sweep.now
        if self._listens:
            self._kept, self._at = data, at
            if hasattr(self.transport, "parse"):  # it would hand over what comes next before that
                self.transport.pause_reading()
            self._wait_for_turn()

    def read_to_end(self, fresh: bool) -> None:
        """All that came is taken in. `fresh`: what is unfinished has begun in it."""
        self.seen = self.context.sweep.now
        if self._wire is None or not self._wire.partial:
            self.unfinished = 0.0
        elif fresh or not self.unfinished:
            self.unfinished = self.seen
            self.context.sweep.at(self, self.seen + self.context.limits.message_timeout)

    def go_on(self, until: float) -> None:
        """It is our turn in the round's queue."""
        self._queued = False
        if self._kept and not self.held:
            self._take_kept(until)

    def end_input(self) -> bool:
        """The peer sends no more: whether that has to wait for what is kept."""
        if not self._kept or not self._listens:
            return False
        if self.transport.can_write_eof():
            self._ended = True
            return True
        while self._kept:  # over TLS the transport goes at once
            self._take_kept(inf)
        return False

    def forget_input(self) -> None:
        """Nobody wants it any more."""
        self._kept = b""

    # When those who build on it cannot keep up

    def hold(self) -> None:
        """Take in no more, so that the peer slows down. Its silence is not held against it."""
        if not self.held and self.phase is OPEN:
            self.held = True
            self.context.paused += 1
            self.transport.pause_reading()

    def read_on(self) -> None:
        """Go on after `hold`."""
        if self.held:
            self.held = False
            self.seen = self.context.sweep.now
            if self._kept:
                self._wait_for_turn()
            elif self.phase is OPEN:
                self.transport.resume_reading()

    def hear_the_answer(self) -> None:
        """Our close frame is out: the peer's is listened for, whoever could not keep up before."""
        self.held = False
        if self._kept:
            self._wait_for_turn()
        else:
            self.transport.resume_reading()

    @property
    def waits(self) -> bool:
        """Whether it is we who do not listen."""
        return self.held or bool(self._kept)

    def _take_kept(self, until: float) -> None:
        data, self._kept = self._kept, b""
        self._advance(data, self._at, until)
        if not self._kept:
            self._kept_nothing()

    def _advance(self, data: bytes, at: int, until: float) -> None:
        """Message after message, at least one. The rest is kept, whatever is raised."""
        if self._wire is None:
            return
        if advance is not None:
            advance(self, OPEN if self.straight else None, self._wire.reader, data, at, until)
            return
        clock, size, fresh = self.context.round.clock, len(data), False
        try:
            while at < size:
                event, at = self._wire.next(data, at)
                if event is not None:
                    fresh = fresh or isinstance(event, str | bytes)
                    self._event(event)
                if self.held or not self._listens or clock() >= until:
                    break
        finally:
            if at < size:
                self.keep(data, at)
        if at == size:
            self.read_to_end(fresh)

    def _wait_for_turn(self) -> None:
        if self._kept and not self.held and not self._queued:
            self._queued = True
            self.context.round.later(self)

    def _kept_nothing(self) -> None:
        """What was kept is taken in: the peer is read again."""
        if self._ended:
            self._ended = False
            if not self.eof_received():
                self.transport.close()
        elif self._listens and not self.held:
            self.transport.resume_reading()

    @property
    def _listens(self) -> bool:
        return self.phase is OPEN or self.phase is CLOSING

    def _event(self, event: Event) -> None:
        if type(event) is str or type(event) is bytes:
            self.unfinished = 0.0  # what is unfinished after this read has begun in it
            if not self.straight and not self._within_rate(control=False):
                return
            if self.phase is OPEN:
                self.message(event)
        elif isinstance(event, Failure):
            self.fail(event.error, reply=event.reply)
        elif isinstance(event, Close):
            self.peer_closed(event)
        elif isinstance(event, Pong) and self.answered():
            pass
        elif self._within_rate(control=True) and isinstance(event, Ping):
            self.context.pings += 1
            self.outlet.control(pong(event.payload))

    def _within_rate(self, *, control: bool) -> bool:
        limits, second = self.context.limits, int(self.context.loop.time())
        then, frames, controls = self._rate or (second, 0, 0)
        if then != second:
            frames = controls = 0
        frames, controls = frames + 1, controls + control
        self._rate = (second, frames, controls)
        if limits.max_message_rate is not None and frames > limits.max_message_rate:
            self.fail(PolicyViolation("too many messages in a second"))
        elif limits.max_control_rate is not None and controls > limits.max_control_rate:
            self.fail(PolicyViolation("too many control frames in a second"))
        else:
            return True
        return False
