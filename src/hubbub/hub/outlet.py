"""The write side of one socket: where bytes leave, and the backlog of those that could not yet.

`outlet_for` chooses: a plain TCP or Unix socket gets the compiled outlet, which writes to the descriptor itself, from
any thread; TLS, and everything where nothing is compiled, gets the one in this file, over a transport. Their contract
is one.

Both of a hub's ways out go through it, a broadcast and `Socket.write`, from any thread. The transport itself is
touched only by the event loop that owns it, which keeps frames whole; another thread lets its frames wait in the
backlog and asks the loop to flush. All of it happens under the lock, so that a signal's handler, which may come between
any two steps of a transport's `write`, does not write into the middle of a frame.

The loop writes to the transport while the outlet is `ready`. Another thread that lets a frame wait ends that first, and
only `flush`, on the loop, brings it back: so what that thread sends later cannot overtake the frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union, cast

from hubbub.hub.backlog import Backlog, Outcome, Overflow, TotalBacklog, Waiting, affordable
from hubbub.hub.statistics import Counters, fanout
from hubbub.limits import Limits
from hubbub.lock import carry_out, inside, lock, perform, put_off
from hubbub.logs import logger
from hubbub.wire import Frame, frame

if TYPE_CHECKING:
    from hubbub.hub.memberships import Memberships
    from hubbub.hub.register import Register
    from hubbub.native._fanout import Outlet as CompiledOutlet

__all__ = ["OUTLETS", "AnyOutlet", "Outlet", "Owner", "Sink", "outlet_for", "total_backlog"]

AnyOutlet: TypeAlias = Union["Outlet", "CompiledOutlet"]

LARGE = 64 * 1024  # bytes beyond which a message begins only if all of it might wait
PORTION = 64 * 1024  # bytes of a frame given to a transport at once
FLUSH_SIZE = 64 * 1024  # bytes joined into one write when a backlog leaves: about what a socket buffer takes at once


TOTAL: TotalBacklog = TotalBacklog() if fanout is None else fanout.TotalBacklog()
"""One for both kinds of outlets, for a process may have both."""


class Sink(Protocol):
    """What an outlet needs of a transport: `asyncio.WriteTransport` has it."""

    def write(self, data: bytes, /) -> None: ...
    def get_write_buffer_size(self) -> int: ...


class Owner(Protocol):
    """The connection behind an outlet. Called on its event loop."""

    def cut(self, cause: str) -> None:
        """The connection is given up: its backlog passed a limit ("overflow", "budget"), it took nothing for too long
        ("stalled"), or it raised ("error")."""

    def dropped(self, count: int) -> None:
        """So many messages to this socket were dropped."""

    def drained(self) -> None:
        """Nothing waits any more, or it ended: what `tell_when_drained` asked for."""

    def flushed(self) -> None:
        """The backlog, the last frame included, has left."""


class Outlet:
    """An outlet over an asyncio transport, plain or TLS, or whatever else takes frames.

    A transport is given a large frame in portions: one over TLS encrypts at once all that it is given, for another one
    below, and does not tell what waits there.

    Args:
        portion: bytes given at once; 0: frames leave whole.
    """

    __slots__ = (
        "_backlog",
        "_flushing",
        "_held",
        "_lacking",
        "_limits",
        "_lost",
        "_owner",
        "_paused",
        "_portion",
        "_rest",
        "_telling",
        "counters",
        "ending",
        "form",
        "hubs",
        "loop",
        "memberships",
        "open",
        "overflow",
        "ready",
        "sink",
        "thread",
        "transmit",
    )

    def __init__(
        self,
        sink: Sink,
        owner: Owner,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        counters: Counters,
        portion: int = 0,
    ) -> None:
        self.sink: Sink = sink
        self._portion = portion
        self._rest = memoryview(b"")  # of a frame of which the transport has some portions
        self._owner = owner
        self._limits = limits
        self._backlog: Backlog | None = None  # made when first needed, dropped when drained: idle sockets have none
        self._paused = False  # the transport waits for the kernel
        self._held = 0  # bytes that the transport holds, as counted in the total of all sockets
        self._flushing = False  # a flush is on its way to the loop
        self._telling = False  # the owner wants to hear when nothing waits any more
        self._lost = 0  # dropped messages that the owner has not been told of yet
        self._lacking = False  # a channel's message was dropped, and so are those that follow, until `go_on`
        self.transmit: Callable[[bytes], None] = self._write_in_portions if portion else sink.write
        self.loop: asyncio.AbstractEventLoop = loop
        self.thread: int = get_ident()
        self.open: bool = False  # accepts frames
        self.ready: asyncio.AbstractEventLoop | None = None  # while nothing waits, the loop that may call `transmit`
        self.form: int | None = None  # None: plain frames; else the window bits of permessage-deflate
        self.ending: Any = None  # what `finish` said as it ended it, or why it was cut
        self.counters: Counters = counters
        self.overflow: Overflow = Overflow.DISCONNECT
        self.hubs: tuple[Register, ...] = ()
        self.memberships: Memberships = None

    def start(self, form: int | None, greeting: bytes) -> None:
        """The connection is up: the greeting goes out, and frames are accepted from here on, in that form."""
        if greeting:
            self.sink.write(greeting)
        self.form = form
        self.open = True
        self.ready = None if self._paused else self.loop

    def count_in(self, counters: Counters) -> None:
        """Count with those from here on."""
        self.counters = counters

    def write(self, frame: Frame) -> bool:
        """Send one frame, after everything that this thread has broadcast to the socket's channels before.

        Returns: whether it was accepted: False once the socket is closed, or when the policy drops it.
        """
        if self.form is not None:
            frame._encoded(self.form)  # compressing may take its time: not under the lock
        if put_off:
            carry_out()
        if inside():
            put_off.append((self._write, (frame,)))
            return self.open
        try:
            with lock:
                return self._write(frame)
        finally:
            if put_off:
                carry_out()

    def _write(self, frame: Frame) -> bool:
        for hub in self.hubs:
            hub._catch_up(self)
        if not self.deliver((frame,), None):
            return False
        self.counters.writes += 1
        return True

    def send(self, data: str | bytes) -> bool:
        """`write`, for a plain form: the compiled outlet needs no Frame for it."""
        return self.write(frame(data))

    def deliver(self, frames: Sequence[Frame], channel: Hashable | None) -> int:
        """Send frames of a channel, joined; None: of nobody but this socket. With the lock held.

        Returns: how many were accepted.
        """
        if not self.open:
            self.counters.drops["closed"] += len(frames)
            return 0
        encoded = [frame._ready(self.form) for frame in frames]
        if len(encoded) > 1 and self._may_begin(sum(map(len, encoded))):
            self._pass_on(b"".join(encoded))
            return len(frames)
        return sum(self._give(data, channel) for data in encoded)

    def _give(self, data: bytes, channel: Hashable | None) -> bool:
        if self._may_begin(len(data)):
            self._pass_on(data)
            return True
        accepted = self._wait(Waiting(data, channel))
        self._request_flush()
        return accepted

    def _may_begin(self, size: int) -> bool:
        """Whether so much may go to the transport now; of much only what might wait there."""
        if not self.ready or get_ident() != self.thread:
            return False
        return size <= LARGE or affordable(0, size, TOTAL.used, self._limits.max_total_backlog)

    def _pass_on(self, data: bytes) -> None:
        self.transmit(data)
        self.counters.bytes += len(data)

    def control(self, data: bytes) -> bool:
        """Send a ping or pong. Of those that wait only the latest does."""
        sent = perform(self._control, data)
        return self.open if sent is None else sent

    def _control(self, data: bytes) -> bool:
        if not self.open:
            return False
        if self.ready and get_ident() == self.thread:
            self.transmit(data)
        else:
            self._waiting().put_control(data)
            self._request_flush()
        return True

    def finish(self, data: bytes, why: Any = None) -> bool:
        """Send the last frame, after what waits, and leave every channel; then the owner's `flushed` is called, on
        the loop.

        Args:
            why: is `ending` from this very moment on, if it is this call that ends the outlet.

        Returns: False if the outlet was finished, cut or detached already.
        """
        finished = perform(self._finish, data, why)
        self._leave_hubs()  # now: the peer may take its time to answer
        return self.open if finished is None else finished

    def _finish(self, data: bytes, why: Any) -> bool:
        if self.open:
            self._catch_up()
        if not self.open:  # or no longer: what it had yet to get has cut it
            return False
        self.ending = why
        self._put_last(data)
        self.open, self.ready = False, None
        self._end_waits()
        self.call_owner(self._tell_when_flushed)
        return True

    def detach(self) -> None:
        """The transport is gone: from here on nothing is written, and every hub forgets the socket."""
        perform(self._detach)
        self._leave_hubs()

    def _detach(self) -> None:
        self.open, self.ready = False, None
        self.transmit = _nowhere
        if self._backlog is not None:
            self.counters.drops["closed"] += self._backlog.clear()
            self._backlog = None
        self._paused = False
        self._rest = memoryview(b"")
        self._hold(0)
        self._end_waits()

    def _end_waits(self) -> None:
        if self._telling:
            self._telling = False
            self.call_owner(self._owner.drained)

    def _catch_up(self) -> None:
        for hub in self.hubs:
            hub._catch_up(self)

    def _leave_hubs(self) -> None:
        for hub in self.hubs:
            hub._forget(self)

    @property
    def buffered(self) -> int:
        """Bytes accepted that the kernel has not taken, the transport's own buffer included."""
        if self.transmit is _nowhere:
            return 0
        backlog = self._backlog
        return self._begun() + (backlog.size if backlog is not None else 0)

    @property
    def clogged(self) -> bool:
        """Whether anything waits for the kernel."""
        return self._paused or self._backlog is not None

    def tell_when_drained(self) -> bool:
        """Whether it is open and anything waits; if so, `drained` is called when that is no longer so."""
        self._telling = self.open and self.clogged
        return self._telling

    def fail(self, error: Exception) -> None:
        """Writing raised. It costs this connection and no other. With the lock held."""
        self.counters.drops["error"] += 1
        self.ending = self.ending or "error"
        self._end_waits()
        self.open, self.ready = False, None
        self.call_owner(self._give_up, error)

    def _give_up(self, error: Exception) -> None:
        logger.error("writing to a socket failed; it is cut", exc_info=error)
        self._owner.cut("error")

    def pause(self) -> None:
        """The transport's buffer holds something: asyncio calls this inside `transmit`, so without the lock."""
        self.ready = None
        if self.transmit is not _nowhere:
            self._paused = True
            self._hold(self._begun())

    def _hold(self, size: int) -> None:
        """Count what the transport holds. A frame that has begun, and whose rest may not wait, costs the connection."""
        with lock:
            if self._held:  # what TLS adds to bytes that are counted already is not
                size = min(size, self._held)
                TOTAL.add(size - self._held)
            elif not TOTAL.claim(0, size, self._limits.max_total_backlog):
                self._cut("budget")
                return
            self._held = size

    def _let_go(self) -> None:
        """What was held has been given to the transport: that is all, unless it waits for the kernel again."""
        if not self._paused:
            self._hold(0)

    def _begun(self) -> int:
        """Bytes that no policy takes back."""
        return self.sink.get_write_buffer_size() + len(self._rest)

    def _write_in_portions(self, data: bytes) -> None:
        if len(data) <= self._portion:
            self.sink.write(data)
        else:
            self._rest = memoryview(data)
            self._write_portions()

    def _write_portions(self) -> None:
        while self._rest and not self._paused:
            portion, self._rest = self._rest[: self._portion], self._rest[self._portion :]
            self.sink.write(bytes(portion))

    def resume(self) -> None:
        """The kernel has taken all of the transport's buffer."""
        self._paused = False
        self._hold(len(self._rest))
        self.flush()

    def flush(self) -> None:
        """Give the transport what waits, until it is full. On the loop."""
        if inside():  # in `transmit` already: a transport that took it all resumes us there
            self._request_flush()
            return
        with lock:
            self._flushing = False
            if self._rest:
                self._write_portions()
                self._let_go()
            while self._backlog is not None and not self._paused:
                if self._backlog:
                    data = self._backlog.take(FLUSH_SIZE)
                    self._held += len(data)
                    self.transmit(data)
                    self._let_go()
                if not self._backlog:
                    self._backlog = None
            self._be_ready()
            lost, self._lost = self._lost, 0
        if put_off:
            carry_out()
        if lost:
            self._owner.dropped(lost)
        if self._telling and not self.clogged:
            self._telling = False
            self._owner.drained()
        self._tell_when_flushed()

    def _be_ready(self) -> None:
        free = not (self._paused or self._lacking) and self._backlog is None
        self.ready = self.loop if self.open and free else None

    def go_on(self) -> None:
        """The program knows what was dropped: messages of channels are sent again, under "drop-rest"."""
        perform(self._go_on)

    def _go_on(self) -> None:
        self._lacking = False
        self._be_ready()

    def _tell_when_flushed(self) -> None:
        if not self.open and self._backlog is None and not self._rest:
            self._owner.flushed()

    def _waiting(self) -> Backlog:
        if self._backlog is None:
            self.ready = None
            limits = self._limits
            self._backlog = Backlog(limits.max_backlog, limits.max_total_backlog, self.overflow, TOTAL)
        return self._backlog

    def _put_last(self, data: bytes) -> None:
        if self.ready and get_ident() == self.thread:
            self.transmit(data)
        else:
            self._waiting().add(Waiting(data, None, control=True))
            self._request_flush()

    def _wait(self, frame: Waiting) -> bool:
        """Let one frame wait, and carry out what the overflow policy says."""
        if not self.open:
            self.counters.drops["closed"] += 1
            return False
        if self._lacking and frame.channel is not None:
            outcome = Outcome(False, 1, "overflow")
        else:
            outcome = self._waiting().add(frame, self._begun() if self._paused else 0)
        if outcome.dropped:
            self.counters.drops[outcome.cause] += outcome.dropped
            self._lost += outcome.dropped
            if self.overflow is Overflow.DROP_REST and frame.channel is not None:
                self._lacking, self.ready = True, None
        if outcome.disconnect:
            self._cut(outcome.cause)
        elif outcome.accepted:
            self.counters.bytes += len(frame.data)
        return outcome.accepted

    def _cut(self, cause: str) -> None:
        if self._backlog is not None:
            self.counters.drops[cause] += self._backlog.clear()
        self.ending = self.ending or cause
        self.open, self.ready = False, None
        self._end_waits()
        self.call_owner(self._owner.cut, cause)

    def _request_flush(self) -> None:
        # A paused transport flushes when it resumes; but the owner is to hear of drops before that.
        if not self._flushing and (not self._paused or self._lost):
            self._flushing = True
            self.call_owner(self.flush)

    def call_owner(self, callback: Callable[..., None], *args: object) -> None:
        try:
            if get_ident() == self.thread:
                self.loop.call_soon(callback, *args)
            else:
                self.loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is closed, and with it every connection it had
            self.open, self.ready = False, None
            put_off.append((self.detach, ()))


