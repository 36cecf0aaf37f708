"""Injects faults into worlds of sessions, under load, and judges what their clients were told. See --help."""

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
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from faults.engines import ENGINES, HISTORY
from faults.sessions.judge import SessionVerdict
from faults.sessions.trouble import SESSION_FAULTS
from faults.sessions.world import SessionWorld
from faults.trouble import Fault
from faults.world import Load

__all__ = ["faults_of", "trouble_sessions"]

BROKERS = ("sqlite", "local", "redis", "nats")
MARK, END = "<!-- the table of sessions -->", "<!-- its end -->"
COLUMNS = (
    "members", "messages", "acknowledged", "deliveries", "recovered", "healed", "told", "unrecovered", "duplicates",
    "inversions", "unsignalled", "false", "lost",
)  # fmt: skip
HEAD = f"| broker | fault | times | {' | '.join(COLUMNS)} |\n|---|---|---{'|---' * len(COLUMNS)}|"


def faults_of(broker: str, names: Sequence[str] = ()) -> list[Fault]:
    return [fault for fault in SESSION_FAULTS if broker in fault.engines and (not names or fault.name in names)]


async def trouble_sessions(broker: str, faults: Sequence[Fault], load: Load, folder: Path, seed: int) -> SessionVerdict:
    """One world, and these faults one after the other.

    Raises: AssertionError: it did not get well.
    """
    engine = ENGINES[broker](folder, HISTORY)
    engine.survives_this = engine.survives and all(fault.keeps for fault in faults)
    chance = random.Random(seed)
    world = SessionWorld(engine, load, any(fault.proxied for fault in faults), chance)
    try:
        await world.begin()
        for fault in faults:
            await asyncio.sleep(chance.random() * 0.1)
            await fault.inject(world, chance)
            await world.well()
        return await world.end()
    finally:
        await world.close()


def row(broker: str, fault: Fault, times: int, verdict: SessionVerdict) -> str:
    values = [broker, fault.what, times, *(getattr(verdict, name) for name in COLUMNS)]
    return "| " + " | ".join(str(value) for value in values) + " |"


async def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tests/faults/sessions/run.py",
        description="Run real-time servers on a broker, with clients that recover as the published libraries do, in"
        " both dialects; injure clients' connections, servers, the engine or the links to it; then judge what each"
        " client was told: no duplicate, no inversion, nothing missing without a word or where it says recovered, and"
        " nothing lost that was acknowledged or seen. Prints a table.",
    )
    parser.add_argument("--times", type=int, default=15, help="how often each fault is injected (15)")
    parser.add_argument("--brokers", default=",".join(BROKERS), help=f"of {', '.join(BROKERS)}; all if left out")
    parser.add_argument("--faults", default="", help=f"of {', '.join(f.name for f in SESSION_FAULTS)}; or all")
    parser.add_argument("--at-once", type=int, default=2, help="worlds at the same time (2)")
    parser.add_argument("--members", type=int, default=12)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--rate", type=float, default=15.0, help="publications a second, of each worker (15)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30), help="printed, to do it again")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after these no other world begins")
    parser.add_argument("--page", type=Path, help=f"a file in which what stands behind {MARK} is replaced by the table")
    given = parser.parse_args()
    load = Load(workers=given.workers, members=given.members, rate=given.rate)
    slots = asyncio.Semaphore(given.at_once)
    names = [name for name in given.faults.split(",") if name]
    chosen = [(broker, fault) for broker in given.brokers.split(",") for fault in faults_of(broker, names)]
    rows: dict[tuple[str, str], str] = {}
    wrong = 0
    until = time.monotonic() + given.seconds
    order = random.Random(given.seed).sample(chosen, len(chosen))

    async def one(broker: str, fault: Fault) -> None:
        nonlocal wrong
        async with slots:
            if time.monotonic() > until:
                return
            folder = Path(tempfile.mkdtemp(prefix="hb-"))
            began = time.monotonic()
            try:
                verdict = await trouble_sessions(broker, [fault] * given.times, load, folder, given.seed)
                rows[broker, fault.name] = row(broker, fault, given.times, verdict)
                told, wrong_here = f"{verdict}", verdict.wrong
                for complaint in verdict.faults:
                    told += f"\n    {complaint}"
            except Exception as error:
                told, wrong_here = f"failed: {type(error).__name__}: {error}", 1
            wrong += wrong_here
            how = "WRONG" if wrong_here else "well "
            print(f"{how} {time.monotonic() - began:5.1f} s {broker} {fault.name}: {told}", flush=True)
            if wrong_here:
                print(f"    its logs stay in {folder}", flush=True)
            else:
                shutil.rmtree(folder, ignore_errors=True)

    print(f"seed {given.seed}, {len(chosen)} rows, {len(chosen) * given.times} faults", flush=True)
    await asyncio.gather(*(one(*cell) for cell in order))
    table = "\n".join([HEAD, *(rows[b, f.name] for b, f in chosen if (b, f.name) in rows)])
    print(table)
    if given.page:
        seed = [] if "--seed" in sys.argv else ["--seed", str(given.seed)]
        command = shlex.join(["tests/faults/sessions/run.py", *sys.argv[1:], *seed])
        before, _, rest = given.page.read_text().partition(MARK)
        after = rest.partition(END)[2]
        done = f"{len(rows) * given.times} faults:"
        given.page.write_text(f"{before}{MARK}\n\n{done}\n\n    {command}\n\n{table}\n\n{END}{after}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
