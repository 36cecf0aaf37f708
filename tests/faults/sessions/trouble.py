"""What can happen between clients and servers; and which of the faults of brokers sessions are put through."""

from __future__ import annotations

import asyncio
import random
import signal
from typing import Any

from faults import trouble
from faults.sessions.world import SessionWorld
from faults.trouble import Fault, fault

__all__ = ["SESSION_FAULTS"]

OWN: list[Fault] = []
SMALL, LARGE = 400, 4000  # bytes: what comes while a client connects, and within half a second later


@fault(among=OWN)
async def cut_clients(world: Any, chance: random.Random) -> None:
    """a client's connection is cut after any byte from the server"""
    assert isinstance(world, SessionWorld)
    link = await world.link()
    link.cut_after("down", chance.randrange(1, LARGE))
    await world.until(lambda: link.over, "it was cut")


@fault(among=OWN)
async def cut_commands(world: Any, chance: random.Random) -> None:
    """one is cut after any byte from the client, while it connects and recovers"""
    await _cut_coming(world, chance, "up", SMALL)


@fault(among=OWN)
async def cut_replies(world: Any, chance: random.Random) -> None:
    """one is cut after any byte of what it recovers"""
    await _cut_coming(world, chance, "down", LARGE)


async def _cut_coming(world: Any, chance: random.Random, way: str, most: int) -> None:
    assert isinstance(world, SessionWorld)
    for gate in world.gates:
        gate.coming.append((way, chance.randrange(1, most)))
    for _ in world.gates:
        (await world.link()).cut()
    await asyncio.sleep(0.3)


@fault(among=OWN)
async def cut_everybody(world: Any, chance: random.Random) -> None:
    """all clients of one server are cut, each after another byte"""
    assert isinstance(world, SessionWorld)
    links = list(chance.choice(world.gates).links)
    for link in links:
        link.cut_after("down", chance.randrange(1, LARGE))
    await world.until(lambda: all(link.over for link in links), "they were cut")


@fault(among=OWN)
async def stall_reader(world: Any, chance: random.Random) -> None:
    """some clients stop reading, until the server has given up some of what they lack"""
    assert isinstance(world, SessionWorld)
    links = [await world.link() for _ in range(3)]
    for link in links:
        link.stall()
    await asyncio.sleep(1.0 + chance.random() * 1.5)
    for link in links:
        link.stall(False)
    await asyncio.sleep(0.2)


@fault(among=OWN)
async def end_worker(world: Any, chance: random.Random) -> None:
    """SIGTERM of a worker, which is started again"""
    assert isinstance(world, SessionWorld)
    worker = chance.choice(world.workers)
    await worker.kill(signal.SIGTERM)
    await world.again(worker)


SESSION_FAULTS = [*OWN, *trouble.FAULTS]
