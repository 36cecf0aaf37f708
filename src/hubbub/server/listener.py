"""Listening sockets: bound by us, so that they can be watched and bound again."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
import ssl
import stat
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from hubbub import native
from hubbub.errors import Misuse
from hubbub.logs import logger
from hubbub.rounds import round_of
from hubbub.system import AF_UNIX, needs_unix

if TYPE_CHECKING:
    from hubbub.native._reactor import Acceptor, Reactor

_reactor: Any = native.compiled("_reactor")

__all__ = ["Listener", "SocketFile", "bind_tcp", "bind_unix", "reactor_for"]

BACKLOG = 4096  # connections that the kernel completes before we accept them; it caps this at net.core.somaxconn
ACCEPTS = 1  # in a turn of asyncio's loop, which without descriptors logs, and comes back, once for each of them
WATCH_INTERVAL = 0.5  # seconds between two looks at a listening socket
PAUSE = 0.05  # seconds until the kernel is asked again after it could not accept: others may have gone meanwhile
SAID_EVERY = 1.0  # seconds between two lines about that


def reactor_for(loop: asyncio.AbstractEventLoop, buffer: memoryview) -> Reactor | None:
    """What reads plain sockets on that loop, into that buffer; None: nothing is compiled, and the loop reads them."""
    if _reactor is None:
        return None
    reactor: Reactor = _reactor.Reactor(loop, buffer, round_of(loop))
    return reactor


def bind_tcp(host: str, port: int, *, reuse_port: bool = False) -> list[socket.socket]:
    """Listening TCP sockets for every address of a host name (`localhost` has one for IPv4 and one for IPv6).

    Raises: OSError: the address cannot be had; its text says which one.
    """
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise OSError(errno.EINVAL, f"cannot listen on {where}: {getattr(error, 'strerror', error)}") from None
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                listening = _tcp_socket(family, reuse_port)
            except OSError:
                continue  # a family that this kernel does not have
            sockets.append(listening)
            if port == 0 and len(sockets) > 1:  # every address of the host on the port that the first one got
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            try:
                listening.bind(address)
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL and len(found) > 1:  # IPv6 without an address for it
                    sockets.pop().close()
                    continue
                raise _cannot_listen(where, error, "port") from None
    except BaseException:
        for listening in sockets:
            listening.close()
        raise
    if not sockets:
        raise OSError(f"cannot listen on {where}: the host has no address here")
    return sockets


def _tcp_socket(family: socket.AddressFamily, reuse_port: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if sys.platform == "win32":  # where the other option lets a second server take the port from the first
        made.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made


def bind_unix(path: str, mode: int) -> socket.socket:
    """A listening Unix socket with these permissions. A socket file that nobody listens on any more is replaced.

    Raises:
        Misuse: the path is a file of another kind.
        OSError: somebody listens there, or it cannot be had.
    """
    needs_unix("a Unix socket", "listen on a port")
    listening = socket.socket(socket.AF_UNIX)
    try:
        _make_way(path, listening.family)
        listening.bind(path)
        os.chmod(path, mode)  # before anybody can connect
        listening.listen(BACKLOG)  # or the next one to come would take it for one that nobody listens on
    except OSError as error:
        listening.close()
        raise _cannot_listen(path, error, "uds") from None
    except BaseException:
        listening.close()
        raise
    return listening


def _make_way(path: str, family: socket.AddressFamily) -> None:
    """Remove what a server left behind that was killed."""
    with contextlib.suppress(FileNotFoundError):
        before = os.stat(path)
        if not stat.S_ISSOCK(before.st_mode):
            raise Misuse(f"{path} exists and is not a socket: choose another path, or remove it")
        with socket.socket(family) as probe:
            probe.setblocking(False)  # or it would wait for a place in a full queue
            if probe.connect_ex(path) != errno.ECONNREFUSED:
                raise OSError(errno.EADDRINUSE, "another process does")
        if _identity(path) == (before.st_dev, before.st_ino):  # else another one was quicker than we are
            os.unlink(path)


def _identity(path: str) -> tuple[int, int]:
    """Which file it is, whatever its name. Raises: OSError."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


