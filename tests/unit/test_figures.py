"""Figures on pages of the docs are those of the committed benchmarks."""

from __future__ import annotations

import re

import pytest

from support.pages import DOCS

BENCHMARKS = DOCS.parent / "benchmarks"
SOURCES = {
    "`benchmarks/results/published.md`": (BENCHMARKS / "results" / "published.md").read_text(),
    "`benchmarks/README.md`": (BENCHMARKS / "README.md").read_text(),
}


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its first two lines."""
    part = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_comparison_has_the_medians_that_were_published() -> None:
    published = SOURCES["`benchmarks/results/published.md`"]
    measured = [
        {
            server: of_floor.split()[0]
            for server, _, of_floor, *_ in rows(published, f"One room of 1,000, 64 bytes, {how}")
        }
        for how in ("one message at a time", "16 messages in flight")
    ]
    shown = rows((DOCS / "comparison.md").read_text(), "Speed")
    assert len(shown) > 10
    for server, *figures in shown:
        assert figures == [column[server] for column in measured], server
    left_out = set(measured[0]) - {server for server, *_ in shown}
    assert left_out == {"floor in C", "floor in C, joined", "nats-server"}  # no servers for clients


@pytest.mark.parametrize(
    "row", rows((DOCS / "topics" / "sizing.md").read_text(), "Figures to count with"), ids=lambda row: row[0]
)
def test_the_page_on_sizing_counts_with_figures_that_were_published(row: list[str]) -> None:
    _, costs, sources = row
    texts = SOURCES.values() if sources == "both" else [SOURCES[sources]]
    known = "\n".join(texts).replace(",000", " k")
    for figure in re.findall(r"\d[\d.,]*", costs.replace(",000", " k")):
        assert re.search(rf"(?<![\d.]){re.escape(figure.strip('.,'))}(?![\d]|\.\d)", known), figure
