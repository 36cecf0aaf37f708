"""A WebSocket client for tests, made of nothing but asyncio streams: it shares no code with what it tests."""

from __future__ import annotations

import asyncio
import base64
import struct
from typing import Any, ClassVar

KEY = base64.b64encode(b"0123456789abcdef").decode()
HEAD = (
    "GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
)


def encode(
    opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, key: bytes | None = b"\x01\x02\x03\x04"
) -> bytes:
    """A frame as a client sends it; `key=None` leaves it unmasked."""
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if key is not None else 0
    size = len(payload)
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + struct.pack("!H", size)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", size)
    if key is None:
        return head + payload
    keys = (key * (size // 4 + 1))[:size]
    return head + key + (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(size, "big")


class RawClient:
    """One connection. Every wait has a limit of five seconds."""

    alive: ClassVar[list[RawClient]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.alive.append(self)
        self.reader = reader
        self.writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}

    @classmethod
    async def dial(cls, port: int | None = None, *, uds: str | None = None, **settings: Any) -> RawClient:
        """Connect without a handshake."""
        if uds is not None:
            return cls(*await asyncio.open_unix_connection(uds, **settings))
        return cls(*await asyncio.open_connection("127.0.0.1", port, **settings))

    @classmethod
    async def connect(
        cls, port: int | None = None, path: str = "/", headers: str = "", *, uds: str | None = None, **settings: Any
    ) -> RawClient:
        """Connect and upgrade; `status` and `headers` tell how that went."""
        client = await cls.dial(port, uds=uds, **settings)
        client.send(HEAD.format(path=path).encode() + headers.encode() + b"\r\n")
        await client.read_answer()
        return client

    async def read_answer(self) -> None:
        async with asyncio.timeout(5):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def text(self, data: str) -> None:
        self.send(encode(1, data.encode()))

    def binary(self, data: bytes) -> None:
        self.send(encode(2, data))

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: its first byte and its payload."""
        async with asyncio.timeout(5):
            first, size = await self.reader.readexactly(2)
            assert size < 128, "a server masks nothing"
            if size == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
            return first, await self.reader.readexactly(size)

    async def read(self) -> str | bytes:
        """The next message; pings are passed over."""
        while True:
            first, payload = await self.frame()
            if first == 0x81:
                return payload.decode()
            if first == 0x82:
                return payload
            assert first in (0x89, 0x8A), f"a frame that begins with {first:#x}: {payload!r}"

    async def read_close(self) -> tuple[int, str]:
        """The close frame that comes next, pings and messages before it passed over."""
        while True:
            first, payload = await self.frame()
            if first == 0x88:
                code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                return code, payload[2:].decode()

    async def at_end(self) -> bool:
        """Whether the server ends the connection, cleanly or not, within five seconds."""
        async with asyncio.timeout(5):
            try:
                return await self.reader.read(65536) == b""
            except ConnectionError:
                return True

    async def close(self, code: int = 1000, reason: str = "") -> tuple[int, str]:
        """The closing handshake, begun here."""
        self.send(encode(8, struct.pack("!H", code) + reason.encode()))
        return await self.read_close()

    def kill(self) -> None:
        """Go without a word."""
        self.writer.transport.abort()
