"""Where a peer is ahead of hubbub: in rate, in CPU, or in memory, each compared within its round."""

from __future__ import annotations

import statistics
from typing import Any

from peers import OURS, PEERS
from workloads import Workload

Runs = dict[str, list[dict[str, Any]]]

# What the tables call a figure, and whether more of it is better.
FIGURES = {"its rate": True, "its CPU": False, "its memory": False}
LEGEND = "Each figure is a share of hubbub's in the same round: a rate above 1, or CPU or memory below 1, is ahead."
SEEN = 0.005  # a share that is 1.00 when told is not ahead


def peers(workload: Workload, runs: Runs) -> dict[str, dict[str, list[float]]]:
    """The peers that are ahead in something, and all their figures as shares of hubbub's."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, own in runs.items():
        known = _compared(workload, own, runs.get(_beside(name, workload), [])) if name in PEERS else {}
        if any(_ahead(figure, values) for figure, values in known.items()):
            found[name] = known
    return found


def line(workload: Workload, runs: Runs) -> str:
    """One sentence, or none where there is nobody to compare."""
    if not any(runs.get(_beside(name, workload)) for name, own in runs.items() if own and name in PEERS):
        return ""
    told = "; ".join(_told(name, figures, workload) for name, figures in peers(workload, runs).items())
    return f"Where a peer is ahead: {told or 'nowhere'}."


def _beside(name: str, workload: Workload) -> str:
    """Which of hubbub's a peer is compared with."""
    ours = PEERS[name].beside
    return OURS if ours and workload.needs == "sessions" else ours


def _compared(workload: Workload, own: list[dict[str, Any]], ours: list[dict[str, Any]]) -> dict[str, list[float]]:
    accepting = workload.each == "connection"
    names = {
        "its rate": "accepted_per_s" if accepting else "deliveries_per_s",
        "its CPU": "accept_cpu_us" if accepting else "cpu_us",
        "its memory": "bytes_per_connection",
    }
    shares: dict[str, list[float]] = {}
    for figure, name in names.items():
        known = {run["round"]: run[name] for run in ours if run.get(name)}
        values = [run[name] / known[run["round"]] for run in own if run.get(name) and run["round"] in known]
        if values:
            shares[figure] = values
    return shares


def _ahead(figure: str, values: list[float]) -> bool:
    middle = statistics.median(values)
    return middle >= 1 + SEEN if FIGURES[figure] else middle < 1 - SEEN


def _told(name: str, figures: dict[str, list[float]], workload: Workload) -> str:
    ours = _beside(name, workload)
    words = {
        "its rate": f"has {{}} of {ours}'s rate",
        "its CPU": f"needs {{}} of {ours}'s CPU a{'n' * (workload.each == 'echo')} {workload.each}",
        "its memory": f"takes {{}} of {ours}'s memory a connection",
    }
    parts: list[str] = []
    for figure, values in figures.items():
        if _ahead(figure, values):
            middle, least, most = (f"{value:.2f}" for value in (statistics.median(values), min(values), max(values)))
            parts.append(words[figure].format(middle if least == most else f"{middle} ({least}-{most})"))
    return f"{name} {' and '.join(parts)}"
