"""What Prometheus is told: the numbers of this process, and of its siblings where there are several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hubbub.api.counts import Counts
from hubbub.realtime import Realtime

__all__ = ["CONTENT_TYPE", "Sample", "exposition", "samples"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample: TypeAlias = tuple[str, Mapping[str, str], float]
"""Name, labels and value: JSON's types."""

_GAUGE, _COUNTER = GaugeMetricFamily, CounterMetricFamily
_KNOWN: dict[str, tuple[type[Any], str]] = {
    "hubbub_sessions": (_GAUGE, "Clients that are connected."),
    "hubbub_users": (_GAUGE, "Different users of these."),
    "hubbub_subscriptions": (_GAUGE, "Subscriptions of these."),
    "hubbub_channels": (_GAUGE, "Channels with subscriptions."),
    "hubbub_received": (_COUNTER, "Frames that clients have sent."),
    "hubbub_sent": (_COUNTER, "Replies and pushes to single clients."),
    "hubbub_errors": (_COUNTER, "Error replies to clients, by code."),
    "hubbub_disconnects": (_COUNTER, "Connections that the server has ended, by code."),
    "hubbub_api_requests": (_COUNTER, "Requests to the HTTP API, by method and code; 0: a result."),
    "hubbub_api_refused": (_COUNTER, "Requests to the HTTP API without the right key."),
    "hubbub_hub": (_COUNTER, "What the fan-out has done, as in hub.statistics()."),
    "hubbub_hub_now": (_GAUGE, "What it holds."),
    "hubbub_drops": (_COUNTER, "Messages dropped for slow clients, by policy."),
    "hubbub_broker": (_COUNTER, "What has come of the link to the broker, as in its statistics."),
    "hubbub_broker_now": (_GAUGE, "How it is."),
}
_HUB, _HUB_NOW = ("broadcasts", "deliveries", "writes", "bytes", "sends"), ("memberships", "backlog", "waiting")
_BROKER = ("published", "received", "failed", "unknown", "duplicates", "gaps", "healed", "missed", "refused", "resets")
_BROKER_NOW = ("up", "nodes", "lines", "outbox", "outbox_size")


def samples(rt: Realtime, counts: Counts) -> Iterator[Sample]:
    """The numbers of this process."""
    now = rt.statistics()
    for name in ("sessions", "users", "subscriptions", "channels", "received", "sent"):
        yield f"hubbub_{name}", {}, float(getattr(now, name))
    for name, by_code in (("errors", now.errors), ("disconnects", now.disconnects)):
        for code, count in by_code.items():
            yield f"hubbub_{name}", {"code": _code(code)}, float(count)
    yield from _picked("hubbub_hub", now.hub, _HUB, _HUB_NOW)
    yield from _picked("hubbub_broker", now.broker, _BROKER, _BROKER_NOW)
    for policy, count in now.hub.drops.items():
        yield "hubbub_drops", {"policy": policy}, float(count)
    for (method, code), count in counts.calls.items():
        yield "hubbub_api_requests", {"method": method, "code": _code(code)}, float(count)
    yield "hubbub_api_refused", {}, float(counts.refused)


def _picked(name: str, found: Any, counted: Sequence[str], now: Sequence[str]) -> Iterator[Sample]:
    for what in counted:
        yield name, {"what": what}, float(getattr(found, what))
    for what in now:
        yield f"{name}_now", {"what": what}, float(getattr(found, what))


def exposition(told: Iterable[tuple[Mapping[str, str], Sequence[Sample]]]) -> bytes:
    """The page that Prometheus reads.

    Args:
        told: of each process: labels of its own, and its samples. Names that are not known are left out.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(list(_families(told)).__iter__))
    return generate_latest(registry)


class _Once:
    """A collector over families that are made already."""

    def __init__(self, families: Callable[[], Iterator[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return self._families()


def _families(told: Iterable[tuple[Mapping[str, str], Sequence[Sample]]]) -> Iterator[Metric]:
    found: dict[str, Any] = {}
    for own, several in told:
        for name, labels, value in several:
            if name not in _KNOWN:
                continue
            kind, about = _KNOWN[name]
            every = {**own, **labels}
            if name not in found:
                found[name] = kind(name, about, labels=list(every))
            found[name].add_metric(list(every.values()), value)
    yield from found.values()


def _code(code: int) -> str:
    """Codes of applications are one label, for there may be thousands."""
    return str(code) if code < 400 or code == 400 or 3000 <= code < 4000 else "application"
