"""What clients come through: it cuts connections after any byte, and stops reading what servers send."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable

__all__ = ["Gate", "Link"]

# Bytes, which the kernel doubles. With a quarter of it a loaded machine comes to where a segment is larger than the
# window: then one leaves every 0.2 s, by the timer that looks for a window, and large replies take minutes.
RECEIVE_BUFFER = 16 * 1024
WAITS = 16 * 1024  # bytes for a client that does not read, before nothing is read for it


class Gate:
    """In front of one server.

    Args:
        port: where the server is at the moment.
    """

    def __init__(self, port: Callable[[], int], chance: random.Random) -> None:
        self.to = port
        self.chance = chance
        self.links: list[Link] = []
        self.coming: list[tuple[str, int]] = []  # cuts of links that are still to come
        self.port = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Half(Link(self)), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for link in list(self.links):
            link.cut()


class Link:
    """One client's connection: two halves."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.left: dict[str, int | None] = {"down": None, "up": None}  # bytes until it is cut
        self.client: _Half | None = None
        self.server: _Half | None = None
        self.waiting = b""  # what the client said before the server was there
        self.over = False
        self._connecting: asyncio.Task[None] | None = None

    def begin(self, client: _Half) -> None:
        self.client = client
        self.gate.links.append(self)
        if self.gate.coming:
            way, count = self.gate.coming.pop()
            self.left[way] = count
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        upstream = socket.socket()
        upstream.setblocking(False)
        upstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        half = _Half(self, server=True)
        try:
            await loop.sock_connect(upstream, ("127.0.0.1", self.gate.to()))
            await loop.create_connection(lambda: half, sock=upstream)
        except OSError:
            upstream.close()
            return self.cut()
        if self.over:
            return half.transport.abort()
        self.server = half
        waiting, self.waiting = self.waiting, b""
        if waiting:
            self.pass_on("up", waiting)

    def cut_after(self, way: str, count: int) -> None:
        self.left[way] = count

    def pass_on(self, way: str, data: bytes) -> None:
        to = self.client if way == "down" else self.server
        if to is None:
            self.waiting += data
            return
        left = self.left[way]
        if left is not None:
            data = data[:left]
            self.left[way] = left - len(data)
        if not to.transport.is_closing():
            to.transport.write(data)
        if left is not None and not self.left[way]:
            self.cut()

    def stall(self, on: bool = True) -> None:
        """Read nothing that the server sends."""
        if self.server is not None and not self.over:
            (self.server.transport.pause_reading if on else self.server.transport.resume_reading)()

    def cut(self) -> None:
        if self.over:
            return
        self.over = True
        self.gate.links.remove(self)
        for half in (self.client, self.server):
            if half is not None:
                (half.transport.abort if self.gate.chance.random() < 0.5 else half.transport.close)()


class _Half(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, link: Link, server: bool = False) -> None:
        self.link = link
        self.server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(WAITS)
        if not self.server:
            self.link.begin(self)

    def data_received(self, data: bytes) -> None:
        if not self.link.over:
            self.link.pass_on("down" if self.server else "up", data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.link.cut()
