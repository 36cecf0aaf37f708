"""What a run found, as data: the figures, whether all is well, and what to know about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from hubbub.load.dial import PORTS
from hubbub.load.histogram import Histogram
from hubbub.load.plan import Plan
from hubbub.load.tally import Tally

__all__ = ["Connections", "Generator", "Latency", "Messages", "Report", "report"]

BUSY = 0.9  # share of a core, from which on a process may be what is slow
LATE = 20.0  # milliseconds behind its own schedule, in one turn of a hundred, from which on it is
RESERVE = 32  # descriptors of a process that are no connections


@dataclass(frozen=True, kw_only=True)
class Connections:
    """What became of the connections. `failed` never opened, `gone` ended before the end; each by reason."""

    wanted: int
    opened: int
    failed: dict[str, int]
    gone: dict[str, int]
    opening_ms: Latency


@dataclass(frozen=True, kw_only=True)
class Messages:
    """What became of the messages. A delivery is one message that reached one member."""

    planned: int
    sent: int
    expected: int  # deliveries
    received: int  # different deliveries
    lost: int  # deliveries
    duplicates: int
    reordered: int  # that came after a later one of the same publisher
    strays: int  # that came to a connection that they were not meant for
    to_self: bool  # whether publishers are counted as recipients of their own messages
    to_self_detected: bool  # whether that was found out
    sent_per_second: float
    received_per_second: float
    received_bytes: int


@dataclass(frozen=True, kw_only=True)
class Latency:
    """A distribution in milliseconds. `buckets` holds the upper edge and the count of each that is not empty."""

    median: float
    p90: float
    p99: float
    p999: float
    largest: float
    buckets: list[tuple[float, int]]

    @classmethod
    def of(cls, histogram: Histogram) -> Latency:
        """From nanoseconds."""
        median, p90, p99, p999 = (histogram.quantile(share) / 1e6 for share in (0.5, 0.9, 0.99, 0.999))
        buckets = [(high / 1e6, count) for _, high, count in histogram.spans()]
        largest = histogram.largest / 1e6
        return cls(median=median, p90=p90, p99=p99, p999=p999, largest=largest, buckets=buckets)


@dataclass(frozen=True, kw_only=True)
class Generator:
    """How the load generator itself fared."""

    busy: list[float]  # share of a core, of each process while it published
    behind_p99_ms: float  # its own schedule
    behind_largest_ms: float
    limited: bool  # the figures may be those of the generator, not of the server


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole report."""

    plan: dict[str, Any]
    seconds: float  # from the first message's time to the last one's
    interrupted: bool
    sound: bool  # every connection opened and stayed, every message came once and in order
    connections: Connections
    messages: Messages
    latency_ms: Latency
    generator: Generator
    warnings: list[str]

    def as_json(self) -> str:
        """For programs."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()


def report(plan: Plan, tally: Tally, *, interrupted: bool, descriptors: float) -> Report:
    """The report of what all processes counted together.

    Args: descriptors: how many a process may have; inf for any number.
    """
    to_self = _to_self(plan, tally)
    expected = tally.expected - (0 if to_self else tally.own_expected)
    received = tally.received - (0 if to_self else tally.own)
    lost = max(expected - received, 0)
    seconds = tally.published / 1e9
    took = max(tally.published, tally.last) / 1e9
    behind = Latency.of(tally.behind)
    limited = max(tally.busy, default=0.0) >= BUSY or behind.p99 >= LATE
    wrong = lost + tally.duplicates + tally.reordered + tally.strays
    return Report(
        plan=_shown(plan),
        seconds=seconds,
        interrupted=interrupted,
        sound=not (wrong or tally.failed or tally.gone or not tally.connected),
        connections=Connections(
            wanted=plan.connections,
            opened=tally.connected,
            failed=dict(tally.failed.most_common()),
            gone=dict(tally.gone.most_common()),
            opening_ms=Latency.of(tally.opening),
        ),
        messages=Messages(
            planned=tally.planned,
            sent=tally.sent,
            expected=expected,
            received=received,
            lost=lost,
            duplicates=tally.duplicates,
            reordered=tally.reordered,
            strays=tally.strays,
            to_self=to_self,
            to_self_detected=plan.to_self is None and not plan.echo,
            sent_per_second=tally.sent / seconds if seconds else 0.0,
            received_per_second=received / took if took else 0.0,
            received_bytes=tally.bytes,
        ),
        latency_ms=Latency.of(tally.latency),
        generator=Generator(
            busy=[round(busy, 3) for busy in tally.busy],
            behind_p99_ms=behind.p99,
            behind_largest_ms=behind.largest,
            limited=limited,
        ),
        warnings=list(_warnings(plan, tally, behind, interrupted, descriptors)),
    )


def _to_self(plan: Plan, tally: Tally) -> bool:
    """Whether publishers are to get their own messages. Others must have got some before none tells anything."""
    if plan.echo or plan.to_self is not None:
        return plan.echo or plan.to_self is True
    return tally.own > 0 or tally.received == tally.own


def _shown(plan: Plan) -> dict[str, Any]:
    """The plan as JSON takes it, without the values of headers: tokens travel in them."""
    shown = {name: getattr(plan, name) for name in Plan.__dataclass_fields__}
    shown["headers"] = [name for name, _ in plan.headers]
    shown["ca"] = None if plan.ca is None else str(plan.ca)
    return shown


def _warnings(plan: Plan, tally: Tally, behind: Latency, interrupted: bool, descriptors: float) -> list[str]:
    found: list[str] = []
    busiest = max(tally.busy, default=0.0)
    more = "try --processes" if plan.processes == 1 else "try more processes"
    if busiest >= BUSY:
        found.append(
            f"The load generator used {busiest:.0%} of a core: the figures may be its limit, not the server's. "
            f"{more[0].upper()}{more[1:]}, fewer connections, a lower rate, or another machine."
        )
    elif behind.p99 >= LATE:
        found.append(
            f"The load generator was up to {behind.largest:,.0f} ms behind its own schedule: this machine is too busy "
            "for it, and latencies are too high by as much. Run it on another machine, or ask for less."
        )
    unsent = tally.planned - tally.sent
    if unsent > 0 and not interrupted and tally.gone.total() < tally.connected:
        found.append(
            f"{unsent:,} of {tally.planned:,} messages were never sent: the load generator fell behind, "
            "or the server did not read, or publishers were gone."
        )
    if tally.connected and not tally.received and (tally.sent or tally.gone):
        found.append(
            "Nothing came back. Does the server speak what --join and --say say? Servers that send back what they get "
            "are measured with --echo; `hubbub connect` lets you try messages by hand."
        )
    if tally.late:
        found.append(
            f"Messages still came when {plan.drain:g} s had passed since the last one was sent: the server is behind, "
            "and part of what counts as lost is late. A larger --drain waits for it, a lower --rate spares it."
        )
    if tally.unsettled:
        found.append(
            f"{tally.unsettled:,} connections had no answer to a ping when it began: "
            "if they had not joined by then, what they missed counts as lost. A larger --settle may help."
        )
    found += _scarcities(plan, tally, descriptors)
    return found


def _scarcities(plan: Plan, tally: Tally, descriptors: float) -> list[str]:
    """What this machine has too little of."""
    found: list[str] = []
    wanted = -(-plan.connections // plan.processes) + RESERVE
    if wanted > descriptors:
        processes = -(-plan.connections // max(int(descriptors) - RESERVE, 1))
        found.append(
            f"A process here may have {descriptors:,} descriptors, and {wanted:,} were needed: raise the hard limit "
            f"(`ulimit -Hn {wanted}`, or LimitNOFILE), or take --processes {processes}."
        )
    if any("assign requested address" in reason for reason in tally.failed):
        found.append(
            "This machine ran out of local ports: from one address about 28,000 connections reach the same target "
            f"(more than {PORTS:,} to 127.0.0.1 come from several addresses). Run it on several machines."
        )
    return found
