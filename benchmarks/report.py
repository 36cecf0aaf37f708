"""Tables of the results, as Markdown that also reads well in a terminal."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Any

import ahead
from measure import disturbance
from peers import BUN, FLOOR, JOINED, PEERS
from workloads import WORKLOADS, Workload

BUSY = 0.9  # share of a core above which the load itself may be the limit
NOISE = 0.1  # share of a core taken by other programs, or by other machines, that is worth telling
FAULTS = ("lost", "duplicates", "out_of_order", "damaged", "disconnected", "unfinished")
Run = dict[str, Any]


def document(results: dict[str, Any]) -> str:
    """Everything: the machine, the versions, all tables, and who is missing."""
    machine, settings = results["machine"], results["settings"]
    facts = (
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, Python {machine['python']},"
        f" {machine['compiler']}. {settings['rounds']} interleaved rounds of {settings['seconds']:g} s after"
        f" {settings['warm']:g} s of warming up. Medians, with least and most in brackets."
    )
    lines = [f"# {results['date']}", "", facts, ""]
    lines += [table(WORKLOADS[key], results) for key in results["workloads"] if key in WORKLOADS]
    lines.append(summary(results))
    lines += ["## Versions", "", *(f"- {name}: {version}" for name, version in results["versions"].items()), ""]
    missing = results["skipped"] | results.get("left_out", {})
    lines += ["## Not measured", "", *(f"- {name}: {reason}" for name, reason in missing.items()), ""]
    return "\n".join(lines)


def table(workload: Workload, results: dict[str, Any]) -> str:
    """One workload: a row for each server, and why some have none."""
    measured = results["workloads"][workload.key]
    columns = _columns(workload, measured["runs"])
    rows = [["server", *columns]]
    for name, runs in measured["runs"].items():
        if runs:
            rows.append([name, *(cell(runs) for cell in columns.values())])
    parts = [f"## {measured['title']}", "", *aligned(rows), "", *_over(measured["runs"])]
    if told := ahead.line(workload, measured["runs"]):
        parts += [told, ""]
    reasons = measured["failed"] | measured["unable"]
    reasons |= {name: reason for name, reason in results["skipped"].items() if _meant_for(name, workload)}
    if reasons:
        names: dict[str, list[str]] = {}
        for name, reason in reasons.items():
            names.setdefault(reason, []).append(name)
        parts += ["Not here: " + "; ".join(f"{', '.join(who)} ({reason})" for reason, who in names.items()) + ".", ""]
    return "\n".join(parts)


def summary(results: dict[str, Any]) -> str:
    """Every workload in which a peer is ahead of hubbub, or the words that there is none."""
    rows = [["workload", "peer", *ahead.FIGURES]]
    for key, measured in results["workloads"].items():
        if key not in WORKLOADS:
            continue
        for name, figures in ahead.peers(WORKLOADS[key], measured["runs"]).items():
            told = (spread(figures[figure], two) if figure in figures else "-" for figure in ahead.FIGURES)
            rows.append([key, name, *told])
    found = [*aligned(rows), "", ahead.LEGEND] if len(rows) > 1 else ["In none of these workloads."]
    return "\n".join(["## Where a peer is ahead of hubbub", "", *found, ""])


def _over(measured: dict[str, list[Run]]) -> list[str]:
    """What TLS was agreed on."""
    agreed = sorted({run["tls"] for runs in measured.values() for run in runs if "tls" in run})
    return [f"Over {'; '.join(agreed)}, P-256 certificate.", ""] if agreed else []


def _meant_for(name: str, workload: Workload) -> bool:
    return name in PEERS and (PEERS[name].only is None or workload.key in (PEERS[name].only or ()))


def _columns(workload: Workload, measured: dict[str, list[Run]]) -> dict[str, Callable[[list[Run]], str]]:
    if workload.each == "connection":
        return _accept_columns(workload, measured)
    columns: dict[str, Callable[[list[Run]], str]] = {
        "deliveries per s": lambda runs: spread((run["deliveries_per_s"] for run in runs), count),
    }
    if measured.get(FLOOR):
        columns["of the floor"] = lambda runs: spread(shares(runs, measured[FLOOR]), two)
    if measured.get(JOINED) and workload.joins:
        columns["of the joined floor"] = lambda runs: spread(shares(runs, measured[JOINED]), two)
    if measured.get(BUN):
        columns["of Bun"] = lambda runs: spread(shares(runs, measured[BUN]), two)
    columns["sends"] = _sends
    columns["CPU µs"] = lambda runs: spread((run["cpu_us"] for run in runs), two)
    if workload.beside:
        columns["of undisturbed"] = lambda runs: spread(_undisturbed(runs, "deliveries_per_s"), two)
        columns["its p99"] = lambda runs: spread(_undisturbed(runs, "p99_us"), two)
    if workload.each == "echo":
        columns["round trip p50 / p99, ms"] = lambda runs: _latencies(runs, "each_us", "each_us_p99")
    elif workload.key != "writers":
        columns["first / p50 / p99 / last, ms"] = lambda runs: _latencies(
            runs, "first_us", "p50_us", "p99_us", "last_us"
        )
    columns["stall p99 / max, ms"] = _stall
    columns["peak MB"] = lambda runs: _one((run["memory_peak"] / 2**20 for run in runs), "{:.0f}")
    if workload.needs == "stalled":
        columns["cut off"] = lambda runs: _one((run["stalled_cut"] for run in runs), "{:.0f}")
    if workload.deflate:
        columns["bytes"] = lambda runs: _one((run["wire_bytes"] for run in runs), "{:.0f}")
    columns["remarks"] = lambda runs: _remarks(runs, workload)
    return columns


def _accept_columns(workload: Workload, measured: dict[str, list[Run]]) -> dict[str, Callable[[list[Run]], str]]:
    columns: dict[str, Callable[[list[Run]], str]] = {
        "accepted per s": lambda runs: spread((run["accepted_per_s"] for run in runs), count),
        "CPU µs": lambda runs: spread((run["accept_cpu_us"] for run in runs if "accept_cpu_us" in run), two),
    }
    if "--idle" in workload.load:
        columns["KB"] = lambda runs: spread((run["bytes_per_connection"] / 1024 for run in runs), two)
    else:
        if measured.get(BUN):
            columns["of Bun's rate"] = lambda runs: spread(shares(runs, measured[BUN], "accepted_per_s"), two)
            columns["of Bun's CPU"] = lambda runs: spread(shares(runs, measured[BUN], "accept_cpu_us"), two)
        columns["CPU µs of their end"] = lambda runs: spread((run["close_cpu_us"] for run in runs), two)
        columns["stall p99 / max, ms"] = _stall
        columns["peak MB"] = lambda runs: _one((run["memory_peak"] / 2**20 for run in runs), "{:.0f}")
    columns["remarks"] = lambda runs: _remarks(runs, workload)
    return columns


def shares(runs: list[Run], others: list[Run], figure: str = "deliveries_per_s") -> list[float]:
    """Of the other server's figure in the same round."""
    known = {run["round"]: run[figure] for run in others if figure in run}
    return [run[figure] / known[run["round"]] for run in runs if figure in run and known.get(run["round"])]


