"""A thousand sessions connect at once, over TCP, and each recovers a hundred publications of one channel.

recovering.py PORT SERVER_PID: prints the seconds until the last one has all of them, and the CPU that the server took.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from pathlib import Path

SESSIONS, MISSED = 1000, 100
UPGRADE = (
    b"GET /connection/websocket HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TICKS = os.sysconf("SC_CLK_TCK")


def framed(text: str) -> bytes:
    """A text frame, masked with zeros."""
    data = text.encode()
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + data


async def opened(port: int, *commands: dict[str, object]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(UPGRADE % port)
    await reader.readuntil(b"\r\n\r\n")
    writer.write(framed("\n".join(json.dumps(command) for command in commands)))
    return reader, writer


async def read_until(reader: asyncio.StreamReader, wanted: bytes, count: int) -> bytes:
    """Everything up to the last of so many of these."""
    got = b""
    while got.count(wanted) < count:
        more = await reader.read(262_144)
        if not more:
            sys.exit(f"the server hung up after {got[-200:]!r}")
        got += more
    return got


async def main(port: int, server: int) -> None:
    connect: dict[str, object] = {"id": 1, "connect": {}}
    reader, writer = await opened(port, connect, {"id": 2, "subscribe": {"channel": "room"}})
    joined = await read_until(reader, b'"epoch"', 1)
    found = re.search(rb'"epoch":"([^"]+)"', joined)
    assert found is not None
    for number in range(MISSED):
        publish = {"channel": "room", "data": {"number": number, "text": "x" * 64}}
        writer.write(framed(json.dumps({"id": 3 + number, "publish": publish})))
    await read_until(reader, b'"text"', MISSED)
    since = {"channel": "room", "recover": True, "epoch": found[1].decode(), "offset": 0}
    kept: list[asyncio.StreamWriter] = []

    async def recover() -> None:
        reader, writer = await opened(port, connect, {"id": 2, "subscribe": since})
        kept.append(writer)
        got = await read_until(reader, b'"text"', MISSED)
        if b'"recovered":true' not in got:
            sys.exit("not recovered")

    cpu, clock = cpu_of(server), time.monotonic()
    await asyncio.gather(*(recover() for _ in range(SESSIONS)))
    took = time.monotonic() - clock
    print(json.dumps({"seconds": took, "cpu_ms": (cpu_of(server) - cpu) * 1e3 / SESSIONS}))


def cpu_of(process: int) -> float:
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
