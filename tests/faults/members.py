"""The members of a troubled world: WebSockets that keep everything that comes, to be judged at the end."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from faults.worker import BODY
from support.client import HEAD

FRAME = 2 + BODY  # bytes: a head without a mask, and a message


class Connection(asyncio.Protocol):
    """One connection of one member."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.data = bytearray()
        self.upgraded = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(HEAD.format(path="/").encode() + b"\r\n")

    def data_received(self, data: bytes) -> None:
        self.data += data
        if not self._upgraded and (end := self.data.find(b"\r\n\r\n")) >= 0:
            del self.data[: end + 4]
            self._upgraded = True
            if not self.upgraded.done():
                self.upgraded.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.upgraded.done():
            self.upgraded.set_exception(ConnectionError("it was cut"))
            self.upgraded.exception()
        self.over.set()

    @property
    def count(self) -> int:
        return len(self.data) // FRAME if self._upgraded else 0

    def log(self) -> bytes:
        """What came, whole messages alone: one that was cut short was not delivered."""
        return bytes(self.data[: self.count * FRAME])


class Member:
    """Somebody who is at one worker, and comes back when the connection breaks."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.connections: list[Connection] = []
        self._here = asyncio.ensure_future(self._stay())

    async def _stay(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with suppress(OSError):
                _, connection = await loop.create_connection(Connection, "127.0.0.1", self._port)
                await connection.upgraded
                self.connections.append(connection)
                await connection.over.wait()
            await asyncio.sleep(0.02)

    @property
    def here(self) -> bool:
        return bool(self.connections) and not self.connections[-1].over.is_set()

    @property
    def count(self) -> int:
        """Messages of the connection that lasts."""
        return self.connections[-1].count if self.here else 0

    def leave(self) -> None:
        self._here.cancel()
        for connection in self.connections:
            connection.transport.abort()


def messages(log: bytes) -> list[str]:
    """Raises: AssertionError: one of them is none of ours."""
    assert len(log) % FRAME == 0
    text = log.decode("latin-1")
    head = text[:2]
    assert not log or head == f"\x81{chr(BODY)}", log[:32]
    parts = [text[at : at + FRAME] for at in range(0, len(text), FRAME)]
    assert all(part[:2] == head for part in parts), "a frame of another size"
    return [part[2:] for part in parts]
