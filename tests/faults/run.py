"""Injects faults under load, many times each, and judges by the logs of the members. See --help."""

from __future__ import annotations

import argparse
import asyncio
import random
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.engines import ENGINES, HISTORY
from faults.judge import Verdict
from faults.trouble import FAULTS, Fault
from faults.world import Load, World

__all__ = ["Cell", "cells", "trouble"]


@dataclass(frozen=True)
class Cell:
    """One row of the table: a fault, on one broker, with history or without."""

    broker: str
    history: bool
    fault: Fault

    def __str__(self) -> str:
        return f"{self.broker}{'+history' if self.history else ''} {self.fault.name}"


def cells(brokers: list[str], faults: list[str]) -> list[Cell]:
    return [
        Cell(broker, history, fault)
        for broker in brokers
        for history in ((True,) if broker == "sqlite" else (False, True))
        for fault in FAULTS
        if broker.split("-")[0] in fault.engines
        and (not faults or fault.name in faults)
        and fault.name in (ENGINES[broker].only or fault.name)
    ]


async def trouble(broker: str, history: bool, faults: Sequence[Fault], load: Load, folder: Path, seed: int) -> Verdict:
    """One world, and these faults one after the other.

    Raises: AssertionError: it did not get well.
    """
    engine = ENGINES[broker](folder, HISTORY if history else 0)
    engine.survives_this = engine.survives and all(fault.keeps for fault in faults)
    world = World(engine, load, any(fault.proxied for fault in faults))
    chance = random.Random(seed)
    try:
        await world.begin()
        for fault in faults:
            await asyncio.sleep(chance.random() * 0.1)
            await fault.inject(world, chance)
            await world.well()
        return await world.end()
    finally:
        await world.close()


MARK = "<!-- the table -->"
HEAD = (
    "| broker | fault | times | members | publications | deliveries | gaps | told | healed | unknown | duplicates |"
    " inversions | unsignalled | miscounted | lost |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def row(cell: Cell, times: int, v: Verdict) -> str:
    broker = cell.broker + (" with history" if cell.history and cell.broker != "sqlite" else "")
    values = [
        broker, cell.fault.what, times, v.members, v.messages, v.deliveries, v.gaps, v.told, v.healed, v.unknown,
        v.duplicates, v.inversions, v.untold, v.miscounted, v.lost if cell.history else "",
    ]  # fmt: skip
    return "| " + " | ".join(str(value) for value in values) + " |"


async def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tests/faults/run.py",
        description="Run servers on a broker, with members on WebSockets and publishers in all of them; injure the"
        " engine, the workers or the links between them, so many times; then judge the members' logs: no duplicate, no"
        " inversion, no gap that the hub's `missed` callback was not told of, in its number where offsets are dense;"
        " with history nothing missing that the engine has; what was acknowledged is kept. Prints a table.",
    )
    parser.add_argument("--times", type=int, default=20, help="how often each fault is injected (20)")
    parser.add_argument("--brokers", default=",".join(ENGINES), help=f"of {', '.join(ENGINES)}; all if left out")
    parser.add_argument("--faults", default="", help=f"of {', '.join(f.name for f in FAULTS)}; all if left out")
    parser.add_argument("--at-once", type=int, default=2, help="worlds at the same time (2)")
    parser.add_argument("--members", type=int, default=60)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--rate", type=float, default=60.0, help="publications a second, of each worker (60)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30), help="printed, to do it again")
    parser.add_argument("--page", type=Path, help=f"a file in which what stands behind {MARK} is replaced by the table")
    given = parser.parse_args()
    load = Load(workers=given.workers, members=given.members, rate=given.rate)
    slots = asyncio.Semaphore(given.at_once)
    chosen = cells(given.brokers.split(","), [name for name in given.faults.split(",") if name])
    rows: dict[Cell, str] = {}
    wrong = 0

    async def one(cell: Cell) -> None:
        nonlocal wrong
        async with slots:
            folder = Path(tempfile.mkdtemp(prefix="hb-"))
            began = time.monotonic()
            try:
                faults = [cell.fault] * given.times
                verdict = await trouble(cell.broker, cell.history, faults, load, folder, given.seed)
                rows[cell] = row(cell, given.times, verdict)
                told, wrong_here = f"{verdict}", verdict.wrong
                for fault in verdict.faults:
                    told += f"\n    {fault}"
            except Exception as error:
                told, wrong_here = f"failed: {type(error).__name__}: {error}", 1
            wrong += wrong_here
            print(f"{'WRONG' if wrong_here else 'well '} {time.monotonic() - began:5.1f} s {cell}: {told}", flush=True)
            if wrong_here:
                print(f"    its logs stay in {folder}", flush=True)
            else:
                shutil.rmtree(folder, ignore_errors=True)

    print(f"seed {given.seed}, {len(chosen)} rows", flush=True)
    await asyncio.gather(*(one(cell) for cell in chosen))
    table = "\n".join([HEAD, *(rows[cell] for cell in chosen if cell in rows)])
    print(table)
    if given.page:
        seed = [] if "--seed" in sys.argv else ["--seed", str(given.seed)]
        command = shlex.join(["tests/faults/run.py", *sys.argv[1:], *seed])
        text = given.page.read_text().partition(MARK)[0]
        given.page.write_text(f"{text}{MARK}\n\n    {command}\n\n{table}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
