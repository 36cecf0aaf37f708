"""The README's chart, from the runs of one workload: each server's share of the floor, as SVG for light and dark."""

from __future__ import annotations

import statistics
from html import escape

WIDTH, LABEL, BAR, ROW = 720, 190, 420, 34
STYLE = """\
text{font:14px system-ui,sans-serif;fill:#1d1d2b}.soft{fill:#6b6b80;font-size:12px}
.bar{fill:#b9b9cc}.ours{fill:#4f46e5}.range{stroke:#1d1d2b;stroke-width:1.5}
@media(prefers-color-scheme:dark){text{fill:#ececf4}.soft{fill:#9b9bb0}.bar{fill:#4a4a60}.ours{fill:#8b85ff}
.range{stroke:#ececf4}}"""


def draw(runs: dict[str, list[dict[str, float]]]) -> str:
    """Medians as bars, least and most as lines over their ends."""
    floor, *others = [(name, [run["deliveries_per_s"] for run in measured]) for name, measured in runs.items()]
    rows = [(name, [rate / base for rate, base in zip(rates, floor[1], strict=True)]) for name, rates in others]
    parts = []
    for index, (name, ratios) in enumerate([(floor[0], [1.0]), *rows]):
        top, middle = 44 + index * ROW, statistics.median(ratios)
        scale = BAR / max(1.0, *(max(ratios) for _, ratios in rows))
        kind = "bar ours" if name.startswith("hubbub") else "bar"
        parts.append(f'<text x="{LABEL - 10}" y="{top + 17}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="{kind}" x="{LABEL}" y="{top}" width="{middle * scale:.0f}" height="24" rx="4"/>')
        if len(ratios) > 1:
            low, high = LABEL + min(ratios) * scale, LABEL + max(ratios) * scale
            parts.append(f'<path class="range" d="M{low:.0f} {top + 12}H{high:.0f}"/>')
        end = LABEL + max(ratios) * scale + 10
        parts.append(f'<text x="{end:.0f}" y="{top + 17}">{middle:.2f}</text>')
    height = 60 + (len(rows) + 1) * ROW
    title = "One room of 1,000, 64 bytes, one message at a time: deliveries per second as a share of a C loop of send()"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">'
        f"<style>{STYLE}</style>"
        f'<text class="soft" x="10" y="22">{escape(title)}</text>{"".join(parts)}</svg>\n'
    )
