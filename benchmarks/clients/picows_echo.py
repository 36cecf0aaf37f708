"""Echo as picows' own client sees it: so many connections, each of which sends again what came back.

Prints what the load would: see native/figures.c.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from pathlib import Path

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

asked = argparse.ArgumentParser(description=__doc__)
asked.add_argument("--port", type=int, required=True)
asked.add_argument("--members", type=int, required=True)
asked.add_argument("--size", type=int, required=True)
asked.add_argument("--seconds", type=float, required=True)
asked.add_argument("--warm", type=float, required=True)
asked.add_argument("--server", type=int, required=True, help="its process, for its CPU time")


class Client(WSListener):
    """One connection."""

    payload: bytes
    counting = False
    echoes = damaged = ended = 0
    times: list[float] = []  # noqa: RUF012  all clients' together

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.sent = time.perf_counter()
        transport.send(WSMsgType.BINARY, self.payload)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        now = time.perf_counter()
        if Client.counting:
            Client.echoes += 1
            Client.times.append(now - self.sent)
            if frame.get_payload_as_bytes() != self.payload:
                Client.damaged += 1
        self.sent = now
        transport.send(WSMsgType.BINARY, self.payload)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        Client.ended += Client.counting


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def main() -> None:
    options = asked.parse_args()
    Client.payload = os.urandom(options.size)
    for _ in range(options.members):
        await ws_connect(Client, f"ws://127.0.0.1:{options.port}/echo")
    await asyncio.sleep(options.warm)
    Client.counting = True
    began, server, own = time.perf_counter(), cpu_seconds(options.server), time.process_time()
    await asyncio.sleep(options.seconds)
    Client.counting = False
    spent = time.perf_counter() - began
    slowest = statistics.quantiles(Client.times, n=100) if len(Client.times) > 1 else [0.0] * 99
    figures = {
        "deliveries_per_s": Client.echoes / spent,
        "cpu_us": (cpu_seconds(options.server) - server) / max(1, Client.echoes) * 1e6,
        "load_cpu": (time.process_time() - own) / spent,
        "each_us": slowest[49] * 1e6,
        "each_us_p99": slowest[98] * 1e6,
        "damaged": Client.damaged,
        "disconnected": Client.ended,
        "finished": Client.echoes > 0,
    }
    print(json.dumps(figures | dict.fromkeys(("lost", "duplicates", "out_of_order", "unfinished"), 0)))


if __name__ == "__main__":
    uvloop.run(main())
