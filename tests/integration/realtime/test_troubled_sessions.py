"""Servers of sessions, injured under load: nobody misses anything without a word (`make faults-sessions` does more)."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path

import pytest

from faults.sessions.run import BROKERS, faults_of, trouble_sessions
from faults.world import WAITS, Load

OF_PROCESSES = ["kill-worker", "kill-engine"]
OF_LINKS = ["cut-all", "lose-messages", "repeat-messages"]
WORLDS = [("sqlite", OF_PROCESSES), ("local", OF_LINKS), ("redis", OF_LINKS), ("nats", OF_LINKS)]
PATIENT = Load(workers=2, members=6, rate=8, waits=WAITS | {"ANSWER": 4.0, "SILENCE": 4.0, "LOOKED_AFTER": 0.5})


@pytest.mark.timeout(120)
async def test_every_fault_is_healed_recovered_or_told() -> None:
    """All worlds at once. What has no server here is left out."""
    seed = random.randrange(1 << 30)
    assert {broker for broker, _ in WORLDS} == set(BROKERS)

    async def one(broker: str, names: list[str]) -> None:
        faults = faults_of(broker, names)
        assert len(faults) == len(names)
        with tempfile.TemporaryDirectory(prefix="hb-") as folder:
            try:
                verdict = await trouble_sessions(broker, faults, PATIENT, Path(folder), seed)
            except pytest.skip.Exception:
                return
        assert not verdict.wrong, (broker, names, seed, verdict.faults)
        assert verdict.deliveries > 50

    await asyncio.gather(*(one(*world) for world in WORLDS))
