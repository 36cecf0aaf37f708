"""Brokers with one fault each, and the checks of the suite that find it. One module for each group of checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hubbub.brokers import Outgoing
from hubbub.brokers.log import Log
from hubbub.brokers.memory import Engine
from support.linked import LinkedBench, LinkedBroker, Machine

__all__ = ["FAULTS", "Fault", "changed", "found_by"]


@dataclass(frozen=True)
class Fault:
    check: str
    name: str
    bench: Callable[[], LinkedBench]

    def __str__(self) -> str:
        return f"{self.name}-{self.check}"


FAULTS: list[Fault] = []


def found_by(*checks: str) -> Callable[[type[Any]], type[Any]]:
    """A wrong class of broker, engine, log or machine, and the checks that find it."""

    def note(kind: type[Any]) -> type[Any]:
        def bench() -> LinkedBench:
            if issubclass(kind, LinkedBroker):
                return LinkedBench(kind)
            if issubclass(kind, Machine):
                return LinkedBench(machine=kind)
            return LinkedBench(engine=kind if issubclass(kind, Engine) else engine_of(kind))

        FAULTS.extend(Fault(check, kind.__name__, bench) for check in checks)
        return kind

    return note


def engine_of(kind: type[Log]) -> type[Engine]:
    class EngineOfLogs(Engine):
        def log(self, channel: bytes, now: float) -> Log:
            log = super().log(channel, now)
            log.__class__ = kind
            return log

    return EngineOfLogs


def changed(new: Outgoing, **fields: Any) -> Outgoing:
    values = {name: getattr(new, name) for name in Outgoing.__slots__}
    return Outgoing(**(values | fields))
