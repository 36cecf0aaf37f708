"""What `serve` and `run` are called with, judged before anything starts."""

from __future__ import annotations

import inspect
import os
import socket
import ssl as tls
import sys
from collections.abc import Callable, Iterable
from typing import Any, cast

from hubbub.arguments import shown
from hubbub.errors import Misuse
from hubbub.server.handler import Handler
from hubbub.system import AF_UNIX, needs_unix

__all__ = ["factory_of", "health_of", "hosts_of", "path_of", "sockets_of", "tls_of"]

LONGEST_PATH = 107 if sys.platform == "linux" else 103  # bytes that the kernel's sockaddr_un holds, less one for a zero


def factory_of(handler: Any) -> Callable[[], Handler]:
    """What makes the handlers. Raises: Misuse: it cannot."""
    if isinstance(handler, Handler):
        name = type(handler).__name__
        raise Misuse(f"each connection has a handler of its own: pass the class {name}, not one {name}")
    if not callable(handler):
        raise Misuse(f"a server takes a Handler class, not {shown(handler)}")
    if inspect.isclass(handler) and not issubclass(handler, Handler):
        raise Misuse(f"the class {handler.__name__} is no handler: derive it from hubbub.Handler")
    if inspect.iscoroutinefunction(handler):
        raise Misuse("what makes the handlers is a plain function: await in `handshake` or `opened` instead")
    return cast("Callable[[], Handler]", handler)


def health_of(health: Any) -> str | None:
    """The path at which the server says that it works. Raises: Misuse: it is none."""
    if health is not None and not (isinstance(health, str) and health.startswith("/") and "?" not in health):
        raise Misuse(f'health is a path such as "/health", or None, not {shown(health)}')
    path: str | None = health
    return path


def hosts_of(host: Any) -> list[str]:
    """The names and addresses to listen on. Raises: Misuse: none, or something else."""
    several = isinstance(host, Iterable) and not isinstance(host, (str, bytes))
    hosts: list[Any] = list(cast("Iterable[Any]", host)) if several else [host]
    if not hosts:
        raise Misuse("host is an empty list: nothing would be listened on")
    for one in hosts:
        if not isinstance(one, str) or not one:
            raise Misuse(
                f"host is a name or an address, not {shown(one)}: '127.0.0.1' for this machine alone,"
                " '0.0.0.0' for all of IPv4, '::' for all of IPv6"
            )
    return hosts


def path_of(uds: Any) -> str | None:
    """The path of a Unix socket, if any. Raises: Misuse: no socket can have it."""
    if uds is None:
        return None
    needs_unix("uds", "leave it out, and listen on a port")
    if not isinstance(uds, (str, os.PathLike)):
        raise Misuse(f"uds is the path of a Unix socket, not {shown(uds)}")
    path = os.fsdecode(cast("str | os.PathLike[str]", uds))
    if not path:
        raise Misuse("uds is empty: give a path such as /run/chat/chat.sock, or leave it out")
    if path.startswith("\0"):
        raise Misuse("uds is a path, and an abstract name is none: bind a socket to it, and pass that in `sockets`")
    if "\0" in path:
        raise Misuse(f"uds has a zero byte in it: {shown(path)}")
    if (size := len(os.fsencode(path))) > LONGEST_PATH:
        raise Misuse(f"uds has {size} bytes, and the system takes {LONGEST_PATH}: choose a shorter path than {path}")
    return path


def tls_of(ssl: Any) -> tls.SSLContext | None:
    """The settings for TLS, if any. Raises: Misuse: a server cannot use them."""
    if ssl is None:
        return None
    if not isinstance(ssl, tls.SSLContext):
        raise Misuse(
            f"ssl is an ssl.SSLContext, not {shown(ssl)}: make one with"
            " ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), and load_cert_chain into it"
        )
    if ssl.protocol is tls.PROTOCOL_TLS_CLIENT:
        raise Misuse("ssl is a context for clients: make one with ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)")
    return ssl


def sockets_of(sockets: Any) -> list[socket.socket]:
    """Sockets to listen on. Raises: Misuse: one that cannot, or would where nobody has said."""
    if not isinstance(sockets, Iterable):
        raise Misuse(f"sockets is a list of bound sockets, not {shown(sockets)}")
    checked: list[socket.socket] = []
    for one in cast("Iterable[Any]", sockets):
        if not isinstance(one, socket.socket):
            raise Misuse(f"sockets is a list of bound sockets, not of {shown(one)}")
        if one.fileno() < 0:
            raise Misuse(f"a socket that is closed cannot be listened on: {one}")
        if one.type != socket.SOCK_STREAM or one.family not in (socket.AF_INET, socket.AF_INET6, AF_UNIX):
            raise Misuse(f"a server listens on stream sockets of TCP or Unix, not on {one}")
        name: Any = one.getsockname()
        if not (name[1] if isinstance(name, tuple) else name):
            raise Misuse(f"a socket that is not bound would be listened on at any address: bind it first: {one}")
        if _is_connected(one):
            raise Misuse(f"a connection cannot be listened on: {one}")
        if any(one.fileno() == other.fileno() for other in checked):
            raise Misuse(f"sockets has the same one twice: {one}")
        checked.append(one)
    return checked


def _is_connected(one: socket.socket) -> bool:
    try:
        one.getpeername()
    except OSError:
        return False
    return True
