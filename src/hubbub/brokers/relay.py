"""A relay: the process that joins the others of its machine. `python -m hubbub.brokers.relay SOCKET`

The first node that finds none starts one. It has the socket's lock for as long as it lives, so there is one for each
path; it ends some seconds after its last node has gone. Killed, it is followed by the next one, which some node starts.
It belongs to no worker, so workers come and go without it.

In it is an engine in memory, or one that keeps a SQLite file. What one turn of its event loop brings is appended
together, and what a turn brings for a node leaves in one write.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from hubbub.brokers import messages as m
from hubbub.brokers.contract import Outgoing, Publication, Published
from hubbub.brokers.memory import Engine, MemoryBroker
from hubbub.brokers.places import is_own, place_beside, place_of
from hubbub.errors import Misuse
from hubbub.logs import logger, on_stderr
from hubbub.system import AF_UNIX, lock_file

__all__ = ["Relay", "main", "serve"]

BACKLOG = 16 * 1024 * 1024  # bytes that wait for one node, beside one message; a node that reads nothing is cut
GRACE = 0.2  # seconds in which the nodes of one that was killed may come, before anything is handed over
LINGER = 3.0  # seconds without a node until it ends


class Relay:
    """The engine and the links to its nodes."""

    def __init__(self, engine: Engine, idle: Callable[[], None], opens: float) -> None:
        self.engine = engine
        self._opens = opens  # when, by the loop's clock
        self._idle = idle
        self.links: set[Link] = set()
        self._waiting: list[tuple[Link, int, list[m.Packed]]] = []
        self._writing: list[Link] = []  # those with something to be written
        self._told: tuple[Any, bytes] = (None, b"")

    def append(self, link: Link, number: int, batch: list[m.Packed]) -> None:
        """Together with what else comes in this turn."""
        if not self._waiting:
            loop = asyncio.get_running_loop()
            if loop.time() < self._opens:
                loop.call_at(self._opens, self._append)
            else:
                loop.call_soon(self._append)
        self._waiting.append((link, number, batch))

    def _append(self) -> None:
        waiting, self._waiting = self._waiting, []
        everything: list[Outgoing] = []
        wrong: dict[int, str] = {}
        for at, (_, _, batch) in enumerate(waiting):
            try:
                everything += [one.opened() for one in batch]
            except ValueError as error:
                wrong[at] = str(error)
        results = iter(self.engine.append(everything))
        for at, (link, number, batch) in enumerate(waiting):
            if at in wrong:
                link.answer(number, m.Refused(wrong[at]))
                continue
            own = [next(results) for _ in batch]
            failures = [str(result) for result in own if isinstance(result, Exception)]
            told = [result if isinstance(result, Published) else None for result in own]
            link.answer(number, m.Appended(told, failures[0] if failures else ""))
        self._write()

    def write_for(self, link: Link) -> None:
        """At the end of this turn, or of what is appended in it."""
        if not self._writing:
            asyncio.get_running_loop().call_soon(self._write)
        self._writing.append(link)

    def _write(self) -> None:
        writing, self._writing = self._writing, []
        for link in writing:
            link.flush()

    def told(self, channel: bytes, batch: Sequence[Publication]) -> bytes:
        """The message that tells these publications: the same bytes for every node."""
        if self._told[0] is not batch:
            self._told = (batch, m.framed(m.Told(channel, list(batch))))
        return self._told[1]

    def replace(self, link: Link, node: bytes) -> None:
        """That node has a new link. What it had asked for on another one is void: it finds out what became of it, and
        may ask again."""
        for other in [other for other in self.links if other.node == node and other is not link]:
            other.transport.abort()
            self._waiting = [waiting for waiting in self._waiting if waiting[0] is not other]

    def leave(self, link: Link) -> None:
        self.links.discard(link)
        if not self.links:
            self._idle()


class Link(asyncio.Protocol):
    """One node's connection. To the engine it is what the events of that node's broker go to."""

    transport: asyncio.Transport

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._broker = MemoryBroker(relay.engine)
        self.node: bytes = b""
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A process has come."""
        self.transport = cast("asyncio.Transport", transport)
        if not is_own(transport.get_extra_info("socket")):
            logger.warning("a process of another user was refused")
            self.transport.abort()
        self._relay.links.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._gone = True
        self._begin(self._broker.close())
        self._relay.leave(self)

    def data_received(self, data: bytes) -> None:
        """Take what came apart."""
        self._buffer += data
        try:
            for message in m.cut(self._buffer):
                self._take(m.request_from(message))
        except Exception as error:
            logger.warning("a node was cut, for it said something that is not understood: %s", error)
            self.transport.abort()

    def _take(self, request: Any) -> None:
        if isinstance(request, m.Hello):
            if self.node or request.version != m.VERSION:
                raise ValueError(f"a node of version {request.version}: this relay is of version {m.VERSION}")
            self.node = request.node
            self._relay.replace(self, request.node)
            self.write(m.framed(m.Welcome(m.VERSION, os.getpid())))
            self._begin(self._broker.start(request.node, self))
        elif not self.node:
            raise ValueError("no hello")
        elif isinstance(request.ask, m.Append):
            self._relay.append(self, request.number, request.ask.batch)
        else:
            self._begin(self._answer(request.number, request.ask))

    async def _answer(self, number: int, ask: m.Ask) -> None:
        broker = self._broker
        answer: m.Answer = m.Done()
        match ask:
            case m.Subscribe(channels):
                answer = m.Stand(list(await broker.subscribe(channels)))
            case m.Unsubscribe(channels):
                await broker.unsubscribe(channels)
            case m.Positions(channels):
                answer = m.Stand(list(await broker.positions(channels)))
            case m.Read(channel, since, limit, reverse):
                answer = m.Found(await broker.history(channel, since, limit, reverse))
            case m.Forget(channel):
                await broker.forget(channel)
            case m.Present(changes):
                await broker.present(changes)
            case m.Who(channel, limit):
                answer = m.Here(await broker.presence(channel, limit))
            case m.Evict(node):
                answer = m.Dropped(list(await broker.evict(node)))
            case m.Control(data, node):
                await broker.control(data, node)
            case _:
                answer = m.Checked([(c.name, c.value, c.advice, c.fatal) for c in await broker.check()])
        self.answer(number, answer)

    def _begin(self, work: Any) -> None:
        """Of an engine in this process nothing waits: so each is over at once, and in order."""
        try:
            work.send(None)
        except StopIteration:
            return
        raise RuntimeError("an engine waited")

    def answer(self, number: int, answer: m.Answer) -> None:
        self.write(m.framed(m.Answered(number, answer)))

    def write(self, data: bytes) -> None:
        """Soon, with what else there is."""
        if self._gone:
            return
        if not self._out:
            self._relay.write_for(self)
        self._out.append(data)

    def flush(self) -> None:
        """Write what there is."""
        out, self._out = self._out, []
        waiting = self.transport.get_write_buffer_size()
        if waiting > BACKLOG:
            logger.warning("a node was cut, for it has read nothing of %d bytes", waiting)
            self.transport.abort()
        elif not self._gone:
            self.transport.write(b"".join(out))

    # Events of its broker

    def publications(self, channel: bytes, batch: Sequence[Publication]) -> None:
        """Tell the node."""
        self.write(self._relay.told(channel, batch))

    def control(self, node: bytes, data: bytes) -> None:
        """Tell the node."""
        self.write(m.framed(m.Controlled(node, data)))

    def gone(self, node: bytes) -> None:
        """Tell the node."""
        self.write(m.framed(m.Gone(node)))

    def gap(self, channels: Sequence[bytes] | None) -> None:
        """Within a process nothing is lost."""

    def state(self, up: bool, reason: str) -> None:
        """The node knows by its welcome."""