class SocketFile:
    """The file of a Unix socket that we have just bound. Raises: OSError: it is gone already."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._identity = _identity(path)

    def remove(self) -> None:
        """Remove it, unless it is a successor's. To be called while the socket is open: no hubbub replaces the file of
        a server that listens, and no other file can have the number of one that is in use."""
        with contextlib.suppress(OSError):
            if _identity(self._path) == self._identity:
                os.unlink(self._path)


_ADVICE = {
    errno.EADDRINUSE: "stop the program that does, or choose another with --{option}, or {option}= in Python",
    errno.EADDRNOTAVAIL: "it is no address of this machine; 0.0.0.0 is all of its IPv4",
    errno.EACCES: "this user may not; ports below 1024 are root's, and a Unix socket needs a folder to write to",
    errno.ENOENT: "its folder has to be made first",
}


def _cannot_listen(where: str, error: OSError, option: str) -> OSError:
    advice = _ADVICE.get(error.errno or 0, "").format(option=option)
    return OSError(error.errno, f"cannot listen on {where}: {error.strerror or error}{f': {advice}' if advice else ''}")


class Listener:
    """One listening socket, opened again if it is ever lost.

    Args:
        bind: makes the socket anew; None for a socket that was handed to us, which cannot be.
    """

    def __init__(
        self,
        listening: socket.socket,
        bind: Callable[[], socket.socket] | None,
        protocol: Callable[[], Any],
        tls: ssl.SSLContext | None,
        handshake_timeout: float,
    ) -> None:
        self.socket: socket.socket = listening
        self._bind = bind
        self._protocol = protocol
        self._tls = tls
        self._handshake_timeout = handshake_timeout
        self._server: asyncio.Server | Acceptor | None = None  # who accepts
        self._reactor: Reactor | None = None
        self._silent_until = 0.0  # about not being able to accept
        name: Any = listening.getsockname()
        self._path = os.fsdecode(name) if listening.family == AF_UNIX else None
        self._file = self._own_file()
        self.address: Any = self._path or name[:2]

    @property
    def url(self) -> str:
        """Where clients find it."""
        if self._path is not None:
            return f"unix:{self._path.replace(chr(0), '@')}"  # an abstract name, as it is usually shown
        host, port = self.address
        return f"ws{'s' if self._tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"

    async def open(self, reactor: Reactor | None) -> None:
        """Start to accept. Raises: OSError: somebody else listens there."""
        self.socket.listen(BACKLOG)  # by us, for uvloop closes a socket that cannot listen and says nothing
        if self._path is None:
            # inherited by what it accepts; asyncio does it only for sockets that were made in a certain way
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if reactor is None:
            await self._open_on_loop()
        else:
            self._reactor = reactor
            self.socket.setblocking(False)
            acceptor: Acceptor = _reactor.Acceptor(
                reactor, self.socket.fileno(), self._protocol, self._cannot_accept, self._tls
            )
            acceptor.start()
            self._server = acceptor

    async def _open_on_loop(self) -> None:
        loop = asyncio.get_running_loop()
        timeout = self._handshake_timeout if self._tls else None
        create = loop.create_server if self._path is None else loop.create_unix_server
        self._server = await create(
            self._protocol, sock=self.socket, backlog=ACCEPTS, ssl=self._tls, ssl_handshake_timeout=timeout
        )
        self.socket.listen(BACKLOG)  # the loop has made that ACCEPTS

    def _cannot_accept(self, error: OSError) -> None:
        if self.listening:  # or `watch` opens it again
            loop = asyncio.get_running_loop()
            if loop.time() >= self._silent_until:
                self._silent_until = loop.time() + SAID_EVERY
                logger.error("cannot accept on %s: %s; trying again every %g s", self.url, error.strerror, PAUSE)
            loop.call_later(PAUSE, self._accept_again, cast("Acceptor", self._server))

    def _accept_again(self, acceptor: Acceptor) -> None:
        if acceptor is self._server and self.listening:
            try:
                acceptor.start()
            except OSError as error:
                self._cannot_accept(error)

    async def watch(self) -> None:
        """Look after the socket for ever. Supervised: what it raises is logged, and it is started again."""
        while True:
            if not self.listening:
                if self._bind is None:
                    logger.error("the listening socket %s was lost; it came from outside: restart", self.address)
                    return
                logger.error("the listening socket %s was lost; opening it again", self.address)
                self._stop()
                self.socket = self._bind()
                self._file = self._own_file()
                await self.open(self._reactor)
            await asyncio.sleep(WATCH_INTERVAL)

    @property
    def listening(self) -> bool:
        """Whether the kernel still accepts connections for us."""
        try:
            accepts = bool(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        except OSError:
            return False
        if sys.platform == "win32":
            return accepts
        poll = select.poll()  # a Unix socket that was shut down says that it accepts, and that it has hung up
        poll.register(self.socket, 0)
        return accepts and not poll.poll(0)

    def close(self) -> None:
        """Stop accepting."""
        if self._file is not None:
            self._file.remove()
        self._stop()

    def _own_file(self) -> SocketFile | None:
        """The file of a Unix socket of our own making, which goes with it."""
        return None if self._path is None or self._bind is None else SocketFile(self._path)

    def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        elif self._bind is None:
            return  # not ours before it was opened
        self.socket.close()
