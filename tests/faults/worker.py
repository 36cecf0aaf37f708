"""One process of a troubled world: a server whose members are in one room, which publishes to it as well.

Its one argument is JSON; lines on its input are orders: `go`, `stop`, and `tell`, which is answered with JSON. What
became of what it published is in the file `NAME.published`, and what its node handed to the hub in `NAME.seen`: both
are written at once, so that they outlive a kill.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import hubbub
from hubbub.brokers import Publication, local
from hubbub.node import colleagues, lines, stay

ROOM = "room"
BODY = 14  # characters of a message: its publisher's name of 6, and its number
IN_FLIGHT = 512


def shorten(waits: dict[str, float]) -> None:
    """Let what waits for seconds wait for less, so that a fault is over sooner."""
    links = [import_module(f"hubbub.brokers.{kind}.link") for kind in ("nats", "redis")]
    for module in (local, colleagues, lines, stay, *links):
        for name, seconds in waits.items():
            if hasattr(module, name):
                setattr(module, name, seconds)


class Worker:
    def __init__(self, given: dict[str, Any]) -> None:
        self.name: str = given["name"]
        self.rate: float = given["rate"]
        self.count = 0
        self.acknowledged = 0
        self.in_flight = 0
        self.publishing: asyncio.Task[None] | None = None
        self.told: list[int | None] = []
        history = hubbub.History(given["history"], 3600) if given["history"] else None
        shards = given["shards"]
        self.hub = hubbub.Hub(
            broker=given["url"], history=history, shards=lambda _: shards, missed=self.missed,
            limits=hubbub.Limits(ping_interval=3600),
        )  # fmt: skip
        folder = Path(given["folder"])
        mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self.published = os.open(folder / f"{self.name}.published", mode)
        self.seen = os.open(folder / f"{self.name}.seen", mode)
        reach: Any = self.hub.reach
        deliver = reach.deliver

        def noted(name: bytes, publications: Sequence[Publication]) -> None:
            if publications:
                lines = [f"{p.epoch} {p.offset} {p.previous} {p.body[1:].decode()}\n" for p in publications]
                os.write(self.seen, "".join(lines).encode())
            deliver(name, publications)

        reach.deliver = noted

    def missed(self, channel: Any, count: int | None) -> None:
        """Members find it where it happened."""
        self.told.append(count)
        mark = f"missed {'some' if count is None else count}".ljust(BODY)
        for member in list(self.hub.members(channel)):
            member.socket.write(mark)

    async def publish(self) -> None:
        loop = asyncio.get_running_loop()
        following: set[asyncio.Task[None]] = set()
        due = loop.time()
        while True:
            due = max(due + 1 / self.rate, loop.time() - 0.05)
            if (rest := due - loop.time()) > 0.002:
                await asyncio.sleep(rest)
            if self.in_flight >= IN_FLIGHT:
                await asyncio.sleep(0.005)
                continue
            self.count += 1
            task = asyncio.ensure_future(self.one(self.count))
            following.add(task)
            task.add_done_callback(following.discard)

    async def one(self, number: int) -> None:
        self.in_flight += 1
        try:
            ticket = self.hub.publish(ROOM, f"{self.name}{number:08}")
            done = await ticket
            line = f"{number} ok {done.epoch} {done.offset}"
            self.acknowledged += 1
        except hubbub.BrokerUnavailable as error:
            line = f"{number} {error.outcome}"
        except hubbub.HubbubError:
            line = f"{number} unsent"
        finally:
            self.in_flight -= 1
        os.write(self.published, line.encode() + b"\n")

    def obey(self, order: str) -> None:
        if order == "go" and self.publishing is None:
            self.publishing = asyncio.ensure_future(self.publish())
        elif order == "stop" and self.publishing is not None:
            self.publishing.cancel()
            self.publishing = None
        elif order == "tell":
            statistics = self.hub.statistics()
            assert statistics.broker is not None
            state = {
                "acknowledged": self.acknowledged, "count": self.count, "in_flight": self.in_flight,
                "members": self.hub.count(ROOM), "told": len(self.told), "broker": asdict(statistics.broker),
            }  # fmt: skip
            print(json.dumps(state), flush=True)


async def main() -> None:
    given = json.loads(sys.argv[1])
    shorten(given["waits"])
    worker = Worker(given)

    class Member(hubbub.Handler):
        def opened(self) -> None:
            worker.hub.join(ROOM, self.socket)

    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with hubbub.serve(Member, hub=worker.hub, port=given["port"]) as server:
        print(server.port, flush=True)
        while order := await reader.readline():
            worker.obey(order.decode().strip())


if __name__ == "__main__":
    asyncio.run(main())
