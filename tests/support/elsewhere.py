"""Other systems, played on this one in a process of its own: what Python lacks there is taken away, then hubbub is
imported.

What is played is what Python offers. How another kernel behaves is not, so that a test on that system is worth more.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import pathlib
import pkgutil
import selectors
import signal
import socket
import sys
import threading
import types
from asyncio.proactor_events import BaseProactorEventLoop
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

LACKING = {  # on Windows; beside modules, what others have that is used in servers
    "": "fcntl resource grp pwd termios tty pty syslog uvloop gunicorn",
    "os": "fork forkpty register_at_fork getuid geteuid getgid getegid uname killpg getpgid setsid WNOHANG O_CLOEXEC"
    " O_NOFOLLOW O_NONBLOCK set_blocking fchmod chown sched_getaffinity sched_setaffinity eventfd",
    "socket": "AF_UNIX SO_REUSEPORT SO_PEERCRED SCM_RIGHTS CMSG_LEN send_fds recv_fds",
    "select": "poll epoll",
    "signal": "SIGHUP SIGKILL SIGCHLD SIGUSR1 SIGUSR2 SIGALRM SIGPIPE pthread_sigmask SIG_BLOCK SIG_UNBLOCK",
    "asyncio": "open_unix_connection start_unix_server",
}
WINDOWS = sys.platform == "win32"  # in earnest


def names() -> list[str]:
    """Every module of hubbub."""
    import hubbub

    found = pkgutil.walk_packages(hubbub.__path__, "hubbub.")
    return ["hubbub", *(module.name for module in found if "__main__" not in module.name)]


def be_windows() -> None:
    """Import hubbub as Python imports it there.

    Other packages are imported before: they have ways of their own on Windows, which cannot be played.
    """
    for name in names():
        with suppress(ModuleNotFoundError):  # gunicorn's
            importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "hubbub"]:
        del sys.modules[name]
    _take_away()


def _take_away() -> None:
    os.process_cpu_count = os.cpu_count  # type: ignore[attr-defined]  # Python itself asks for what goes
    socket.socketpair = partial(socket.socketpair, socket.AF_UNIX)  # type: ignore[assignment]
    for place, what in LACKING.items():
        for name in what.split():
            if not place:
                sys.modules[name] = None  # type: ignore[assignment]
            elif hasattr(sys.modules[place], name):
                delattr(sys.modules[place], name)
    socket.socket.sendmsg = socket.socket.recvmsg = property()  # type: ignore[assignment,method-assign]
    socket.SO_EXCLUSIVEADDRUSE = socket.SO_REUSEADDR  # type: ignore[attr-defined]
    signal.SIGBREAK = signal.SIGTTIN  # type: ignore[attr-defined]
    for module in {sys.modules["pathlib"], sys.modules[pathlib.Path.__module__]}:
        module.WindowsPath = pathlib.PosixPath  # type: ignore[attr-defined]
    sys.platform, os.name = "win32", "nt"
    asyncio.new_event_loop = proactor_loop  # type: ignore[assignment]


def be_macos() -> None:
    """Have hubbub imported as Python imports it there."""
    sys.modules["_scproxy"] = types.ModuleType("_scproxy")  # what macOS says about proxies
    sys.modules["_scproxy"].__dict__.update(_get_proxy_settings=dict, _get_proxies=dict)
    os.process_cpu_count = os.cpu_count  # type: ignore[attr-defined]
    for name in ("eventfd", "sched_getaffinity", "sched_setaffinity"):
        delattr(os, name)
    sys.platform = "darwin"


def selector_loop() -> asyncio.AbstractEventLoop:
    """What `asyncio.SelectorEventLoop` is on Windows: no signals, no Unix sockets."""
    if WINDOWS:
        return asyncio.SelectorEventLoop()
    return BaseSelectorEventLoop(selectors.SelectSelector())


def proactor_loop() -> asyncio.AbstractEventLoop:
    """What `asyncio.new_event_loop` makes there; else asyncio's own class over a stand-in for the kernel's ports."""
    if WINDOWS:
        return asyncio.new_event_loop()
    return ProactorLoop(Proactor())


class ProactorLoop(BaseProactorEventLoop):
    def run_forever(self) -> None:
        self.call_soon(self._loop_self_reading)
        try:
            super().run_forever()
        finally:
            self._self_reading_future.cancel()
            self._self_reading_future = None
            if threading.current_thread() is threading.main_thread():
                signal.set_wakeup_fd(-1)


class Proactor:
    """Operations on sockets that are told when they are complete, and never before the next round of the loop."""

    def __init__(self) -> None:
        self._selector = selectors.SelectSelector()
        self.waiting: dict[tuple[socket.socket, int], Operation] = {}

    def set_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def recv(self, sock: socket.socket, size: int, flags: int = 0) -> asyncio.Future[bytes]:
        return self._begin(sock, selectors.EVENT_READ, partial(sock.recv, size))

    def recv_into(self, sock: socket.socket, buffer: Any, flags: int = 0) -> asyncio.Future[int]:
        return self._begin(sock, selectors.EVENT_READ, partial(sock.recv_into, buffer))

    def accept(self, sock: socket.socket) -> asyncio.Future[tuple[socket.socket, Any]]:
        def accepted() -> tuple[socket.socket, Any]:
            connection, address = sock.accept()
            connection.setblocking(False)
            return connection, address

        return self._begin(sock, selectors.EVENT_READ, accepted)

    def connect(self, sock: socket.socket, address: Any) -> asyncio.Future[None]:
        sock.connect_ex(address)
        return self._begin(sock, selectors.EVENT_WRITE, lambda: None)

    def send(self, sock: socket.socket, data: Any, flags: int = 0) -> asyncio.Future[int]:
        rest, size = memoryview(data), len(data)

        def sent() -> int:
            nonlocal rest
            while rest:
                rest = rest[sock.send(rest) :]
            return size

        return self._begin(sock, selectors.EVENT_WRITE, sent)

    def select(self, timeout: float | None = None) -> list[Any]:
        for key, ready in self._selector.select(timeout):
            for event in (selectors.EVENT_READ, selectors.EVENT_WRITE):
                if ready & event and isinstance(key.fileobj, socket.socket):
                    self.waiting[key.fileobj, event].go_on()
        return []

    def close(self) -> None:
        self._selector.close()

    def _stop_serving(self, sock: socket.socket) -> None:
        if (accepting := self.waiting.get((sock, selectors.EVENT_READ))) is not None:
            accepting.cancel()
        sock.close()

    def _begin(self, sock: socket.socket, event: int, attempt: Callable[[], Any]) -> Operation:
        operation = self.waiting[sock, event] = Operation(self, sock, event, attempt, self._loop)
        self.watch(sock)
        return operation

    def watch(self, sock: socket.socket) -> None:
        """Watch it for what waits, and for nothing else."""
        with suppress(KeyError, ValueError):
            self._selector.unregister(sock)
        events = sum(event for event in (selectors.EVENT_READ, selectors.EVENT_WRITE) if (sock, event) in self.waiting)
        if events:
            self._selector.register(sock, events)


class Operation(asyncio.Future[Any]):
    """One that waits until the socket is ready for it. Who cancels it may close the socket at once."""

    def __init__(
        self, proactor: Proactor, sock: socket.socket, event: int, attempt: Callable[[], Any], loop: Any
    ) -> None:
        super().__init__(loop=loop)
        self._proactor, self._place, self._attempt = proactor, (sock, event), attempt

    def go_on(self) -> None:
        try:
            result = self._attempt()
        except BlockingIOError:
            return
        except OSError as error:
            self._leave()
            self.set_exception(error)
        else:
            self._leave()
            self.set_result(result)

    def cancel(self, msg: Any = None) -> bool:
        self._leave()
        return super().cancel(msg)

    def _leave(self) -> None:
        if self._proactor.waiting.get(self._place) is self:
            del self._proactor.waiting[self._place]
            self._proactor.watch(self._place[0])
