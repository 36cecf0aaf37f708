"""How `hubbub load` looks in a terminal: a few live lines while it runs, then the report."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import TracebackType

from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from hubbub.load import Latency, Plan, Report, View
from hubbub.logs import printable

__all__ = ["Gauge", "rows", "show"]

BAR = 36  # columns of the longest bar
MOST_ROWS = 14  # of the histogram, so that the report stays on one screen
STEPS = ((1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 5.0), (1.0,))  # where rows end in each decade: finest that fits


class Gauge:
    """The live lines. Where the output is no terminal, nothing is shown before the report."""

    def __init__(self, plan: Plan, screen: Console) -> None:
        self._plan = plan
        self._screen = screen
        self._live = Live(console=screen, auto_refresh=False, transient=True)

    def __enter__(self) -> Gauge:
        if self._screen.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, at: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, view: View) -> None:
        """Show how far it is."""
        if self._screen.is_terminal:
            self._live.update(_lines(self._plan, view), refresh=True)


def _lines(plan: Plan, view: View) -> RenderableType:
    told = view.progress
    if view.phase == "connecting":
        done, total = float(told.connected + told.failed), float(plan.connections)
        far = f"{told.connected:,} of {plan.connections:,}"
    else:
        done, total = min(max(view.elapsed, 0.0), plan.duration), plan.duration
        far = f"{done:.1f} of {total:g} s"
    head = Table.grid(padding=(0, 2))
    phase = "stopping; Ctrl+C again for at once" if view.stopping else view.phase
    head.add_row(Text(phase, "bold"), ProgressBar(total=total, completed=done, width=24), far)
    per_second = told.received / view.elapsed if view.elapsed > 0 else 0.0
    body = Table.grid(padding=(0, 2))
    body.add_row(*_pairs(sent=f"{told.sent:,}", received=f"{told.received:,}", **{"a second": f"{per_second:,.0f}"}))
    if told.received:
        median, p99 = (_ms(told.latency.quantile(share) / 1e6) for share in (0.5, 0.99))
        body.add_row(*_pairs(median=median, p99=p99, **{"own CPU": f"{told.busy:.0%} of a core"}))
    counts = {"connections failed": told.failed, "connections gone": told.gone, "messages wrong": told.wrong}
    troubles = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return Group(head, body, Text(troubles, "red"))


def _pairs(**shown: str) -> Iterator[Text]:
    for name, value in shown.items():
        yield Text(name, "dim")
        yield Text(value)


def show(report: Report, out: Console) -> None:
    """Print a report."""
    plan = report.plan
    out.print(Rule(Text(f"hubbub load {printable(plan['url'])}", "bold"), align="left", style="dim"))
    where = "echo" if plan["echo"] else _count(plan["rooms"], "room")
    asked = f"{_count(plan['connections'], 'connection')}, {where}, {plan['rate']:,g} messages a second"
    out.print(
        f"{asked}, {plan['payload']:,} bytes, {plan['duration']:g} s, {_count(plan['processes'], 'process', 'es')}"
    )
    if report.interrupted:
        out.print(Text(f"interrupted after {report.seconds:.1f} s", "yellow"))
    out.print()
    out.print(_figures(report))
    if report.messages.received:
        out.print()
        out.print(_histogram(report.latency_ms))
    for warning in report.warnings:
        out.print()
        table = Table.grid(padding=(0, 1))
        table.add_row(Text("!", "bold yellow"), Text(warning, "yellow"))
        out.print(table)
    out.print()
    out.print(_verdict(report))


def _figures(report: Report) -> Table:
    table = Table.grid(padding=(0, 2))
    connections, messages, generator = report.connections, report.messages, report.generator
    opening = connections.opening_ms
    took = f", in {_ms(opening.median)} each (median; {_ms(opening.largest)} at most)" if connections.opened else ""
    table.add_row("connections", f"{connections.opened:,} of {connections.wanted:,} opened{took}")
    for what, reasons in (("failed", connections.failed), ("gone", connections.gone)):
        for reason, count in reasons.items():
            table.add_row(Text(f"  {what}", "red"), Text(f"{count:,}: {reason}", "red"))
    table.add_row("sent", f"{_count(messages.sent, 'message')}, {messages.sent_per_second:,.0f} a second")
    table.add_row(
        "received",
        f"{messages.received:,} of {messages.expected:,} deliveries, {messages.received_per_second:,.0f} a second",
    )
    if messages.to_self_detected and messages.received:
        table.add_row("", Text(f"publishers {'' if messages.to_self else 'do not '}get their own (detected)", "dim"))
    for name, count in (
        ("lost", messages.lost),
        ("repeated", messages.duplicates),
        ("out of order", messages.reordered),
        ("astray", messages.strays),
    ):
        share = f" ({count / messages.expected:.2%})" if count and messages.expected else ""
        table.add_row(name, Text(f"{count:,}{share}", "red" if count else "green"))
    busy = ", ".join(f"{busy:.0%}" for busy in generator.busy[:8]) or "0%"
    late = f"{_ms(generator.behind_p99_ms)} behind its schedule (p99)"
    table.add_row("generator", Text(f"{busy} of a core, {late}", "yellow" if generator.limited else ""))
    return table


def _histogram(latency: Latency) -> Group:
    named = {"median": latency.median, "p90": latency.p90, "p99": latency.p99, "p99.9": latency.p999}
    figures = Table.grid(padding=(0, 2))
    figures.add_row("", *_pairs(**{name: _ms(value) for name, value in named.items()}, largest=_ms(latency.largest)))
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right")
    table.add_column(width=BAR)
    table.add_column(justify="right")
    table.add_column(justify="right")
    found = rows(latency.buckets)
    total, most = sum(count for _, count in found), max(count for _, count in found)
    for bound, count in found:
        bar = Bar(most, 0, count, width=BAR, color="cyan")
        table.add_row(f"  up to {_ms(bound)}", bar, f"{count / total:.2%}", Text(f"{count:,}", "dim"))
    return Group(Text("latency, from sending to each recipient", "dim"), figures, table)


def rows(buckets: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """A histogram's rows: where each ends, in milliseconds, and how many are in it. At most MOST_ROWS.

    A bucket belongs to the row that its upper edge is in.
    """
    lowest, highest = max(buckets[0][0], 1e-3), max(buckets[-1][0], 1e-3)
    found: list[tuple[float, int]] = []
    for steps in STEPS:
        bounds = list(_bounds(steps, lowest, highest))
        below = [sum(count for edge, count in buckets if edge <= bound) for bound in bounds]
        found = [(bound, upto - before) for bound, upto, before in zip(bounds, below, [0, *below], strict=False)]
        if len(found) <= MOST_ROWS:
            break
    return found


def _bounds(steps: tuple[float, ...], lowest: float, highest: float) -> Iterator[float]:
    """Round numbers, from the first that is not below the lowest to the first that is not below the highest."""
    decade = math.floor(math.log10(lowest))
    while True:
        for step in steps:
            bound = step * 10.0**decade
            if bound >= lowest:
                yield bound
            if bound >= highest:
                return
        decade += 1


def _verdict(report: Report) -> Text:
    messages, connections = report.messages, report.connections
    if report.sound:
        return Text("Everything came, once and in order.", "bold green")
    troubles = {
        "lost": messages.lost,
        "repeated": messages.duplicates,
        "out of order": messages.reordered,
        "astray": messages.strays,
        "connections failed": sum(connections.failed.values()),
        "connections gone": sum(connections.gone.values()),
    }
    said = ", ".join(f"{count:,} {what}" for what, count in troubles.items() if count)
    return Text(f"Not all is well: {said or 'no connection opened'}.", "bold red")


def _count(number: int, noun: str, plural: str = "s") -> str:
    return f"{number:,} {noun}{'' if number == 1 else plural}"


def _ms(milliseconds: float) -> str:
    """A time with about three digits that matter."""
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:,.4g} s"
    return f"{milliseconds:.2f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"
