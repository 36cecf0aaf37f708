"""A troubled world: an engine, workers on it, and their members; it is loaded all the time, and judged at the end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL
from typing import Any

from faults.engines import Engine
from faults.judge import Record, Verdict, judge
from faults.members import Member
from hubbub.brokers import Publication
from hubbub.errors import BrokerUnavailable
from hubbub.node import name_of

__all__ = ["Load", "World"]

WORKER = Path(__file__).with_name("worker.py")
WAITS = {
    "ANSWER": 1.0, "SILENCE": 0.8, "HEARTBEAT": 0.4, "DEAF": 1.0, "LEASE": 1.6, "LOOKED_AFTER": 1.0, "UNDER_WAY": 0.3,
}  # fmt: skip
PATIENCE = 30.0  # seconds until the world has to be well again


@dataclass(frozen=True)
class Load:
    workers: int = 3
    members: int = 60
    rate: float = 60.0  # publications a second, of each worker
    shards: int = 7
    waits: dict[str, float] = field(default_factory=lambda: dict(WAITS))


class Process:
    """One worker: it is started again under another name when it was killed, so what it publishes stays apart."""

    def __init__(self, world: World, number: int, url: str, environment: dict[str, str]) -> None:
        self._world = world
        self._number = number
        self._url = url
        self._environment = environment
        self.port = 0
        self.lives = 0
        self.running: asyncio.subprocess.Process | None = None
        self.counts: dict[str, int] = {}  # of lives that are over

    @property
    def name(self) -> str:
        return f"{self._number:02}{self.lives:04}"

    async def start(self) -> None:
        self.lives += 1
        load, engine = self._world.load, self._world.engine
        given = {
            "name": self.name, "port": self.port, "url": self._url, "folder": str(self._world.folder),
            "history": engine.history, "rate": load.rate, "shards": load.shards, "waits": load.waits,
        }  # fmt: skip
        tests = os.pathsep.join([str(WORKER.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = os.environ | self._environment | {"PYTHONPATH": tests, "PYTHONUNBUFFERED": "1"}
        with (self._world.folder / "log").open("ab") as log:
            self.running = await asyncio.create_subprocess_exec(
                sys.executable, str(self._world.script), json.dumps(given), env=environment, stderr=log,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
        assert self.running.stdout is not None
        async with asyncio.timeout(PATIENCE):
            self.port = int(await self.running.stdout.readline() or b"0")
        assert self.port, "a worker did not start: see its log"

    def order(self, what: str) -> None:
        assert self.running is not None
        assert self.running.stdin is not None
        self.running.stdin.write(what.encode() + b"\n")

    async def tell(self) -> dict[str, Any]:
        self.order("tell")
        assert self.running is not None
        assert self.running.stdout is not None
        async with asyncio.timeout(PATIENCE):
            state: dict[str, Any] = json.loads(await self.running.stdout.readline())
        self._latest = state["broker"]
        return state

    def keep_counts(self) -> None:
        for name in ("gaps", "healed", "missed", "duplicates", "unknown", "resets"):
            self.counts[name] = self.counts.get(name, 0) + self._latest[name]
        self._latest = dict.fromkeys(self._latest, 0)

    def signal(self, number: int) -> None:
        assert self.running is not None
        self.running.send_signal(number)

    async def kill(self, how: int = SIGKILL) -> None:
        await self.tell()
        self.keep_counts()
        self.signal(how)
        assert self.running is not None
        await self.running.wait()

    async def end(self) -> None:
        if self.running is not None and self.running.returncode is None:
            with suppress(ProcessLookupError):
                self.running.kill()
            await self.running.wait()


class World:
    script = WORKER
    room = name_of("room")

    def __init__(self, engine: Engine, load: Load, proxied: bool) -> None:
        self.engine = engine
        self.folder = engine.folder
        self.load = load
        self.proxied = proxied
        self.workers: list[Process] = []
        self.members: list[Any] = []

    async def begin(self) -> None:
        await self.engine.start()
        for number in range(self.load.workers):
            url = await self.engine.url_of(number, self.proxied)
            self.workers.append(Process(self, number, url, self.engine.environment(number, self.proxied)))
        await asyncio.gather(*(worker.start() for worker in self.workers))
        await self.invite()
        await self.until(lambda: all(member.here for member in self.members), "all members are here")
        await self.linked()
        for worker in self.workers:
            worker.order("go")
        await self.well()

    async def invite(self) -> None:
        for number in range(self.load.members):
            self.members.append(Member(self.workers[number % len(self.workers)].port))

    async def until(self, true: Callable[[], object], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < end, f"it did not come true that {what}: {self.absent()}"
            await asyncio.sleep(0.005)

    def absent(self) -> str:
        """Who is not here."""
        return f"{sum(not member.here for member in self.members)} members are not here"

    async def states(self) -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(worker.tell() for worker in self.workers)))

    async def linked(self) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            states = await self.states()
            if all(state["broker"]["up"] and state["broker"]["lines"] for state in states):
                break
            assert time.monotonic() < end, f"no link: {[state['broker']['reason'] for state in states]}"
            await asyncio.sleep(0.02)
        reason = str(states[0]["broker"]["reason"])
        if "process " in reason:
            self.engine.relay_is(int(reason.split("process ")[1].split()[0]))

    async def again(self, worker: Process) -> None:
        """Start it again."""
        await worker.start()
        await self.linked()
        worker.order("go")

    async def well(self) -> None:
        """What each worker publishes from now on is acknowledged, and reaches every member."""
        await self.until(lambda: all(member.here for member in self.members), "all members are here")
        before = await self.states()
        end = time.monotonic() + PATIENCE
        while True:
            states = await self.states()
            if all(now["acknowledged"] > then["acknowledged"] + 2 for now, then in zip(states, before, strict=True)):
                break
            assert time.monotonic() < end, f"not all publish: {[state['broker'] for state in states]}"
            await asyncio.sleep(0.02)
        counts = [member.count for member in self.members]
        await self.until(
            lambda: all(m.count > count + 2 for m, count in zip(self.members, counts, strict=True)), "all members hear"
        )
        await self.linked()

    async def end(self) -> Verdict:
        """Let what is under way come, and judge."""
        for worker in self.workers:
            worker.order("stop")
        end = time.monotonic() + PATIENCE
        while any(state["in_flight"] for state in await self.states()):
            assert time.monotonic() < end, "publications that are never answered"
            await asyncio.sleep(0.02)
        await asyncio.sleep(self.load.waits["LOOKED_AFTER"] + self.load.waits["UNDER_WAY"] + 0.5)
        counts = []
        while counts != (counts := [member.count for member in self.members]):
            await asyncio.sleep(0.1)
        await self.states()
        for worker in self.workers:
            worker.keep_counts()
        kept, last = await self._audit()
        await self.settle(last)
        verdict = await asyncio.to_thread(self.judge, kept, last)
        verdict.healed = sum(worker.counts["healed"] for worker in self.workers)
        return verdict

    async def settle(self, last: tuple[str, int] | None) -> None:
        """The channel is there at the end."""

    def judge(self, kept: list[Publication], last: tuple[str, int] | None) -> Verdict:
        record = Record(self.folder)
        logs = [[connection.log() for connection in member.connections] for member in self.members]
        verdict = judge(record, logs, self.engine.dense, last)
        if self.engine.history:
            self.look_into(verdict, record, kept, last)
        return verdict

    def item_of(self, publication: Publication) -> str:
        return publication.body[1:].decode()

    async def _audit(self) -> tuple[list[Publication], tuple[str, int] | None]:
        """What the broker has kept, and where the channel stands."""
        broker = self.engine.auditor()
        states: list[bool] = []

        class Events:
            def state(self, up: bool, reason: str) -> None:
                states.append(up)

            def __getattr__(self, name: str) -> Any:
                return lambda *_: None

        await broker.start(b"audit.", Events())
        try:
            await self.until(lambda: states and states[-1], "the auditor has a link")
            for _ in range(100):
                try:
                    if self.engine.history:
                        page = await broker.history(self.room)
                        return list(page.publications), (page.top.epoch, page.top.offset)
                    (position,) = await broker.positions([self.room])
                    return [], (position.epoch, position.offset) if position else None
                except BrokerUnavailable:
                    await asyncio.sleep(0.1)
            raise AssertionError("the broker cannot be read")
        finally:
            await broker.close()

    def look_into(
        self, verdict: Verdict, record: Record, kept: list[Publication], last: tuple[str, int] | None
    ) -> None:
        assert last is not None
        have = {self.item_of(p): (p.epoch, p.offset) for p in kept}
        for item, place in record.acknowledged.items():
            if (place[0] == last[0] or self.engine.survives_this) and have.get(item) != place:
                verdict.lost += 1
                verdict.complain(f"{item} was acknowledged at {place} and is kept at {have.get(item)}")
        if len(have) != len(kept):
            verdict.duplicates += len(kept) - len(have)
            verdict.complain("the history has something twice")

    async def close(self) -> None:
        for member in self.members:
            member.leave()
        await asyncio.gather(*(worker.end() for worker in self.workers))
        await self.engine.end()
