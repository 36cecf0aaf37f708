"""One process's part of a run: open, join, publish on schedule, wait for what is late, give account."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import time
from collections import Counter
from multiprocessing.connection import Connection

from hubbub.load.client import NEVER, Client, Reception
from hubbub.load.dial import Dialler, reason, tls_context
from hubbub.load.histogram import Histogram
from hubbub.load.link import Link
from hubbub.load.plan import Share
from hubbub.load.rooms import Rooms
from hubbub.load.tally import Progress, Published, Ready, Tally
from hubbub.system import allow_descriptors

__all__ = ["Worker", "work"]

OPENING = 256  # connections under way at once: more would wait in the server's accept queue, and overflow it
BURST = 256  # messages sent at once, and then
BREATH = 1_000_000  # nanoseconds at least in which what came is read
TELLING = 0.25  # seconds between two words about progress
QUIET = 0.5  # seconds without a delivery, after which publishers are taken not to get their own messages
CLOSING = 1.0  # seconds for the closing handshakes
TURN = 0.02  # seconds between two looks at whether something has come to its end


def work(share: Share, pipe: Connection) -> None:
    """Run a share in this process.

    On asyncio's own loop: it reads once from each connection and then looks at the time. uvloop reads on for as long as
    there is more, seconds if the server is fast, and neither the schedule nor the end can be kept.
    """
    allow_descriptors()
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(_work(share, pipe))


async def _work(share: Share, pipe: Connection) -> None:
    link = Link(pipe)
    await Worker(share, link).run()
    link.close()


class Worker:
    """One process's part of a run."""

    def __init__(self, share: Share, link: Link) -> None:
        self._share = share
        self._plan = share.plan
        self._link = link
        self._reception = Reception(share)
        self._clients: list[Client] = []
        self._rooms: Rooms[Client] = Rooms()
        self._tls: ssl.SSLContext | None = None
        self._opening = Histogram()
        self._behind = Histogram()
        self._busy = 0.0
        self._done = 0  # messages of the schedule, whether somebody was there to send them or not
        self._published = 0  # nanoseconds
        self._late = False
        self._start = 0

    async def run(self) -> None:
        """All of it, in order."""
        telling = asyncio.create_task(self._tell())
        await self._open_all()
        unsettled = await self._settle()
        self._link.tell(Ready())
        start = await self._link.start()
        gc.collect()
        gc.freeze()
        gc.disable()  # nothing here makes cycles, and a collection is a pause that the server would be blamed for
        if start is not None:
            self._start = start.at
            await self._publish()
        self._link.tell(Published(self._reception.ledger.sent))
        totals = await self._link.totals()
        expected = self._reception.ledger.expected(totals.sent if totals is not None else ())
        await self._drain(expected)
        telling.cancel()
        self._link.tell(self._tally(expected, unsettled))
        await self._leave_all()

    async def _open_all(self) -> None:
        """Open every connection at the pace of the ramp."""
        self._tls = tls_context(self._plan)
        dialler = Dialler(self._plan.target)
        places = asyncio.Semaphore(OPENING)
        began = time.monotonic()
        opening: set[asyncio.Task[None]] = set()
        stopping = asyncio.create_task(self._link.stopped.wait())
        stopping.add_done_callback(lambda _: [task.cancel() for task in opening])
        async with asyncio.TaskGroup() as group:
            for index, number in enumerate(self._share.connections):
                pause = began + self._share.opens_at(index) - time.monotonic()
                if pause > 0:
                    await _unless(self._link.stopped, pause)
                await places.acquire()
                if self._link.stopped.is_set():
                    break
                task = group.create_task(self._open(dialler, number))
                opening.add(task)
                task.add_done_callback(opening.discard)
                task.add_done_callback(lambda _: places.release())
        stopping.cancel()

    async def _open(self, dialler: Dialler, number: int) -> None:
        began = time.monotonic_ns()
        client = Client(self._reception, number)
        try:
            async with asyncio.timeout(self._plan.timeout):
                await dialler.open(client, number, self._tls)
                await client.opened
        except Exception as error:
            self._reception.count(self._reception.failed, reason(error, self._plan.timeout))
            client.abort()
            return
        except asyncio.CancelledError:
            client.abort()
            raise
        self._opening.record(time.monotonic_ns() - began)
        self._clients.append(client)
        self._rooms.add(self._plan.room(number), client)
        client.join()

    async def _settle(self) -> int:
        """Wait until the server has read all joins, then a little. Returns how many pings it left unanswered."""
        give_up = time.monotonic() + self._plan.timeout
        waiting = self._clients
        while waiting and time.monotonic() < give_up and not self._link.stopped.is_set():
            waiting = [client for client in waiting if not (client.settled or client.ended)]
            await asyncio.sleep(TURN if waiting else 0)
        await _unless(self._link.stopped, self._plan.settle)
        return len(waiting)

    async def _publish(self) -> None:
        """Send what is due, and count how late. Ends with the duration, even if not everything was sent."""
        reception, stopped = self._reception, self._link.stopped
        end = self._start + int(self._plan.duration * 1e9)
        await _unless(stopped, (self._start - reception.clock()) / 1e9)
        busy, began = time.process_time(), time.monotonic()
        reception.publish = self._publish_due
        while not stopped.is_set() and reception.gone.total() < len(self._clients) and (now := reception.clock()) < end:
            self._publish_due(now)
            pause = min(reception.due, end) - reception.clock()
            await asyncio.sleep(min(max(pause / 1e9, 0.0), TELLING))
        reception.due = NEVER
        self._published = max(min(reception.clock(), end) - self._start, 0)
        if (took := time.monotonic() - began) >= TELLING:  # shorter ones are all beginning
            self._busy = (time.process_time() - busy) / took

    def _publish_due(self, now: int) -> None:
        schedule, elapsed = self._share.schedule, (now - self._start) / 1e9
        due = schedule.due(elapsed)
        if due > self._done:
            self._behind.record(int((elapsed - schedule.at(self._done)) * 1e9))
        until = min(due, self._done + BURST)
        for _ in range(self._done, until):
            if (client := self._rooms.next()) is not None:
                client.say()
        self._done = until
        next_at = self._start + int(schedule.at(until) * 1e9) if until < schedule.total else NEVER
        self._reception.due = max(next_at, now + BREATH)

    async def _drain(self, expected: int) -> None:
        """Wait for what is late: until all has come, nobody is left who could get it, or the time is over."""
        ledger = self._reception.ledger
        give_up = time.monotonic() + self._plan.drain
        while any(not client.ended for client in self._clients):
            quiet = self._reception.clock() - ledger.last > QUIET * 1e9
            all_but_own = ledger.received >= expected - ledger.own_sent and not ledger.own
            if ledger.received >= expected or (all_but_own and (quiet or self._plan.to_self is False)):
                break
            if time.monotonic() >= give_up:
                self._late = not (quiet or all_but_own)
                break
            await asyncio.sleep(TURN)

    async def _leave_all(self) -> None:
        self._reception.ending = True
        for client in self._clients:
            client.leave()
        give_up = time.monotonic() + CLOSING
        for client in self._clients:
            while not client.ended and time.monotonic() < give_up:  # noqa: ASYNC110 - events for all would cost more
                await asyncio.sleep(TURN)
        for client in self._clients:
            client.abort()
        await asyncio.sleep(0)

    async def _tell(self) -> None:
        """Tell the parent how far it is, again and again."""
        busy, at = time.process_time(), time.monotonic()
        while True:
            await asyncio.sleep(TELLING)
            busy_before, before, busy, at = busy, at, time.process_time(), time.monotonic()
            ledger, reception = self._reception.ledger, self._reception
            self._link.mention(
                Progress(
                    connected=len(self._clients),
                    failed=reception.failed.total(),
                    gone=reception.gone.total(),
                    sent=ledger.own_sent,
                    received=ledger.received,
                    wrong=ledger.duplicates + ledger.reordered + ledger.strays,
                    busy=(busy - busy_before) / (at - before),
                    latency=ledger.latency,
                )
            )

    def _tally(self, expected: int, unsettled: int) -> Tally:
        ledger, reception = self._reception.ledger, self._reception
        return Tally(
            connected=len(self._clients),
            failed=reception.failed,
            gone=Counter(reception.gone),
            unsettled=unsettled,
            opening=self._opening,
            planned=self._share.schedule.total,
            sent=ledger.own_sent,
            expected=expected,
            own_expected=ledger.own_sent,
            received=ledger.received,
            own=ledger.own,
            duplicates=ledger.duplicates,
            reordered=ledger.reordered,
            strays=ledger.strays,
            bytes=reception.bytes,
            published=self._published,
            last=max(ledger.last - self._start, 0),
            latency=ledger.latency,
            late=int(self._late),
            behind=self._behind,
            busy=[self._busy],
        )


async def _unless(stopped: asyncio.Event, seconds: float) -> None:
    """Sleep, unless it is to stop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopped.wait()
