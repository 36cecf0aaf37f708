"""TCP and TLS to the target: addresses looked up once, and more of our own where one has too few ports."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import ssl
import sys

from hubbub.errors import Misuse, PeerError
from hubbub.load.plan import Plan, Target
from hubbub.logs import printable

__all__ = ["Dialler", "reason", "source", "tls_context"]

PORTS = 20_000  # connections of one source address to one target: Linux has 28,232 ports by default
IP_BIND_ADDRESS_NO_PORT = 24  # Linux, from <linux/in.h>: choose the port at connect, when the target is known


def source(address: str, number: int) -> str | None:
    """Which of 127.0.0.0/8 a connection comes from; None for what the kernel chooses."""
    if number < PORTS or not address.startswith("127."):
        return None
    return str(ipaddress.IPv4Address("127.0.0.1") + number // PORTS)


def tls_context(plan: Plan) -> ssl.SSLContext | None:
    """How to speak TLS, if the plan says so. Raises: Misuse: the file holds no certificates."""
    if not plan.target.secure:
        return None
    try:
        context = ssl.create_default_context(cafile=None if plan.ca is None else str(plan.ca))
    except OSError as error:
        raise Misuse(f"{plan.ca} holds no certificates that can be read: {error}") from None
    if plan.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Dialler:
    """Opens sockets to one target, in one process."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._addresses: list[tuple[int, tuple[str, int]]] = []  # the one that answered last comes first
        self._looking = asyncio.Lock()

    async def open(self, client: asyncio.BaseProtocol, number: int, tls: ssl.SSLContext | None) -> None:
        """Connect a client. Raises: OSError: no address takes it, or it is not the one that its certificate names."""
        sock = await self._connected(number)
        await asyncio.get_running_loop().create_connection(
            lambda: client, sock=sock, ssl=tls, server_hostname=self._target.host if tls is not None else None
        )

    async def _connected(self, number: int) -> socket.socket:
        last: OSError | None = None
        for choice in await self._look_up():
            try:
                sock = await _connect(*choice, number)
            except OSError as error:
                last = error
                continue
            if self._addresses[0] != choice:
                self._addresses.remove(choice)
                self._addresses.insert(0, choice)
            return sock
        raise last or OSError("the name has no address")

    async def _look_up(self) -> list[tuple[int, tuple[str, int]]]:
        async with self._looking:
            if not self._addresses:
                found = await asyncio.get_running_loop().getaddrinfo(
                    self._target.host, self._target.port, type=socket.SOCK_STREAM
                )
                self._addresses = [(family, (str(address[0]), int(address[1]))) for family, _, _, _, address in found]
        return list(self._addresses)


async def _connect(family: int, address: tuple[str, int], number: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if (own := source(address[0], number)) is not None:
            if sys.platform == "linux":
                sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((own, 0))
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def reason(error: BaseException, timeout: float) -> str:
    """Why a connection failed or ended, in a line that many of them can share."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {printable(error.verify_message)}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {printable(getattr(error, 'reason', None) or error)}"
    if isinstance(error, PeerError):
        return printable(error)
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno).lower()
    if isinstance(error, OSError) and error.strerror:
        return printable(error.strerror).lower()
    return printable(error) or type(error).__name__