def lock(path: Path, waits: bool = False) -> int | None:
    """The lock of that socket, as a descriptor that is to stay open; None: another relay has it, and it `waits` not."""
    file = path.with_name(f"{path.name}.lock")
    descriptor = lock_file(file)
    if descriptor is None and waits:
        logger.warning("another relay serves %s: waiting until it ends, to take over", path)
        _say_ready()
        descriptor = lock_file(file, waits=True)
    return descriptor


def _say_ready() -> None:
    """Tell the service manager, if that wants to know (systemd's Type=notify)."""
    where = os.environ.pop("NOTIFY_SOCKET", "")
    if where and AF_UNIX is not None:
        with suppress(OSError), socket.socket(AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto(b"READY=1", f"\0{where[1:]}" if where.startswith("@") else where)


async def serve(path: Path, engine: Engine, linger: float = LINGER, ready: Callable[[], None] | None = None) -> None:
    """Until there has been no node for so long, or a signal comes. The socket's lock is the caller's.

    Args:
        ready: called when it listens.
    """
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    timer: asyncio.TimerHandle | None = None

    def idle() -> None:
        nonlocal timer
        if timer is not None:
            timer.cancel()
        timer = loop.call_later(linger, lambda: None if relay.links else over.set())

    # who ends in good order takes the socket away
    relay = Relay(engine, idle, loop.time() + GRACE if path.exists() else 0.0)  # noqa: ASYNC240
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    fresh = path.with_name(f"{path.name}~")  # the lock's owner alone makes it
    fresh.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        server = await loop.create_unix_server(lambda: Link(relay), str(fresh))
    finally:
        os.umask(before)
    fresh.rename(path)  # whoever finds a socket there finds one that listens
    idle()
    if ready is not None:
        ready()
    logger.debug("relaying at %s", path)
    await over.wait()
    path.unlink(missing_ok=True)  # noqa: ASYNC240
    server.close()
    for link in list(relay.links):
        link.transport.close()
    await asyncio.sleep(0)


def _event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed: between two processes each turn of the loop counts."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns: 0, or 1 when another relay is there already, or has the file, or there is no place for its socket."""
    parser = argparse.ArgumentParser(prog="hubbub relay", description="Join the processes of this machine.")
    parser.add_argument("socket", help="its path, or a name within the user's own folder")
    parser.add_argument("--sqlite", metavar="FILE", default="", help="keep histories there")
    parser.add_argument("--synchronous", default="normal", help="of SQLite: full, normal or off")
    parser.add_argument("--linger", type=float, default=LINGER, metavar="SECONDS",
                        help="end when there has been no process for so long; inf: never")  # fmt: skip
    parser.add_argument(
        "--service", action="store_true", help="wait for another relay to end, and say when it is ready"
    )
    given = parser.parse_args(arguments)
    with on_stderr():
        try:
            path = place_of(given.socket)
            places = {path, place_beside(given.sqlite)} if given.sqlite else {path}
        except Misuse as error:
            logger.error("%s", error)
            return 1
        held = [lock(place, given.service) for place in sorted(places)]
        if None in held:
            return 1
        engine = Engine()
        if given.sqlite:
            from hubbub.brokers.store import SqliteEngine

            engine = SqliteEngine(given.sqlite, given.synchronous)
        try:
            with asyncio.Runner(loop_factory=_event_loop()) as runner:
                runner.run(serve(path, engine, given.linger, _say_ready if given.service else None))
        finally:
            engine.close()
    return 0  # and let go of the locks with all else


if __name__ == "__main__":
    sys.exit(main())
