"""The pool of writers, on the event loop: shards that have mail are written to in slices, in turns.

A turn of the loop belongs to everybody: each writer of the pool makes at most one slice's worth of sends in it, then
its shard goes to the end of the queue. So a huge channel holds up neither the loop nor other channels, and a shard is
never with two writers at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from threading import Condition, get_ident
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from hubbub.hub.mailbox import Mailbox
from hubbub.hub.outlet import LARGE
from hubbub.lock import carry_out, lock, put_off
from hubbub.logs import logger
from hubbub.native import compiled
from hubbub.supervision import Pauses

if TYPE_CHECKING:
    from hubbub.hub.channel import Channel, Seat
    from hubbub.hub.mailbox import Batch
    from hubbub.hub.outlet import Outlet
    from hubbub.hub.register import Register
    from hubbub.limits import Limits

__all__ = ["Writers"]

_reactor: Any = compiled("_reactor")
spread: Any = None if _reactor is None else _reactor.spread

MOMENT = 0.00025  # seconds at most between two batches of one shard: a 32nd of what the first one took
RECORD = 16 * 1024  # bytes that TLS encrypts at once
SLICE = 128  # sends of one writer in one turn: about 0.4 ms
SLICE_SIZE = 2 * 1024 * 1024  # bytes of one writer in one turn: large messages make smaller slices


class Writers:
    """A hub's pool on one event loop. It grows while shards wait, and shrinks when they do not.

    Args:
        least: writers that always exist.
        most: writers at the most; one turn of the loop makes at most `most * SLICE` sends.
    """

    shard_size: int = 4096

    def __init__(self, hub: Register, least: int, most: int, loop: asyncio.AbstractEventLoop) -> None:
        self._hub = hub
        self.limits: Limits = hub.limits  # of which those of mailboxes are used
        self._least = least
        self._most = most
        self._room = Condition(lock)
        self._waiting_for_room = 0
        self._counters = hub._counters
        self.loop: asyncio.AbstractEventLoop = loop
        self.thread: int = get_ident()  # that the loop runs on
        self.outlets: dict[Outlet, None] = {}  # the hub's sockets that live on it
        self.ended: bool = False
        self._scheduled = False
        self._pauses = Pauses(first=0.01)
        self._began = 0.0  # when the batch at hand was
        self._listen_until = 0.0
        self.queue: deque[Mailbox] = deque()  # shards that wait for a writer
        self._size = least
        self._busy = 0
        _end_with(loop, self)

    def end(self) -> None:
        """The loop is closed: its sockets are gone, and leave the hub."""
        self.ended = True
        self._hub._end(self)

    @property
    def failures(self) -> int:
        return self._pauses.failures

    @property
    def size(self) -> int:
        return self._size

    @property
    def busy(self) -> int:
        return self._busy if self.queue else 0

    @property
    def waiting(self) -> int:
        return sum(len(shard.entries) for shard in self.queue)

    def shard(self, channel: Channel) -> Mailbox:
        return Mailbox(self, channel)

    def count(self, deliveries: int) -> None:
        """So many messages went out in one send."""
        self._counters.deliveries += deliveries
        self._counters.sends += 1

    def wait_for_room(self, seconds: float) -> None:
        """Wait until a mailbox was emptied, with the lock held, which is released meanwhile."""
        self._waiting_for_room += 1
        self._room.wait(seconds)
        self._waiting_for_room -= 1

    def wake(self, shard: Mailbox) -> None:
        """A mailbox has mail. Called with the lock held, from any thread."""
        if not shard.queued:
            shard.queued = True
            self.queue.append(shard)
            self._schedule()

    def _schedule(self) -> None:
        if self._scheduled or self.ended:
            return
        self._scheduled = True
        try:
            if get_ident() == self.thread:
                self.loop.call_soon(self._turn)
            else:
                self.loop.call_soon_threadsafe(self._turn)
        except RuntimeError:  # it was closed behind our back
            put_off.append((self.end, ()))

    def _turn(self) -> None:
        """One turn of the loop."""
        try:
            self._write_slices()
        finally:
            if put_off:
                carry_out()

    def _write_slices(self) -> None:
        """A slice's worth of sends for each writer that finds a shard. The lock is held for one slice at a time."""
        self._scheduled = False
        self._busy = 0
        if self._listen_until:
            if time.monotonic() < self._listen_until:
                self._schedule()
                return
            self._listen_until = 0.0
        for _ in range(self._size):
            if not self.queue or self._listen_until:
                break
            self._busy += 1
            started = time.monotonic()
            try:
                self._work()
            except Exception:
                pause = self._pauses.after(time.monotonic() - started)
                logger.exception("a writer failed; starting it again in %.2f s", pause)
                self._scheduled = True
                self.loop.call_later(pause, self._turn)
                return
        with lock:
            if self.queue:
                self._size = min(self._size + 1, self._most)
                self._schedule()
            elif self._busy < self._size:
                self._size = max(self._size - 1, self._least)

    def _work(self) -> None:
        """What one writer does in one turn."""
        room = SLICE
        while room > 0 and self.queue:
            batch = self.queue[0].next()  # only this thread takes from the queue
            with lock:
                shard = self.queue.popleft()
                members: list[Seat] = []
                if shard.batch is None:
                    self._began = time.monotonic()
                try:
                    most = min(room, max(1, SLICE_SIZE // batch.size))
                    members = shard.slice(batch, most)
                    room -= max(len(members), SLICE // 16) if most == room else room
                    self._write(members, batch)
                    if shard.position == 0:
                        shard.finish()
                        if shard.entries and not self.queue:
                            room = self._listen_for_answers(room)
                        if self._waiting_for_room:
                            self._room.notify_all()
                except Exception:
                    shard.position += len(members)  # the slice again: cursors tell who was served already
                    raise
                finally:
                    if shard.batch is None and not shard.entries:
                        shard.queued = False
                    else:
                        self.queue.append(shard)

    def _listen_for_answers(self, room: int) -> int:
        """After a long batch, and with another one waiting, a moment for what the one that left is answered with: else
        those answers miss the next batch, and two half ones take turns for ever. Returns the room that is left."""
        now = time.monotonic()
        pause = min((now - self._began) / 32, MOMENT)
        if pause < MOMENT / 8:
            return room
        self._listen_until = now + pause
        return 0

    def _write(self, members: list[Seat], batch: Batch) -> None:
        """Give the batch to these members. The loop that the whole library is about."""
        start, end, excluded, loop = batch.start, batch.end, batch.excluded, self.loop
        data = batch.joined(None)
        large = len(batch.entries) == 1 and batch.size > LARGE
        alike = sends = deliveries = size = 0
        if spread is not None and len(data) <= RECORD:
            alike, members = spread(members, start, end, loop, excluded, data)
        for member in members:
            outlet = member.outlet
            try:
                usual = member.cursor == start and outlet.ready is loop and not large
                if usual and not (excluded and outlet in excluded):
                    member.cursor = end
                    if outlet.form is None:
                        outlet.transmit(data)
                        alike += 1
                        continue
                    other = batch.joined(outlet.form)
                    outlet.transmit(other)
                    size += len(other)
                    deliveries += len(batch.entries)
                    sends += 1
                elif member.cursor < end:
                    missing = batch.missing(member)
                    member.cursor = end
                    if missing:
                        deliveries += outlet.deliver(missing, member.shard.channel.id)
                        sends += 1
            except Exception as error:
                outlet.fail(error)
        counters = self._counters
        counters.sends += sends + alike
        counters.deliveries += deliveries + alike * len(batch.entries)
        counters.bytes += size + alike * len(data)


_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakSet[Writers]] = WeakKeyDictionary()


def _end_with(loop: asyncio.AbstractEventLoop, pool: Writers) -> None:
    """A loop that is closed with connections open tells nobody: so its `close` ends the pools first."""
    pools = _pools.get(loop)
    if pools is None:
        pools = _pools[loop] = WeakSet()
        close = loop.close

        def end_and_close() -> None:
            if not loop.is_running():  # or it refuses, and goes on
                for ending in list(_pools.get(loop, ())):
                    ending.end()
            close()

        loop.close = end_and_close  # type: ignore[method-assign]
    pools.add(pool)
