"""The benchmark: hubbub, its peers and the floor, in turn, on the same two cores.

In every round of a workload each server runs once, so that shares of the floor compare neighbours in time. Writes
results/DATE.json with every single run, and results/DATE.md with the tables.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import chart
import installed
import machine
import report
from measure import Failed, disturbance, measure
from peers import PEERS, Peer
from peers import QUICK as QUICK_PEERS
from workloads import QUICK as QUICK_WORKLOADS
from workloads import WORKLOADS, Workload

RESULTS = Path(__file__).parent / "results"
ASSETS = Path(__file__).parent.parent / "docs" / "assets"
DISTURBED = 0.25  # share of a core taken by others, from which on a run is repeated
OVERHEAD = 1.0  # seconds that a run takes beside measuring: start, opening, draining

CANNOT = {
    "echo": "it serves rooms only",
    "deflate": "not measured compressed",
    "two": "it uses one core",
    "tls": "not measured over TLS",
    "asgi": "it is no ASGI server",
    "sessions": "it has no sessions",
    "stalled": "a bare loop waits for whoever does not read",
}


def main() -> None:
    chosen = arguments()
    if chosen.draw:
        draw()
        return
    try:
        installed.native()
    except installed.Missing as error:
        sys.exit(str(error))
    if len(machine.CORES) < 2:
        print("only one core here: server and load share it, and the figures mean little")
    workloads = [WORKLOADS[key] for key in chosen.workload or (QUICK_WORKLOADS if chosen.quick else WORKLOADS)]
    peers = [PEERS[name] for name in chosen.server or (QUICK_PEERS if chosen.quick else PEERS)]
    left_out = {workload.key: reason for workload in workloads if (reason := lacking(workload))}
    workloads = [workload for workload in workloads if workload.key not in left_out]
    skipped, versions = install(peers)
    peers = [peer for peer in peers if peer.name not in skipped]
    results: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine.facts(),
        "versions": versions,
        "settings": {"rounds": chosen.rounds, "seconds": chosen.seconds, "warm": chosen.warm, "again": chosen.again},
        "skipped": skipped,
        "left_out": left_out,
        "workloads": {},
    }
    progress = Progress(
        sum(len(able(peers, workload)[0]) * (2 if workload.beside else 1) for workload in workloads), chosen
    )
    for workload in workloads:
        results["workloads"][workload.key] = run_workload(workload, peers, chosen, progress)
        print(report.table(workload, results), flush=True)
        save(results)
    print(report.summary(results))
    print(f"every run is in {save(results)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="rounds of every workload (5, quick 3)")
    parser.add_argument("--seconds", type=float, help="of measuring in each run (2, quick 1)")
    parser.add_argument("--warm", type=float, help="seconds of load before measuring (0.5, quick 0.3)")
    parser.add_argument("--again", type=int, help="times that a run is repeated which others disturbed (2, quick 0)")
    parser.add_argument("--quick", action="store_true", help="few servers and workloads: under three minutes")
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS), help="only this one; may be repeated")
    parser.add_argument("--server", action="append", choices=list(PEERS), help="only this one; may be repeated")
    parser.add_argument("--draw", action="store_true", help="draw the README's charts from the newest results, and end")
    chosen = parser.parse_args()
    chosen.rounds = chosen.rounds or (3 if chosen.quick else 5)
    chosen.seconds = chosen.seconds or (1.0 if chosen.quick else 2.0)
    chosen.warm = chosen.warm or (0.3 if chosen.quick else 0.5)
    if chosen.again is None:
        chosen.again = 0 if chosen.quick else 2
    return chosen


def install(peers: list[Peer]) -> tuple[dict[str, str], dict[str, str]]:
    """Those that are not to be had, with the reasons; and the versions of the others."""
    skipped: dict[str, str] = {}
    versions: dict[str, str] = {}
    for peer in peers:
        try:
            peer.command(0)
            versions[peer.name] = peer.versions()
        except installed.Missing as error:
            skipped[peer.name] = str(error)
            print(f"without {peer.name}: {error}")
    return skipped, {name: version for name, version in versions.items() if version}


def lacking(workload: Workload) -> str:
    """Why a workload cannot be had here; empty if it can."""
    try:
        if workload.tls:
            installed.certificate()
    except installed.Missing as error:
        print(f"without {workload.key}: {error}")
        return str(error)
    return ""


def able(peers: list[Peer], workload: Workload) -> tuple[list[Peer], dict[str, str]]:
    """Those that a workload is for, and why the others are not."""
    chosen: list[Peer] = []
    reasons: dict[str, str] = {}
    for peer in peers:
        if peer.only is not None:
            if workload.key in peer.only:
                chosen.append(peer)
        elif workload.needs not in peer.can and not (workload.key == "writers" and peer.name.startswith("floor")):
            reasons[peer.name] = CANNOT[workload.needs]
        elif workload.client and peer.name.startswith("floor"):
            reasons[peer.name] = "it answers every key alike, which only the suite's load takes"
        elif workload.exact and peer.dialect != "plain":
            reasons[peer.name] = "its messages are not the bare payload"
        else:
            chosen.append(peer)
    return chosen, reasons


def run_workload(
    workload: Workload, peers: list[Peer], chosen: argparse.Namespace, progress: Progress
) -> dict[str, Any]:
    """All rounds, each beginning with another server. A server that failed is not tried again."""
    servers, reasons = able(peers, workload)
    runs: dict[str, list[dict[str, Any]]] = {peer.name: [] for peer in servers}
    failed: dict[str, str] = {}
    for number in range(chosen.rounds):
        shift = number % len(servers)
        for peer in servers[shift:] + servers[:shift]:
            progress.step(f"{workload.key}, round {number + 1}, {peer.name}", 2 if workload.beside else 1)
            if peer.name in failed:
                continue
            try:
                runs[peer.name].append({"round": number, **quietest(peer, workload, chosen)})
            except (Failed, TimeoutError) as error:
                failed[peer.name] = str(error)
    progress.clear()
    return {"title": workload.title, "runs": runs, "failed": failed, "unable": reasons}


def quietest(peer: Peer, workload: Workload, chosen: argparse.Namespace) -> dict[str, Any]:
    """One run, again if other programs disturbed it; the least disturbed counts, and the others are kept beside it."""
    tries = [measure(peer, workload, chosen.seconds, chosen.warm)]
    while disturbance(tries[-1]) > DISTURBED and len(tries) <= chosen.again:
        tries.append(measure(peer, workload, chosen.seconds, chosen.warm))
    best = min(tries, key=disturbance)
    return best | {"disturbed": [figures for figures in tries if figures is not best]}


class Progress:
    """One line that tells what runs and how long the rest will take."""

    def __init__(self, runs: int, chosen: argparse.Namespace) -> None:
        self.left = self.all = runs * chosen.rounds
        self.guess = chosen.seconds + chosen.warm + OVERHEAD
        self.began = time.monotonic()
        print(f"{self.all} runs, about {self.all * self.guess / 60:.0f} minutes", flush=True)

    def step(self, what: str, runs: int) -> None:
        done = self.all - self.left
        each = (time.monotonic() - self.began) / done if done > 10 else self.guess
        if sys.stdout.isatty():
            print(f"\r{self.left * each / 60:4.0f} min left: {what:<70}"[:100], end="", flush=True)
        self.left -= runs

    def clear(self) -> None:
        if sys.stdout.isatty():
            print("\r" + " " * 100 + "\r", end="")
        else:
            print(
                f"{self.all - self.left} of {self.all} runs after {(time.monotonic() - self.began) / 60:.1f} min",
                flush=True,
            )


def save(results: dict[str, Any]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{results['date'].replace(':', '')}.json"
    path.write_text(json.dumps(results, indent=1))
    path.with_suffix(".md").write_text(report.document(results))
    return path


def draw() -> None:
    """The charts, from the newest results; which are kept as published, for whoever wants to check."""
    found = sorted(RESULTS.glob("2*.json"))
    if not found:
        sys.exit("no results yet: make bench")
    results = json.loads(found[-1].read_text())
    for name, svg in chart.charts(results).items():
        (ASSETS / f"{name}.svg").write_text(svg)
        print(f"wrote docs/assets/{name}.svg")
    published = RESULTS / "published.json"
    published.write_text(json.dumps(results, indent=1))
    published.with_suffix(".md").write_text(report.document(results))


if __name__ == "__main__":
    main()
