"""What is asked for, and what follows from it: who is in which room, what is sent, and when. Nothing here does it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hubbub.errors import Misuse
from hubbub.load import marker
from hubbub.load.upgrade import request

__all__ = ["Plan", "Schedule", "Share", "Target"]

JOIN = '{"join": "{room}"}'
SAY = '{"say": "{payload}", "to": "{room}"}'
ROUNDING = 1e-6  # messages: 0.3 seconds at 10 a second are 3 of them, whatever 0.3 is as a binary number
_PLACE = re.compile(r"\{(room|number|connection|payload)\}")


@dataclass(frozen=True, slots=True)
class Target:
    """An address taken apart."""

    secure: bool
    host: str
    port: int
    resource: str  # path and query, with its places

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> Target:
        """Raises: Misuse: not a ws:// or wss:// address."""
        try:
            parts = urlsplit(url if "://" in url else f"ws://{url}")
            port = parts.port
        except ValueError as error:
            raise Misuse(f"{url!r} is not an address: {error}") from None
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise Misuse(f"{url!r} is not a ws:// or wss:// address, such as ws://127.0.0.1:4545/chat")
        resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not (resource.isascii() and resource.isprintable() and " " not in resource):
            raise Misuse(f"{url!r}: what is not visible ASCII has to be percent-encoded")
        secure = parts.scheme == "wss"
        return cls(secure, parts.hostname, port or (443 if secure else 80), resource)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run, as the user asks for it. Times in seconds, sizes in bytes.

    In every template `{room}` is the room's name, `{number}` its number from 0, `{connection}` the number of the
    connection, and in `say` `{payload}` what is measured. All else stays as it is, so that JSON needs no escaping.

    Raises: Misuse: what can never work.
    """

    url: str
    connections: int = 100
    rooms: int = 1
    rate: float = 10.0  # messages published in a second, in all rooms together
    payload: int = 64
    duration: float = 10.0
    join: tuple[str, ...] = (JOIN,)  # sent by each connection once it is open
    say: str = SAY
    echo: bool = False  # each connection has a room to itself, and nobody joins
    to_self: bool | None = None  # whether publishers get their own messages; None to find out
    room_name: str = "load-{number}"
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    insecure: bool = False
    ca: Path | None = None
    ramp: float = 1000.0  # connections opened in a second; 0 for as fast as they open
    timeout: float = 10.0  # for one connection to open
    settle: float = 0.5  # between the last join and the first message
    drain: float = 5.0  # at most, for late messages at the end
    processes: int = 1

    def __post_init__(self) -> None:
        _ = self.target
        for name in ("connections", "rooms", "processes"):
            if getattr(self, name) < 1:
                raise Misuse(f"{name} is at least 1, not {getattr(self, name)}")
        for name in ("rate", "duration", "timeout"):
            if not 0 < getattr(self, name) < math.inf:
                raise Misuse(f"{name} is above zero, not {getattr(self, name):g}")
        for name in ("ramp", "settle", "drain"):
            if not 0 <= getattr(self, name) < math.inf:
                raise Misuse(f"{name} is at least 0, not {getattr(self, name):g}")
        for name in ("processes",) if self.echo else ("processes", "rooms"):
            if getattr(self, name) > self.connections:
                raise Misuse(f"{getattr(self, name)} {name} need at least as many connections, not {self.connections}")
        self._judge_messages()

    def _judge_messages(self) -> None:
        request(self.target.resource, self.target.authority, "", self.headers, self.subprotocols)
        if self.payload < marker.SIZE:
            raise Misuse(f"a payload has at least {marker.SIZE} bytes: publisher, number and time travel in it")
        if "{payload}" not in self.say:
            raise Misuse(f"a message to say holds {{payload}} somewhere, unlike {self.say!r}")
        if self.connections > marker.LAST_NUMBER or self.rate * self.duration > marker.LAST_SEQUENCE:
            raise Misuse("at most 16,777,215 connections and 4,294,967,295 messages")

    @property
    def target(self) -> Target:
        """The address, taken apart."""
        return Target.parse(self.url)

    def room(self, connection: int) -> int:
        """The number of the room that a connection is in."""
        return connection if self.echo else connection % self.rooms

    def expand(self, template: str, connection: int, payload: str = "{payload}") -> str:
        """A template with its places filled."""
        number = str(self.room(connection))
        values = {"number": number, "connection": str(connection), "payload": payload}
        values["room"] = self.room_name.replace("{number}", number)
        return _PLACE.sub(lambda place: values[place[1]], template)


@dataclass(frozen=True, slots=True)
class Share:
    """One process's part of a plan."""

    plan: Plan
    process: int
    run: str  # four hexadecimal digits that tell this run's messages from any other's
    epoch: int  # nanoseconds of the monotonic clock: times in messages count from here

    @property
    def connections(self) -> range:
        """The numbers of its connections."""
        return range(self.process, self.plan.connections, self.plan.processes)

    def opens_at(self, index: int) -> float:
        """When its connection of that index is to be opened, in seconds from the first one's."""
        return (index * self.plan.processes + self.process) / self.plan.ramp if self.plan.ramp else 0.0

    @property
    def schedule(self) -> Schedule:
        """When it publishes: the processes take turns."""
        plan = self.plan
        return Schedule(plan.rate / plan.processes, plan.duration, self.process / plan.rate)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Messages at even distances, whatever becomes of them: a slow server does not slow down the publishers."""

    rate: float  # a second
    duration: float  # seconds
    first: float = 0.0  # seconds from the start

    @property
    def total(self) -> int:
        """Messages of the whole run."""
        return max(math.ceil((self.duration - self.first) * self.rate - ROUNDING), 0)

    def due(self, elapsed: float) -> int:
        """Messages whose time has come, so many seconds after the start."""
        if elapsed < self.first:
            return 0
        return min(math.floor((elapsed - self.first) * self.rate + ROUNDING) + 1, self.total)

    def at(self, index: int) -> float:
        """When a message is due, in seconds from the start."""
        return self.first + index / self.rate
