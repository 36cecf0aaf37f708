"""A connection on the event loop: bytes in, events out, timeouts, and an orderly end.

The decisions about bytes are `wire`'s, the way out is the outlet's. What a message means is left to the two that
build on it: `session` (a user's Handler) and `asgi` (an application).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Iterable
from contextlib import suppress
from logging import INFO
from typing import Any, cast

from hubbub.errors import HandshakeError, PeerError, PolicyViolation
from hubbub.hub import AnyOutlet, Cause, Closed, Socket, outlet_for
from hubbub.lock import lock
from hubbub.server.context import Context
from hubbub.server.deadlines import Due
from hubbub.server.intake import Intake
from hubbub.server.phase import Phase
from hubbub.system import unsent
from hubbub.wire import (
    Close,
    HandshakeReader,
    Protocol,
    Request,
    accept,
    close,
    negotiate,
    read_usual,
    refuse,
)

__all__ = ["PLAIN", "Connection", "Phase"]

NO_PONG = close(1011, "keepalive ping timeout")  # code and words of other servers: their clients know them
PLAIN = (("Content-Type", "text/plain; charset=utf-8"),)
EARLY = 64 * 1024  # bytes kept of a client that sends frames before it was accepted


# Asked for with every connection: members of an Enum take a while to look up.
HANDSHAKE, DECIDING, OPEN, LOST = Phase.HANDSHAKE, Phase.DECIDING, Phase.OPEN, Phase.LOST


class Connection(Intake, asyncio.BufferedProtocol, asyncio.Protocol):
    """One TCP, Unix or TLS connection. It is its own Intake and Deadlines: two objects less for each that idles.

    It answers to the compiled transport, by `received` and by what Intake has for one that parses, and to a loop's own
    as both kinds of protocols: asyncio reads into the buffer that all connections share, and uvloop, which has such a
    buffer of its own, hands over a copy of what it read, which is quicker there than to ask for ours.
    """

    __slots__ = (
        "_early",
        "_peer",
        "_reader",
        "_refusal",
        "_since",
        "reason",
        "socket",
    )

    socket: Socket
    transport: asyncio.Transport  # these are of Intake and Deadlines: said again, as there
    outlet: AnyOutlet
    phase: Phase
    seen: float  # these three are of Deadlines: said again, for who checks types looks at one class at a time
    stalled: float
    unfinished: float

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.reason: Closed | None = None  # why it ends, as soon as that is known
        self._reader: HandshakeReader | None = None
        self._early = b""
        self._peer: Any = None
        self._refusal = ""
        self._since = 0.0  # when the phase began

    # What those who build on it answer to

    def requested(self, request: Request) -> None:
        """An upgrade request is complete: call `accept` or `refuse`, now or later."""
        raise NotImplementedError

    def ending(self, closed: Closed) -> None:
        """No message comes any more, for that reason; the last bytes still leave. Only if the end takes a while."""

    def ended(self, closed: Closed) -> None:
        """The connection is gone, and the socket in no channel any more. Only if `requested` was called."""
        raise NotImplementedError

    def dropped(self, count: int) -> None:
        """So many messages to this socket were dropped."""
        if self.socket._tell_dropped is not None:
            self.socket._tell_dropped(count)
        self.socket._outlet.go_on()

    def drained(self) -> None:
        """The kernel has taken everything, after `outlet.tell_when_drained` said that it had not."""

    def timed_out(self) -> None:
        """The handshake took too long while the handler or application was deciding on it."""

    # What they call

    def accept(self, request: Request, subprotocol: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Answer 101; messages flow from here on. Raises: Misuse: a header that may not be sent."""
        limits, context = self.context.limits, self.context
        extension = agreed = None
        if context.compression is not None:
            offers = request.headers.get_all("sec-websocket-extensions")
            if (negotiated := negotiate(offers, context.compression)) is not None:
                extension, agreed = negotiated
        answer = accept(request, subprotocol=subprotocol, extensions=extension, headers=headers)
        self._wire = Protocol(
            max_message_size=limits.max_message_size, max_fragments=limits.max_fragments, agreed=agreed
        )
        if (parse := getattr(self.transport, "parse", None)) is not None:
            parse(self._wire.reader, OPEN if self.straight else None)
        self.phase = OPEN
        self._since = self.seen = context.sweep.now
        context.upgraded += 1
        if subprotocol is not None:
            self.socket.subprotocol = subprotocol
        self.outlet.start(None if agreed is None else agreed.server_window_bits, answer)
        if context.hub is not None:
            context.hub._adopt(self.outlet)
        if limits.ping_interval < limits.handshake_timeout:  # else it is looked at before that anyway
            context.sweep.at(self, self._since + limits.ping_interval)

    def begin(self) -> None:
        """Take in what the client sent before it was accepted."""
        if self._early:
            early, self._early = self._early, b""
            self.received(early)
            if self.waits:  # what comes next is behind that
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def refuse(self, status: int, cause: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> None:
        """Answer with an HTTP status instead of the upgrade, the cause as its `Error` header, and end it all."""
        self.deny(status, cause, (("Error", cause), *headers), body)

    def deny(
        self, status: int, cause: str, headers: Iterable[tuple[str, str]], body: bytes, text: str | None = None
    ) -> None:
        """The same with an answer that is the caller's own, and a text for `closed` other than the cause.

        Raises: Misuse: a header that may not be sent.
        """
        if self.phase not in (Phase.HANDSHAKE, Phase.DECIDING):
            return
        answer = refuse(status, headers, body)
        self.context.refused[cause] += 1
        self.context.log.write(INFO, "refused a connection from %s: %d %s", self.peer(), status, cause)
        self.transport.write(answer)
        self.because(Closed(Cause.REJECTED, status, text or cause))
        self._fail()

    def fail(self, error: PeerError, cause: Cause = Cause.PROTOCOL_ERROR, *, reply: bytes = b"") -> None:
        """Close because of what the peer did."""
        self.context.failures[error.code] += 1
        self.context.log.write(INFO, "closing %s with %d: %s", self.peer(), error.code, error)
        self._finish(Phase.FAILED, reply or close(error.code, str(error)), Closed(cause, error.code, str(error)))

    def because(self, closed: Closed) -> None:
        """It ends, for that reason, unless the outlet ended before for another one: what is told first stays."""
        if self.reason is None:
            ended = self.outlet.ending if hasattr(self, "outlet") else None
            if isinstance(ended, str):
                ended = self._overflow(ended)
            self.reason = ended or closed

    def abort(self, closed: Closed) -> None:
        """Cut the connection."""
        if hasattr(self, "socket"):
            self.socket._remember()
            self.outlet.finish(b"", closed)  # from here on nobody else ends it
        self.because(closed)
        self._shut_down()
        self.transport.abort()

    def peer(self) -> Any:
        """The peer's address, as asyncio gives it."""
        return self._peer or self.transport.get_extra_info("peername") or None

    def address(self) -> str:
        """The peer's address without its port; the same string for all peers of a Unix socket."""
        peer = self.peer()
        return str(cast("tuple[Any, ...]", peer)[0]) if isinstance(peer, tuple) else ""

    def on_its_way(self) -> int:
        """Bytes that the kernel keeps until the peer has them; 0 where it does not tell."""
        try:
            shared: Any = self.transport.get_extra_info("socket") or self.transport
            return unsent(shared.fileno())
        except (OSError, ValueError, AttributeError):
            return 0

    # asyncio's calls

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if transport.get_extra_info("socket") is not None:  # one of the loop's, which may forget it at the end
            self._peer = transport.get_extra_info("peername")
        context = self.context
        sweep = context.sweep
        self._since = sweep.now
        self._refusal = context.admit(self)
        sweep.at(self, self._since + context.limits.handshake_timeout)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.context.view

    def buffer_updated(self, nbytes: int) -> None:
        self.received(self.context.view[:nbytes])

    def data_received(self, data: bytes) -> None:  # also how uvicorn replays the request
        self.received(data)

    def eof_received(self) -> bool:
        if self.end_input():
            return True
        if self.phase in (Phase.OPEN, Phase.DECIDING, Phase.HANDSHAKE):
            closed = Closed(Cause.RESET, 1006, "the peer closed without a close frame")
            if hasattr(self, "socket"):
                self.socket._remember()
                self.outlet.finish(b"", closed)
            self.because(closed)
        if not hasattr(self, "outlet") or not self.outlet.clogged or not self.transport.can_write_eof():
            return False  # the transport closes itself when its buffer is empty
        if self.phase is not Phase.ENDING:  # it may still read what waits for it: nothing more, but all of that
            self._enter(Phase.ENDING)
        return True

    def truncated(self) -> None:
        """Over TLS: the stream ends, and it was not the peer who said so."""
        self.because(Closed(Cause.RESET, 1006, "the TLS stream was cut off: its end came without a close_notify"))

    def tls_failed(self, error: ssl.SSLError | None) -> None:
        """The peer's TLS was wrong, or it speaks none (None)."""
        said = "no TLS on a port that speaks it"
        if error is not None:
            said = f"TLS failed: {getattr(error, 'reason', None) or error}"  # an error of our own has no reason
        if self.phase is Phase.HANDSHAKE:
            self.context.refused["tls"] += 1
            self.context.log.write(INFO, "refused a connection from %s: %s", self.peer(), said)
        self.because(Closed(Cause.RESET, 1006, said))

    def connection_lost(self, exc: Exception | None) -> None:
        reached = self.phase is not Phase.HANDSHAKE and hasattr(self, "socket")
        if exc is None and self.reason is None:
            self.end_input()  # uvloop's TLS does not tell of a stream that is cut off
        self._shut_down()
        upgraded = self._wire is not None
        self.phase = LOST
        self._kept = b""
        if reached:
            self.socket._remember()
            self.outlet.detach()  # before anything else: the loop closes the descriptor next
        self.context.sweep.remove(self)
        self.context.release(self)
        if not reached:
            return
        if (closed := self.reason) is None:
            closed = Closed(Cause.RESET, 1006, str(exc) if exc else "the connection was lost")
            self.because(closed)
            closed = self.reason or closed
        if upgraded:
            self.context.closed[closed.cause] += 1
        self._reader = self._wire = None
        self.ended(closed._replace(channels=self.socket.left) if self.socket.left else closed)

    def pause_writing(self) -> None:
        if hasattr(self, "outlet"):
            self.outlet.pause()
        now = self.context.sweep.now
        self.stall(now, self.transport.get_write_buffer_size() + self.on_its_way())
        self.context.sweep.at(self, now + self.context.limits.backlog_timeout)

    def resume_writing(self) -> None:
        self.stalled = 0.0
        if hasattr(self, "outlet"):
            self.outlet.resume()

    # Bytes

    def received(self, data: bytes | memoryview) -> None:
        """Bytes from the peer; they may be overwritten after the call."""
        self.seen = self.context.sweep.now
        phase = self.phase
        if phase is OPEN or phase is Phase.CLOSING:
            self.take_in(data)
        elif phase is HANDSHAKE:
            self._handshake(data)
        elif phase is DECIDING:
            self._early += data
            if len(self._early) >= EARLY:
                self.transport.pause_reading()

    def _handshake(self, data: bytes | memoryview) -> None:
        context = self.context
        limits, reader, early = context.limits, self._reader, b""
        request = None
        if reader is None and (usual := read_usual(data, limits.max_headers, limits.max_header_size)) is not None:
            request, early = usual
        elif reader is None:
            reader = self._reader = HandshakeReader(limits.max_headers, limits.max_header_size)
        if reader is not None:
            try:
                request = reader.receive(data)
            except HandshakeError as error:
                if error.status == 426 and reader.path == context.health and error.cause == "upgrade":
                    return self._tell_health()
                headers = (*error.headers, *PLAIN) if error.text else error.headers
                return self.refuse(error.status, error.cause, headers, error.text.encode())
            early = reader.rest
        if request is None:
            return
        if self._refusal:
            return self.refuse(503, self._refusal)
        if context.origins is not None and not context.origins.allow(request.headers):
            return self.refuse(403, "origin")
        self._early = early
        self._reader = None
        self.phase = DECIDING
        self.outlet = outlet_for(self.transport, self, context.loop, limits, context.counters)
        self.socket = Socket(self, self.outlet)
        request.peer = self.peer  # called when somebody asks: few do
        self.requested(request)

    def _tell_health(self) -> None:
        """Somebody wants to know whether the server takes connections, such as a load balancer."""
        if self._refusal:
            return self.refuse(503, self._refusal)
        self.transport.write(refuse(200, PLAIN, b"ok\n"))
        self.because(Closed(Cause.REJECTED, 200, "health"))
        self._fail()

    # The end

    def answered(self) -> bool:
        if not self.socket._owed:
            return False
        with lock:
            self.socket._owed -= 1
        return True

    def peer_closed(self, event: Close) -> None:
        self._finish(Phase.ENDING, event.reply, Closed(Cause.CLIENT, event.code, event.reason))

    def _finish(self, phase: Phase, last: bytes, closed: Closed) -> None:
        """End it, unless somebody has, in which case the close frame went before."""
        self.socket._remember()
        first = self.outlet.finish(last, closed)
        self.because(closed)
        self._enter(phase)
        if not first and not self.outlet.clogged:  # else `flushed` is called when it is not
            self.flushed()

    def closing(self, closed: Closed) -> None:
        """Our close frame has been put (see `Socket.close`)."""
        if self.phase is Phase.OPEN and self._wire is not None:
            self._wire.send_close(closed.code, closed.text)
            self.because(closed)
            self._enter(Phase.CLOSING)
            self.hear_the_answer()

    def cut(self, cause: str) -> None:
        """The outlet gave up."""
        if self.phase is not Phase.LOST:
            self.context.log.write(INFO, "cutting %s: backlog past its limit (%s)", self.peer(), cause)
            self.abort(self._overflow(cause))

    def _overflow(self, cause: str) -> Closed:
        stalled = f"took no byte for {self.context.limits.backlog_timeout:g} s"
        text = stalled if cause == "stalled" else f"the backlog passed its limit ({cause})"
        return Closed(Cause.OVERFLOW, 1006, text)

    def flushed(self) -> None:
        """Our last frame is with the transport."""
        if self.phase is Phase.ENDING and not self.transport.is_closing():  # twice is too much for asyncio's TLS
            self.transport.close()
        elif self.phase is Phase.FAILED:
            self._half_close()

    def _fail(self) -> None:
        self._enter(Phase.FAILED)
        self._half_close()

    def _give_up(self) -> None:
        """No pong came: say so, as a peer that lives may read on, and wait for no answer."""
        closed = Closed(Cause.TIMEOUT, 1011, f"no pong within {self.context.limits.pong_timeout:g} s")
        self._finish(Phase.ENDING, NO_PONG, closed)

    def _half_close(self) -> None:
        """Say that nothing more comes, and read on until the peer does the same or the sweep cuts it: a socket closed
        with bytes unread is reset, and the peer might never see our answer."""
        self.forget_input()
        self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _shut_down(self) -> None:
        """Closing alone tells the peer nothing while a child of a fork has a copy of the descriptor."""
        shared: Any = self.transport.get_extra_info("socket")
        if shared is None or sys.platform == "win32":  # the compiled transport does so itself; there are no forks there
            return
        with suppress(OSError, ValueError, AttributeError):  # asyncio's over TLS may have let go of everything
            # Named in full, or it would ask the kernel what kind it is. It is no copy: it lets go and does not close.
            same = socket.socket(shared.family, shared.type, shared.proto, shared.fileno())
            try:
                same.shutdown(socket.SHUT_RDWR)
            finally:
                same.detach()

    def _enter(self, phase: Phase) -> None:
        """The end begins, in one way or another."""
        self.phase = phase
        if hasattr(self, "socket"):
            self.socket._remember()
            if self.reason is not None:
                self.ending(self.reason)
        self._since = self.context.sweep.now
        self.context.sweep.at(self, self._since + self.context.limits.close_timeout)

    # The sweep's call

    def check(self, now: float) -> float | None:
        limits = self.context.limits
        if self.phase is Phase.OPEN:
            return self._check_open(now)
        if self.phase in (Phase.HANDSHAKE, Phase.DECIDING):
            due = self._since + limits.handshake_timeout
            if now < due:
                return due
            self.timed_out()
            self.because(Closed(Cause.TIMEOUT, 1006, "the handshake took too long"))
            self.refuse(408, "timeout")
            return now + limits.close_timeout
        due = self._since + limits.close_timeout
        if self.phase is Phase.LOST:
            return None
        if now < due:
            return due
        self.abort(Closed(Cause.TIMEOUT, 1006, "the close took too long"))
        return None

    def _check_open(self, now: float) -> float | None:
        limits = self.context.limits
        if self.waits:
            self.excuse(now)
        queued = self.on_its_way()
        left = self.transport.get_write_buffer_size() + queued
        due, again = self.judge(now, limits, left, self.outlet.buffered, queued)
        match due:
            case Due.NOTHING:
                return again
            case Due.PING:
                self.socket.ping()
                return again
            case Due.UNFINISHED:
                self.fail(PolicyViolation("a message was not finished in time"), Cause.TIMEOUT)
                return now + limits.close_timeout
            case Due.NO_PONG:
                self._give_up()
                return now + limits.close_timeout
            case Due.STALLED:
                self.context.counters.drops["overflow"] += 1
                self.abort(Closed(Cause.OVERFLOW, 1006, f"took no byte for {limits.backlog_timeout:g} s"))
        return None
