"""Several servers on one broker, under load: one sequence for all members. Then with faults (`make faults`)."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path

import pytest

from faults.engines import ENGINES
from faults.run import cells, trouble
from faults.trouble import Fault
from faults.world import Load, World


@pytest.mark.parametrize("broker", [name for name, kind in ENGINES.items() if not kind.only])
async def test_a_thousand_members_of_four_processes_get_one_sequence(broker: str, tmp_path: Path) -> None:
    world = World(ENGINES[broker](tmp_path, 0), Load(workers=4, members=1000, rate=150), proxied=False)
    try:
        await world.begin()
        await asyncio.sleep(1.5)
        verdict = await world.end()
        sequences = {connection.log() for member in world.members for connection in member.connections}
    finally:
        await world.close()
    assert not verdict.wrong, verdict.faults
    assert len(sequences) == 1
    assert verdict.deliveries == 1000 * verdict.acknowledged == 1000 * verdict.messages
    assert verdict.messages > 300


WORLDS = [
    (broker, history, proxied, keeps)
    for broker in ENGINES
    for history in ((True,) if broker == "sqlite" else (False, True))
    for proxied in (False, True)
    for keeps in (True, False)
]


def faults_of(broker: str, history: bool, proxied: bool, keeps: bool) -> list[Fault]:
    return [
        cell.fault
        for cell in cells([broker], [])
        if (cell.history, cell.fault.proxied, cell.fault.keeps) == (history, proxied, keeps)
    ]


@pytest.mark.timeout(180)
async def test_every_fault_is_healed_or_told() -> None:
    """Twice each, some worlds at a time. What has no server here is left out."""
    slots = asyncio.Semaphore(9)
    seed = random.randrange(1 << 30)

    async def one(broker: str, history: bool, proxied: bool, keeps: bool) -> None:
        faults = faults_of(broker, history, proxied, keeps) * 2
        if not faults:
            return
        async with slots:
            with tempfile.TemporaryDirectory(prefix="hb-") as folder:
                try:
                    verdict = await trouble(broker, history, faults, Load(members=12, rate=30), Path(folder), seed)
                except pytest.skip.Exception:
                    return
        assert not verdict.wrong, (broker, history, proxied, keeps, seed, verdict.faults)

    await asyncio.gather(*(one(*world) for world in WORLDS))
