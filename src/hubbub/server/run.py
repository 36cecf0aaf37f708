"""`hubbub.run`: a server as a whole program, with signals, uvloop where it exists, and worker processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl as tls
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, TypeAlias

from hubbub import native
from hubbub.arguments import shown, whole
from hubbub.errors import Misuse
from hubbub.hub import Hub
from hubbub.limits import Limits
from hubbub.logs import logger, on_stderr
from hubbub.server.handler import Handler
from hubbub.server.server import DEFAULT_PORT, Server, serve
from hubbub.server.settings import hosts_of
from hubbub.server.workers import run_workers
from hubbub.system import allow_descriptors, needs_unix
from hubbub.wire import Deflate

__all__ = ["Loop", "event_loop", "run"]

Loop: TypeAlias = Literal["auto", "uvloop", "asyncio"]
SIGNALS = [signal.SIGINT, signal.SIGTERM]
if sys.platform == "win32":
    SIGNALS.append(signal.SIGBREAK)  # of a console that is closed


def event_loop(name: Loop = "auto") -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop: "uvloop", "asyncio", or "auto" for uvloop where it is installed.

    Raises: Misuse: another name, or uvloop where it is not installed.
    """
    if name not in ("auto", "uvloop", "asyncio"):
        raise Misuse(f"no event loop {name!r}: choose auto, uvloop or asyncio")
    if name != "asyncio":
        try:
            import uvloop

            return uvloop.new_event_loop
        except ImportError:
            if name == "uvloop":
                raise Misuse("uvloop is not installed: pip install uvloop, or choose loop='asyncio'") from None
    return asyncio.new_event_loop


def run(
    handler: Callable[[], Handler],
    *,
    hub: Hub | None = None,
    host: str | Sequence[str] = "127.0.0.1",
    port: int | None = None,
    uds: str | os.PathLike[str] | None = None,
    uds_mode: int = 0o666,
    sockets: Sequence[socket.socket] = (),
    ssl: tls.SSLContext | None = None,
    workers: int = 1,
    reuse_port: bool = False,
    limits: Limits | None = None,
    compression: Deflate | None = None,
    allowed_origins: Sequence[str] | None = None,
    health: str | None = "/health",
    loop: Loop = "auto",
    started: Callable[[Server], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then stop in good order and return; a second signal exits at once.

    Where the program has configured no logging, that of "hubbub" is shown on stderr meanwhile.

    Args:
        workers: processes that share the port. With several of them a hub needs a broker, such as "local:".
        loop: "auto", "uvloop" or "asyncio".
        started: called when the server accepts connections.

    All other arguments are those of `serve`.

    Raises:
        Misuse: arguments that are wrong or contradict each other; not the main thread, or inside an event loop.
        OSError: an address cannot be had.
    """
    _be_alone()
    allow_descriptors()
    factory = event_loop(loop)
    workers = whole("workers", workers, 1)
    if started is not None and not callable(started):
        raise Misuse(f"started is a function that takes the server, not {shown(started)}")
    settings: dict[str, Any] = {"hub": hub, "limits": limits, "compression": compression, "ssl": ssl, "host": host}
    settings |= {"allowed_origins": allowed_origins, "health": health}
    if workers == 1:
        settings |= {"port": port, "uds": uds, "uds_mode": uds_mode, "sockets": sockets, "reuse_port": reuse_port}
        with on_stderr():
            return _run_one(serve(handler, **settings), factory, started, _at_once)
    if hub is not None and not hub._spans:
        raise Misuse(
            "without a broker a hub's channels live in one process: use workers=1,"
            ' or Hub(broker="local:"), which joins the processes of this machine'
        )
    if uds is not None or sockets:
        raise Misuse("several workers share a TCP port: leave out uds and sockets")
    needs_unix("several workers", "one serves, and Hub(broker=...) joins it with others, each on a port of its own")
    settings |= {"reuse_port": True}
    port = DEFAULT_PORT if port is None else port
    serve(handler, **settings, port=port)  # or refuse, before there are workers

    def work(port: int, parent: int) -> None:
        _run_one(serve(handler, **settings, port=port), factory, started, _not_at_all, parent)

    with on_stderr():
        run_workers(workers, hosts_of(host), port, work)


def _be_alone() -> None:
    """Raises: Misuse: not in the main thread, which alone gets signals, or in an event loop that runs already."""
    advice = "use `async with hubbub.serve(Handler) as server: ...`, which takes no signals"
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        if threading.current_thread() is not threading.main_thread():
            raise Misuse(
                f"hubbub.run is a whole program, and waits for signals, which come to the main thread: here, {advice},"
                " in a coroutine that is given to asyncio.run"
            ) from None
    else:
        raise Misuse(f"hubbub.run is a whole program, and an event loop runs here already, as in a notebook: {advice}")


def _run_one(
    server: serve,
    factory: Callable[[], asyncio.AbstractEventLoop],
    started: Callable[[Server], None] | None,
    again: Callable[[int], None],
    parent: int | None = None,
) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve_until_signal(server, started, again, parent))


async def _serve_until_signal(
    server: serve, started: Callable[[Server], None] | None, again: Callable[[int], None], parent: int | None
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if parent is not None:
        loop.add_reader(parent, _on_orphaned, loop, parent, stop)
    with _signals(loop, partial(_on_signal, stop=stop, again=again)):
        async with server as running:
            for url in running.urls:
                logger.info("listening on %s (%s, %s)", url, type(loop).__module__.partition(".")[0], native.describe())
            if started is not None:
                started(running)
            await stop.wait()
            logger.info("stopping: a second signal exits at once")


@contextmanager
def _signals(loop: asyncio.AbstractEventLoop, call: Callable[[int], None]) -> Generator[None]:
    """Meanwhile a signal is a call on the loop."""
    before: dict[int, Any] = {}
    for number in SIGNALS:
        try:
            loop.add_signal_handler(number, call, number)  # until the loop is closed
        except NotImplementedError:  # by the loops of Windows
            before[number] = signal.signal(number, lambda came, _: loop.call_soon_threadsafe(call, came))
    try:
        yield
    finally:
        for caught, handler in before.items():
            signal.signal(caught, handler)


def _on_orphaned(loop: asyncio.AbstractEventLoop, parent: int, stop: asyncio.Event) -> None:
    loop.remove_reader(parent)
    logger.error("the parent of this worker is gone")
    stop.set()


def _on_signal(number: int, stop: asyncio.Event, again: Callable[[int], None]) -> None:
    if stop.is_set():
        again(number)
    stop.set()


def _at_once(number: int) -> None:
    sys.stderr.flush()
    os._exit(128 + number)


def _not_at_all(number: int) -> None:
    """A worker's second signal is the first one again: a terminal, or a service manager, sends it to every process,
    and the parent passes it on. When a second one comes to the parent, that kills."""
