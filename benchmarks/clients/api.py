"""Publications over an HTTP API, from sixteen connections that are kept alive, into channels with history.

api.py PORT SERVER_PID KEY BATCH SECONDS: publishes singly (BATCH 1), or so many in each request; each connection waits
for its answer. Prints publications per second, and the CPU that the server took for each.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import Any

from recovering import cpu_of

CONNECTIONS, CHANNELS = 16, 64
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def requests(port: int, key: str, batch: int) -> list[bytes]:
    """One to each channel in turn, which are sent again and again."""
    made: list[bytes] = []
    for number in range(CHANNELS):
        one: list[dict[str, Any]] = [
            {"channel": f"room{(number + at) % CHANNELS}", "data": {"text": "x" * 40}} for at in range(batch)
        ]
        what = one[0] if batch == 1 else {"commands": [{"publish": publish} for publish in one]}
        body = json.dumps(what).encode()
        path = "publish" if batch == 1 else "batch"
        head = f"POST /api/{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-API-Key: {key}\r\n"
        made.append(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return made


class Publisher(asyncio.Protocol):
    """One connection: the next request as soon as the last one is answered."""

    def __init__(self, wanted: list[bytes], first: int, batch: int) -> None:
        self._wanted, self._next, self._batch = wanted, first, batch
        self._got = b""
        self.published = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._transport.write(self._wanted[self._next % len(self._wanted)])
        self._next += 1

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, _, body = self._got.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        whole = len(body) == int(length[1]) if length is not None else body.endswith(b"\r\n0\r\n\r\n")
        if not whole:
            return
        if body.count(b'"offset"') != self._batch:
            sys.exit(f"not published: {self._got[:300]!r}")
        self._got = b""
        self.published += self._batch
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        sys.exit(f"the server hung up: {error}")


async def main(port: int, server: int, key: str, batch: int, seconds: float) -> None:
    loop, wanted = asyncio.get_running_loop(), requests(port, key, batch)
    publishers = [Publisher(wanted, number * 4, batch) for number in range(CONNECTIONS)]
    for publisher in publishers:
        await loop.create_connection(lambda publisher=publisher: publisher, "127.0.0.1", port)
    await asyncio.sleep(0.5)
    before, clock, cpu = sum(one.published for one in publishers), time.monotonic(), cpu_of(server)
    await asyncio.sleep(seconds)
    while not (count := sum(one.published for one in publishers) - before):
        await asyncio.sleep(0.01)
    took, spent = time.monotonic() - clock, cpu_of(server) - cpu
    print(json.dumps({"publications_per_s": count / took, "cpu_us": spent / count * 1e6}), flush=True)


if __name__ == "__main__":
    import os

    import uvloop

    async def measured() -> None:
        await main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
        os._exit(0)  # with all connections in the middle of something

    uvloop.run(measured())
