"""One process of a troubled world: a server whose members are in one room, which publishes to it as well.

Its one argument is JSON; lines on its input are orders: `go`, `calm`, `stop`, and `tell`, which is answered with JSON.
What became of what it published is in the file `NAME.published`, and what its node handed to the hub in `NAME.seen`:
both are written at once, so that they outlive a kill.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
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
        self.leaving: asyncio.Future[None] = asyncio.Future()
        folder = Path(given["folder"])
        mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self.published = os.open(folder / f"{self.name}.published", mode)
        self.seen = os.open(folder / f"{self.name}.seen", mode)
        self.begin(given)

    def begin(self, given: dict[str, Any]) -> None:
        history = hubbub.History(given["history"], 3600) if given["history"] else None
        shards = given["shards"]
        self.hub = hubbub.Hub(
            broker=given["url"], history=history, shards=lambda _: shards, missed=self.missed,
            limits=hubbub.Limits(ping_interval=3600),
        )  # fmt: skip
        self.note(self.hub._reach, lambda name, publication: publication.body[1:].decode())

    def note(self, events: Any, item_of: Callable[[bytes, Publication], str | None]) -> None:
        """Write down what the node hands over."""
        deliver = events.deliver

        def noted(name: bytes, publications: Sequence[Publication]) -> None:
            items = [(p, item) for p in publications if (item := item_of(name, p)) is not None]
            if items:
                lines = [f"{p.epoch} {p.offset} {p.previous} {item}\n" for p, item in items]
                os.write(self.seen, "".join(lines).encode())
            deliver(name, publications)

        events.deliver = noted

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

    async def say(self, item: str) -> tuple[str, int]:
        """Publish it. Returns where it is."""
        done = await self.hub.publish(ROOM, item)
        return done.epoch, done.offset

    async def one(self, number: int) -> None:
        self.in_flight += 1
        try:
            epoch, offset = await self.say(f"{self.name}{number:08}")
            line = f"{number} ok {epoch} {offset}"
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
        elif order == "calm":
            self.rate /= 2
        elif order == "tell":
            state = {
                "acknowledged": self.acknowledged, "count": self.count, "in_flight": self.in_flight,
                "told": len(self.told), "broker": asdict(self.statistics()),
            }  # fmt: skip
            print(json.dumps(state), flush=True)

    def statistics(self) -> Any:
        return self.hub.statistics().broker

    async def left(self) -> None:
        """The end is to come."""

    def serving(self, port: int) -> Any:
        worker = self

        class Member(hubbub.Handler):
            def opened(self) -> None:
                worker.hub.join(ROOM, self.socket)

        return hubbub.serve(Member, hub=worker.hub, port=port)


async def main(kind: type[Worker] = Worker) -> None:
    given = json.loads(sys.argv[1])
    shorten(given["waits"])
    worker = kind(given)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, lambda: [task.print_stack() for task in asyncio.all_tasks()])
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def obey() -> None:
        while order := await reader.readline():
            worker.obey(order.decode().strip())

    async with worker.serving(given["port"]) as server:
        print(server.port, flush=True)
        await asyncio.wait([worker.leaving, obeying := loop.create_task(obey())], return_when="FIRST_COMPLETED")
        await worker.left()
        obeying.cancel()


if __name__ == "__main__":
    asyncio.run(main())