def _undisturbed(runs: list[Run], figure: str) -> list[float]:
    pairs = [(run.get(figure), run["undisturbed"].get(figure)) for run in runs]
    return [one / other for one, other in pairs if one is not None and other]


def _sends(runs: list[Run]) -> str:
    """Per delivery: by the server's own count, or (~) by the TCP segments that reached the members."""
    counted = [run["sends"] for run in runs if "sends" in run]
    if counted:
        return _one(counted, "{:.3g}")
    return _one((run["segments"] for run in runs if "segments" in run), "~{:.3g}")


def _stall(runs: list[Run]) -> str:
    told = [run for run in runs if "stall_p99_ms" in run]
    if not told:
        return "-"
    return (
        f"{statistics.median(run['stall_p99_ms'] for run in told):.1f} / {max(run['stall_max_ms'] for run in told):.1f}"
    )


def _latencies(runs: list[Run], *names: str) -> str:
    return " / ".join(_one((run[name] / 1e3 for run in runs if name in run), "{:.3g}") for name in names)


def _remarks(runs: list[Run], workload: Workload) -> str:
    """Faults of the server, and doubts about the figures. All runs' faults are added up."""
    parts = [f"{name.replace('_', ' ')} {total}" for name in FAULTS if (total := sum(run.get(name, 0) for run in runs))]
    stopped = sum(not run.get("finished", True) for run in runs)
    if stopped:
        parts.append(f"stopped sending in {stopped} of {len(runs)}")
    if workload.deflate and not all(run["compressed"] for run in runs):
        parts.append("plain")
    busy = statistics.median(run["load_cpu"] if "load_cpu" in run else run["accept_load_cpu"] for run in runs)
    if busy > BUSY:
        parts.append(f"load's core {busy:.0%} busy")
    if (noise := max(disturbance(run) for run in runs)) > NOISE:
        parts.append(f"others took up to {noise:.0%} of a core")
    return ", ".join(parts) or "none"


def spread(values: Iterable[float], form: Callable[[float], str]) -> str:
    """Median, least and most."""
    known = list(values)
    if not known:
        return "-"
    middle, low, high = form(statistics.median(known)), form(min(known)), form(max(known))
    return middle if low == high else f"{middle} ({low}-{high})"


def _one(values: Iterable[float], form: str) -> str:
    known = list(values)
    return form.format(statistics.median(known)) if known else "-"


def count(value: float) -> str:
    return (
        f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.0f} k" if value >= 1e4 else f"{value / 1e3:.1f} k"
    )


def two(value: float) -> str:
    return f"{value:.2f}"


def aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
