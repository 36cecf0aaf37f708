"""The README's charts: bars of medians with a line from least to most, readable on light and dark pages.

Each one brings its own background, for a page's theme need not be that of the system, which is all an SVG can ask for.
"""

from __future__ import annotations

import statistics
from html import escape
from typing import Any

import report
from peers import FLOOR, JOINED

WIDTH, LABEL, BAR, ROW = 760, 200, 420, 30
STYLE = """\
text{font:14px system-ui,sans-serif;fill:#1d1d2b}.title{font-weight:600}.soft{fill:#5d5d70;font-size:12px}
.page{fill:#fff;stroke:#d8d8e4}.bar{fill:#b9b9cc}.floor{fill:#8e8ea6}.ours{fill:#4f46e5}.range{stroke:#1d1d2b;stroke-width:1.5}
@media(prefers-color-scheme:dark){text{fill:#ececf4}.soft{fill:#a9a9bd}.page{fill:#15151f;stroke:#33334a}
.bar{fill:#4a4a60}.floor{fill:#6c6c86}.ours{fill:#8b85ff}.range{stroke:#ececf4}}"""


def charts(results: dict[str, Any]) -> dict[str, str]:
    """The SVGs by name, from the workloads that were measured."""
    drawn: dict[str, str] = {}
    measured = results["workloads"]
    if "room" in measured:
        runs = measured["room"]["runs"]
        bars = {name: report.shares(of, runs[FLOOR]) for name, of in runs.items() if of and name != JOINED}
        drawn["room"] = _draw(
            measured["room"]["title"], "deliveries per second, as a share of a C loop of send()", bars, ""
        )
    if "burst16" in measured:
        runs = measured["burst16"]["runs"]
        bars = {name: [run["deliveries_per_s"] / 1e6 for run in of] for name, of in runs.items() if of}
        drawn["burst"] = _draw(measured["burst16"]["title"], "million deliveries per second", bars, " M")
    return drawn


def _draw(title: str, unit: str, bars: dict[str, list[float]], suffix: str) -> str:
    rows = sorted(bars.items(), key=lambda bar: -statistics.median(bar[1]))
    scale = BAR / max(max(values) for values in bars.values())
    height = 76 + len(rows) * ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"',
        f' aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        f'<text class="title" x="18" y="30">{escape(title)}</text>',
        f'<text class="soft" x="18" y="50">{escape(unit)}</text>',
    ]
    for index, (name, values) in enumerate(rows):
        parts.append(_row(name, values, 64 + index * ROW, scale, suffix))
    return "".join(parts) + "</svg>\n"


def _row(name: str, values: list[float], top: int, scale: float, suffix: str) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    kind = "bar ours" if name.startswith("hubbub") else "bar floor" if name.startswith("floor") else "bar"
    parts = [
        f'<text x="{LABEL - 10}" y="{top + 16}" text-anchor="end">{escape(name)}</text>',
        f'<rect class="{kind}" x="{LABEL}" y="{top}" width="{max(middle * scale, 1):.0f}" height="22" rx="3"/>',
    ]
    if high > low:
        parts.append(f'<path class="range" d="M{LABEL + low * scale:.0f} {top + 11}H{LABEL + high * scale:.0f}"/>')
    parts.append(f'<text x="{LABEL + high * scale + 10:.0f}" y="{top + 16}">{_number(middle)}{suffix}</text>')
    return "".join(parts)


def _number(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"
