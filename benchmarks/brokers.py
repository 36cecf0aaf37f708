"""The benchmark of brokers: processes that are joined, by one engine after the other, and what others use for that.

In every round of a workload each way runs once, with engines that are started for it. Writes
results/brokers-DATE.json with every single run, and results/brokers-DATE.md with the tables.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import installed
import machine
from between import ALONE, WORKLOADS, Failed, Run, Times, Workload
from engines import ENGINES
from report import FAULTS, NOISE, aligned, count, spread, two

RESULTS = Path(__file__).parent / "results"
DISTURBED = 0.25  # share of a core taken by others, from which on a run is repeated


def main() -> None:
    chosen = arguments()
    if chosen.keep:
        keep()
        return
    try:
        installed.native()
    except installed.Missing as error:
        sys.exit(str(error))
    results: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine.facts(),
        "settings": {"rounds": chosen.rounds, "seconds": chosen.seconds, "warm": chosen.warm, "again": chosen.again},
        "versions": {},
        "workloads": {},
    }
    for key in chosen.workload or WORKLOADS:
        results["workloads"][key] = run(WORKLOADS[key], chosen, results["versions"])
        print(table(WORKLOADS[key], results["workloads"][key]), flush=True)
        save(results)
    print(f"every run is in {save(results)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of every workload")
    parser.add_argument("--seconds", type=float, default=2.0, help="of measuring in each run")
    parser.add_argument("--warm", type=float, default=1.0, help="seconds of load before measuring")
    parser.add_argument("--again", type=int, default=2, help="times that a run is repeated which others disturbed")
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS), help="only this one; may be repeated")
    parser.add_argument("--way", action="append", help="only this one, by its name in the tables; may be repeated")
    parser.add_argument("--keep", action="store_true", help="keep the newest results as the published ones, and end")
    return parser.parse_args()


def run(workload: Workload, chosen: argparse.Namespace, versions: dict[str, str]) -> dict[str, Any]:
    """All rounds, each beginning with another way. One that failed is not tried again."""
    ways = [way for way in workload.ways if not chosen.way or way in chosen.way]
    runs: dict[str, list[Run]] = {way: [] for way in ways}
    reasons: dict[str, str] = {}
    for number in range(chosen.rounds):
        shift = number % len(ways)
        for way in ways[shift:] + ways[:shift]:
            if way in reasons:
                continue
            try:
                if way in ENGINES:
                    versions[way] = ENGINES[way].version()
                runs[way].append({"round": number, **quietest(workload, way, chosen)})
            except (Failed, installed.Missing, TimeoutError) as error:
                reasons[way] = str(error)
    return {"runs": runs, "reasons": reasons}


def quietest(workload: Workload, way: str, chosen: argparse.Namespace) -> Run:
    """One run, again if other programs disturbed it; the least disturbed counts, and the others are kept beside it."""
    times = Times(chosen.seconds, chosen.warm)
    tries = [workload.measure(way, times)]
    while tries[-1]["others_cpu"] > DISTURBED and len(tries) <= chosen.again:
        tries.append(workload.measure(way, times))
    best = min(tries, key=lambda run: float(run["others_cpu"]))
    return best | {"disturbed": [run for run in tries if run is not best]}


def table(workload: Workload, measured: dict[str, Any]) -> str:
    """A row for each way, and why some have none."""
    runs: dict[str, list[Run]] = measured["runs"]
    columns = COLUMNS[workload.kind]
    rows = [["", *columns, *([f"of {workload.beside}"] if workload.beside else []), "remarks"]]
    for way, of_way in runs.items():
        if of_way:
            cells = [column(of_way) for column in columns.values()]
            if workload.beside:
                cells.append(spread(shares(workload, of_way, runs.get(workload.beside, [])), two))
            rows.append([way, *cells, remarks(of_way)])
    parts = [f"## {workload.title}", "", *aligned(rows), ""]
    if measured["reasons"]:
        told = "; ".join(f"{way} ({reason})" for way, reason in measured["reasons"].items())
        parts += [f"Not here: {told}.", ""]
    return "\n".join(parts)


def shares(workload: Workload, runs: list[Run], others: list[Run]) -> list[float]:
    """Deliveries per CPU-second, or publications per second, as parts of the other's in the same round."""
    figure: Callable[[Run], float] = (
        (lambda run: 1 / run["cpu_us"]) if workload.beside == ALONE else lambda run: run["publications_per_s"]
    )
    known = {run["round"]: figure(run) for run in others}
    return [figure(run) / known[run["round"]] for run in runs if run["round"] in known]


def remarks(runs: list[Run]) -> str:
    parts = [f"{name.replace('_', ' ')} {total}" for name in FAULTS if (total := sum(run.get(name, 0) for run in runs))]
    if (noise := max(run["others_cpu"] for run in runs)) > NOISE:
        middle = statistics.median(run["others_cpu"] for run in runs)
        parts.append(f"others took {middle:.0%} of a core, {noise:.0%} at most")
    return ", ".join(parts) or "none"


def figure(name: str, form: Callable[[float], str] = two, unit: float = 1) -> Callable[[list[Run]], str]:
    return lambda runs: spread((run[name] * unit for run in runs if name in run), form)


def three(value: float) -> str:
    return f"{value:.3f}"


COLUMNS: dict[str, dict[str, Callable[[list[Run]], str]]] = {
    "room": {
        "deliveries per s": figure("deliveries_per_s", count),
        "CPU µs": figure("cpu_us"),
        "segments": figure("segments", three),
        "last p50, ms": figure("last_us", unit=1e-3),
    },
    "publish": {
        "publications per s": figure("publications_per_s", count),
        "CPU µs of the process": figure("cpu_us"),
    },
    "latency": {
        "first, ms": figure("first_us", unit=1e-3),
        "last p50, ms": figure("last_us", unit=1e-3),
        "last p99, ms": figure("last_us_p99", unit=1e-3),
        "CPU of all": figure("server_cpu", three),
    },
    "join": {
        "seconds": figure("seconds"),
        "CPU s of the process": figure("cpu_s"),
        "the calls alone, s": figure("calls"),
    },
}


def document(results: dict[str, Any]) -> str:
    facts, settings = results["machine"], results["settings"]
    about = (
        f"{facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}, Python {facts['python']},"
        f" {facts['compiler']}. {settings['rounds']} interleaved rounds of {settings['seconds']:g} s after"
        f" {settings['warm']:g} s of warming up. Medians, with least and most in brackets."
    )
    lines = [f"# {results['date']}", "", about, ""]
    lines += [table(WORKLOADS[key], measured) for key, measured in results["workloads"].items() if key in WORKLOADS]
    versions = {way: version for way, version in results["versions"].items() if version}
    lines += ["## Versions", "", *(f"- {way}: {version}" for way, version in versions.items()), ""]
    return "\n".join(lines)


def save(results: dict[str, Any]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"brokers-{results['date'].replace(':', '')}.json"
    path.write_text(json.dumps(results, indent=1))
    path.with_suffix(".md").write_text(document(results))
    return path


def keep() -> None:
    found = sorted(RESULTS.glob("brokers-2*.json"))
    if not found:
        sys.exit("no results yet: make bench-brokers")
    for suffix in (".json", ".md"):
        shutil.copy(found[-1].with_suffix(suffix), RESULTS / f"published-brokers{suffix}")
        print(f"wrote results/published-brokers{suffix}")


if __name__ == "__main__":
    main()
