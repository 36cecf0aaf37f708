"""A troubled world of sessions: between its clients and each server is a gate."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.engines import Engine
from faults.judge import Record
from faults.sessions.gate import Gate, Link
from faults.sessions.judge import SessionVerdict, judge
from faults.sessions.members import SessionMember
from faults.sessions.worker import NAME, item_of
from faults.world import PATIENCE, Load, Process, World
from hubbub.brokers import Publication
from hubbub.realtime.protocol import JSON, PROTOBUF

__all__ = ["SessionWorld"]

CALM = 4.0  # seconds for the world to get well, until less is published


class SessionWorld(World):
    script = Path(__file__).with_name("worker.py")
    room = NAME

    def __init__(self, engine: Engine, load: Load, proxied: bool, chance: random.Random) -> None:
        super().__init__(engine, load, proxied)
        self.chance = chance
        self.gates: list[Gate] = []

    async def invite(self) -> None:
        for worker in self.workers:
            self.gates.append(Gate(lambda worker=worker: worker.port, self.chance))  # type: ignore[misc]
            await self.gates[-1].open()
        for number in range(self.load.members):
            self.members.append(
                SessionMember(
                    number, self._emptiest, self.chance, dialect=(JSON, PROTOBUF)[number % 2],
                    server_side=number % 5 == 4, delta=number % 5 in (1, 2), speaks=number % 5 == 0,
                )
            )  # fmt: skip

    async def until(self, true: Callable[[], object], what: str) -> None:
        calming = asyncio.get_running_loop().create_task(self._calm_down())
        try:
            await super().until(true, what)
        finally:
            calming.cancel()

    async def _calm_down(self) -> None:
        """Clients that are too slow for what is published miss more while they recover: let a slow machine keep up."""
        while True:
            await asyncio.sleep(CALM)
            for worker in self.workers:
                worker.order("calm")
            for member in self.members:
                member.pause *= 2

    async def again(self, worker: Process) -> None:
        """And let it have its share of the clients."""
        await worker.start()
        gate = self.gates[self.workers.index(worker)]
        others = [link for link in self._links() if link.gate is not gate]
        for link in self.chance.sample(others, len(others) // 3):
            link.cut()
        await self.until(lambda: gate.links, "somebody is at the new one")
        await self.linked()
        worker.order("go")

    def absent(self) -> str:
        for worker in self.workers:
            worker.signal(signal.SIGUSR1)  # what its tasks wait for goes to the log
        return "; ".join(str(member) for member in self.members if not member.here)

    def _links(self) -> list[Link]:
        return [link for gate in self.gates for link in gate.links]

    def _emptiest(self) -> int:
        """The port of the gate that the fewest are at."""
        return min(self.gates, key=lambda gate: (len(gate.links), self.chance.random())).port

    async def link(self) -> Link:
        """Some client's."""
        await self.until(self._links, "somebody is here")
        return self.chance.choice(self._links())

    async def end(self) -> SessionVerdict:  # type: ignore[override]
        for member in self.members:
            member.quiet = True
        return await super().end()  # type: ignore[return-value]

    async def settle(self, last: tuple[str, int] | None) -> None:
        """Wait until all are where the channel is; those that do not get there are judged."""
        end = time.monotonic() + PATIENCE / 2
        while any(member.position != last or not member.here for member in self.members) and time.monotonic() < end:
            await asyncio.sleep(0.02)

    def judge(self, kept: list[Publication], last: tuple[str, int] | None) -> Any:
        record = Record(self.folder)
        members = [(member.name, member.events) for member in self.members]
        for publication in kept:
            record.note(item_of(publication), publication.epoch, publication.offset)
        record.sort()
        verdict = judge(record, members, self.engine.dense, last)
        verdict.acknowledged += sum(len(member.acknowledged) for member in self.members)
        self.look_into(verdict, record, kept, last)  # type: ignore[arg-type]
        self._look_for_what_was_seen(verdict, record, kept, last)
        return verdict

    def item_of(self, publication: Publication) -> str:
        return item_of(publication)

    def _look_for_what_was_seen(
        self, verdict: SessionVerdict, record: Record, kept: list[Publication], last: tuple[str, int] | None
    ) -> None:
        """What a client has seen, or was told is published, is kept; unless the engine may have lost that epoch."""
        have = {item_of(p) for p in kept}
        for member in self.members:
            seen = [e.item for e in member.events if e.kind == "publication"]
            seen += [item for e in member.events for _, item in e.found]
            for item in {*seen, *member.acknowledged} - have:
                place = record.places.get(item)
                if self.engine.survives_this or (place is not None and last is not None and place[0] == last[0]):
                    verdict.lost += 1
                    verdict.complain(f"{member.name}: {item} at {place} is not kept")

    async def close(self) -> None:
        await super().close()
        for gate in self.gates:
            gate.close()
