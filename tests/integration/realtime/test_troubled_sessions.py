"""Servers of sessions, injured under load: nobody misses anything without a word (`make faults-sessions`)."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path

import pytest

from faults.sessions.run import BROKERS, faults_of, trouble_sessions
from faults.world import Load

OF_CLIENTS = [
    "cut-clients",
    "cut-commands",
    "cut-replies",
    "cut-everybody",
    "stall-reader",
    "end-worker",
    "kill-worker",
]
OF_LINKS = ["kill-engine", "stop-worker-for-long", "cut-all", "lose-messages", "repeat-messages"]
WORLDS = [("sqlite", OF_CLIENTS), ("local", OF_LINKS), ("sqlite", OF_LINKS), ("redis", OF_LINKS), ("nats", OF_LINKS)]


@pytest.mark.timeout(180)
async def test_every_fault_is_healed_recovered_or_told() -> None:
    """Some worlds at a time. What has no server here is left out."""
    slots, seed = asyncio.Semaphore(3), random.randrange(1 << 30)
    assert {broker for broker, _ in WORLDS} == set(BROKERS)

    async def one(broker: str, names: list[str]) -> None:
        faults = [fault for fault in faults_of(broker) if fault.name in names]
        assert len(faults) == len(names)
        async with slots:
            with tempfile.TemporaryDirectory(prefix="hb-") as folder:
                try:
                    verdict = await trouble_sessions(broker, faults, Load(members=10, rate=15), Path(folder), seed)
                except pytest.skip.Exception:
                    return
        assert not verdict.wrong, (broker, names, seed, verdict.faults)
        assert verdict.deliveries > 500

    await asyncio.gather(*(one(*world) for world in WORLDS))
