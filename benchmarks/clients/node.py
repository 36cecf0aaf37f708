"""One process with a node, whose broker HUBBUB_BROKER names: how fast it publishes, or joins channels, as JSON.

    node.py publish --channels N --history N     publications per second that the broker has acknowledged
    node.py join --channels N                    seconds until the node gets what is published to each of them

It has a server with one member, so that its node lives where a server's does, on the event loop. With `--echo` that
member is in the channels that are published to, so that all of it comes back, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import hubbub
from hubbub.server.run import event_loop

SOME = 256  # publications between two turns of the event loop
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@asynccontextmanager
async def member_of(hub: hubbub.Hub) -> AsyncIterator[hubbub.Socket]:
    """The socket of a member whose client reads whatever comes."""
    opened: asyncio.Future[hubbub.Socket] = asyncio.get_running_loop().create_future()

    class Member(hubbub.Handler):
        def opened(self) -> None:
            hub.join("lobby", self.socket)
            opened.set_result(self.socket)

    async with hubbub.serve(Member, hub=hub, port=0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(UPGRADE)
        reading = asyncio.ensure_future(read_all(reader))
        socket = await opened
        await hub.publish("lobby", b"the first")  # the node has begun, and its link is there
        yield socket
        reading.cancel()
        writer.close()


async def read_all(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 20):
        pass


async def publish(hub: hubbub.Hub, names: list[str], chosen: argparse.Namespace) -> dict[str, float]:
    """As fast as it can for some seconds. The outbox is bounded: when it is full, the broker has the next word."""
    broadcast, payload, most = hub.broadcast, b"x" * chosen.size, len(names)
    accepted = begun = 0
    cpu = began = 0.0
    start = time.monotonic()
    while (now := time.monotonic()) < start + chosen.warm + chosen.seconds:
        if not began and now >= start + chosen.warm:
            began, cpu, begun = now, time.process_time(), accepted - node(hub).outbox
        try:
            for _ in range(SOME):
                broadcast(names[accepted % most], payload)
                accepted += 1
            await asyncio.sleep(0)
        except hubbub.Overloaded:
            await asyncio.sleep(0.001)
    at_end = node(hub)
    done = accepted - at_end.outbox - begun
    if at_end.failed or at_end.missed:
        raise SystemExit(f"{at_end.failed} publications failed, {at_end.missed} were missed")
    return {
        "publications_per_s": done / (time.monotonic() - began),
        "cpu_us": (time.process_time() - cpu) * 1e6 / done,
    }


async def join(hub: hubbub.Hub, names: list[str], socket: hubbub.Socket) -> dict[str, float]:
    """Until something is published to each of them; for that a node waits until it is subscribed."""
    cpu, began = time.process_time(), time.monotonic()
    for name in names:
        hub.join(name, socket)
    called = time.monotonic() - began
    tickets = [hub.publish(name, b"here") for name in names]
    for ticket in tickets:
        await ticket
    return {
        "seconds": time.monotonic() - began,
        "calls": called,
        "cpu_s": time.process_time() - cpu,
    }


def node(hub: hubbub.Hub) -> hubbub.BrokerStatistics:
    now = hub.statistics().broker
    assert now is not None
    return now


async def main(chosen: argparse.Namespace) -> dict[str, float]:
    history = hubbub.History(size=chosen.history, ttl=300) if chosen.history else None
    hub = hubbub.Hub(history=history)
    names = [f"channel {number}" for number in range(chosen.channels)]
    async with member_of(hub) as socket:
        if chosen.what == "join":
            return await join(hub, names, socket)
        if chosen.echo:
            for name in names:
                hub.join(name, socket)
        return await publish(hub, names, chosen)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["publish", "join"])
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--history", type=int, default=0)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--warm", type=float, default=0.5)
    parser.add_argument("--echo", action="store_true")
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        print(json.dumps(runner.run(main(given))))