def _nowhere(data: bytes, /) -> None:
    """Where a detached outlet writes to."""


OUTLETS: tuple[type, ...] = (Outlet,) if fanout is None else (Outlet, fanout.Outlet)


def outlet_for(
    transport: asyncio.Transport, owner: Owner, loop: asyncio.AbstractEventLoop, limits: Limits, counters: Counters
) -> AnyOutlet:
    """The outlet of a connection, the compiled one if it may be."""
    tls = transport.get_extra_info("sslcontext") is not None
    give: Callable[[], None] | None = getattr(transport, "give", None)
    if (
        fanout is not None and give is not None and not tls
    ):  # a compiled transport, whose descriptor the outlet takes over
        descriptor: int = cast("Any", transport).fileno()
        owning: CompiledOutlet = fanout.Outlet(descriptor, owner, loop, limits, counters, owned=True)
        give()
        return owning
    socket: Any = transport.get_extra_info("socket")
    if fanout is not None and socket is not None and not tls:
        compiled: CompiledOutlet = fanout.Outlet(socket.fileno(), owner, loop, limits, counters)
        return compiled
    transport.set_write_buffer_limits(high=1, low=0)  # whatever the kernel does not take at once pauses us
    return Outlet(transport, owner, loop, limits, counters, PORTION)


def total_backlog() -> int:
    """Bytes that wait for all sockets of this process, what a paused transport holds included."""
    return TOTAL.used
