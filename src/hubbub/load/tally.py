"""What the processes of a run tell one another: plain data that travels through a pipe."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hubbub.load.histogram import Histogram

__all__ = ["Progress", "Published", "Ready", "Start", "Stop", "Tally", "Totals"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a process is, or several together."""

    connected: int = 0
    failed: int = 0
    gone: int = 0
    sent: int = 0
    received: int = 0
    wrong: int = 0  # duplicates, messages out of order, strays
    busy: float = 0.0  # share of a core since it last told, of the busiest
    latency: Histogram = field(default_factory=Histogram)

    def __add__(self, other: Progress) -> Progress:
        latency = Histogram()
        latency.merge(self.latency)
        latency.merge(other.latency)
        return Progress(
            connected=self.connected + other.connected,
            failed=self.failed + other.failed,
            gone=self.gone + other.gone,
            sent=self.sent + other.sent,
            received=self.received + other.received,
            wrong=self.wrong + other.wrong,
            busy=max(self.busy, other.busy),
            latency=latency,
        )


@dataclass(frozen=True, slots=True)
class Ready:
    """Told by a process: whatever will open is open."""


@dataclass(frozen=True, slots=True)
class Start:
    """Told to a process: publish from then on."""

    at: int  # nanoseconds since the epoch


@dataclass(frozen=True, slots=True)
class Published:
    """Told by a process: what it sent, by room."""

    sent: dict[int, int]


@dataclass(frozen=True, slots=True)
class Totals:
    """Told to a process: what each process sent."""

    sent: tuple[dict[int, int], ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """Told to a process: publish no more, and give account."""


@dataclass(slots=True)
class Tally:
    """Everything that one process counted, or several together. Times in nanoseconds."""

    connected: int = 0
    failed: Counter[str] = field(default_factory=Counter[str])  # connections that never opened, by reason
    gone: Counter[str] = field(default_factory=Counter[str])  # connections that ended too early, by reason
    unsettled: int = 0  # connections whose ping was not answered before the start
    opening: Histogram = field(default_factory=Histogram)
    planned: int = 0
    sent: int = 0
    expected: int = 0  # deliveries, those of messages to their publishers included
    own_expected: int = 0  # these
    received: int = 0
    own: int = 0
    duplicates: int = 0
    reordered: int = 0
    strays: int = 0
    bytes: int = 0
    published: int = 0  # from the start until the last message was due or publishing was stopped
    last: int = 0  # from the start to the latest delivery
    late: int = 0  # processes to which messages still came when their patience was at its end
    latency: Histogram = field(default_factory=Histogram)
    behind: Histogram = field(default_factory=Histogram)  # its own schedule, in each turn in which something was due
    busy: list[float] = field(default_factory=list[float])  # share of a core while publishing, of each process

    def merge(self, other: Tally) -> None:
        """Add what another process counted."""
        for name in ("connected", "unsettled", "planned", "sent", "expected", "own_expected", "received", "own"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("duplicates", "reordered", "strays", "bytes", "late"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("published", "last"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        for name in ("opening", "latency", "behind"):
            getattr(self, name).merge(getattr(other, name))
        self.failed += other.failed
        self.gone += other.gone
        self.busy += other.busy
