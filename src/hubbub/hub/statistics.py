"""What a hub counts, and the frozen snapshot that `Hub.statistics()` returns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from hubbub.native import compiled
from hubbub.node import BrokerStatistics

if TYPE_CHECKING:
    from hubbub.hub.channel import Pool

__all__ = ["Counters", "Statistics", "Tally", "loads_of"]

fanout: Any = compiled("_fanout")


def _refuse(*_: object, **__: object) -> NoReturn:
    raise TypeError("a snapshot is not changed: take dict() of it")


class Tally(dict[Any, int]):
    """Counts by what they count, frozen; a dict to whoever exports it: `dataclasses.asdict`, JSON, pickle, a copy."""

    __slots__ = ()

    __setitem__: Any = _refuse
    __delitem__: Any = _refuse
    __ior__: Any = _refuse
    clear: Any = _refuse
    pop: Any = _refuse
    popitem: Any = _refuse
    setdefault: Any = _refuse
    update: Any = _refuse

    def __reduce__(self) -> tuple[type[Tally], tuple[dict[Any, int]]]:
        return Tally, (dict(self),)


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """A hub at one moment. Counts are since the hub was made, unless said."""

    connections: int
    """Sockets open now that this hub serves: its server's, and those that have joined a channel."""
    channels: int
    """Channels with a member now."""
    memberships: int
    """Members of all channels now."""
    broadcasts: int
    """Calls of `broadcast` that handed a message over."""
    deliveries: int
    """Messages handed to a socket's write side by broadcasts."""
    writes: int
    """Messages handed to it by `Socket.write`."""
    bytes: int
    """Encoded bytes of deliveries and writes."""
    sends: int
    """Calls to the kernel, or to the transport, that carried the deliveries."""
    coalescing_ratio: float
    """Deliveries per send: 1.0 when idle, more when messages that waited left together."""
    drops: Mapping[str, int]
    """Messages lost, by cause: `overflow` (backlog passed its limit), `budget` (all backlogs did),
    `closed` (the socket was gone before they left). Refused broadcasts count as `overloaded`."""
    backlog: int
    """Bytes that wait now for sockets of the whole process."""
    waiting: int
    """Messages that wait now in the mailboxes of shards."""
    writers_busy: int
    """Writers at work in the latest turn."""
    writers_idle: int
    """Writers of the pool that had nothing to do in it."""
    writer_failures: int
    """Times that a writer failed and was started again."""
    broker: BrokerStatistics | None = None
    """The state of the node, if the hub has a broker."""


class Counters:
    """The running counts behind the snapshot: those of the Python side, and beside them those of the compiled one.

    Those of the Python side are plain ints, which change under the lock.
    """

    __slots__ = ("broadcasts", "bytes", "deliveries", "drops", "native", "sends", "writes")

    def __init__(self) -> None:
        self.native: Any = fanout.Counts() if fanout is not None else None
        self.broadcasts: int = 0
        self.deliveries: int = 0
        self.writes: int = 0
        self.bytes: int = 0
        self.sends: int = 0
        self.drops: Counter[str] = Counter()

    def total(self, count: str) -> int:
        """Both sides' count of that name."""
        return int(getattr(self, count)) + (0 if self.native is None else int(getattr(self.native, count)))

    def totals(self) -> dict[str, Any]:
        """The fields of Statistics that are counts."""
        deliveries, sends = self.total("deliveries"), self.total("sends")
        return {
            "broadcasts": self.total("broadcasts"),
            "deliveries": deliveries,
            "writes": self.total("writes"),
            "bytes": self.total("bytes"),
            "sends": sends,
            "coalescing_ratio": deliveries / sends if sends else 1.0,
            "drops": Tally(self.drops + Counter({} if self.native is None else self.native.drops)),
        }


def loads_of(pools: Sequence[Pool]) -> dict[str, Any]:
    """The fields that tell the load of writers."""
    busy = sum(pool.busy for pool in pools)  # once: threads begin and end their work meanwhile
    return {
        "waiting": sum(pool.waiting for pool in pools),
        "writers_busy": busy,
        "writers_idle": sum(pool.size for pool in pools) - busy,
        "writer_failures": sum(pool.failures for pool in pools),
    }
