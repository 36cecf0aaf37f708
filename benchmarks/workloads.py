"""What is measured. Each workload is an argument list of the load, and what a server must be able to do for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """Rooms, members and messages; the load's words for them are in native/load.c."""

    key: str
    title: str
    load: tuple[str, ...]
    needs: str = "room"
    cores: int = 1
    """How many cores the server may use. The load has one of its own if that leaves one."""
    beside: tuple[str, ...] = ()
    """The undisturbed twin, measured right before in the same round."""
    deflate: bool = False
    tls: bool = False
    exact: bool = False
    """Only for servers whose messages are the bare payload."""
    kept: bool = False
    """Channels have a history, and members positions in it."""
    client: str = ""
    """A script of clients/ that puts the load on it, in picows' environment; native/load.c does if empty."""

    @property
    def each(self) -> str:
        """What CPU and memory are counted by."""
        if "--accept" in self.load or "--idle" in self.load:
            return "connection"
        return "echo" if self.needs in ("echo", "asgi") else "delivery"

    @property
    def joins(self) -> bool:
        """Whether messages for one member can wait together."""
        one_at_a_time = ("--in-flight", "1") in zip(self.load, self.load[1:], strict=False)
        return "--all" in self.load or not (one_at_a_time or self.client or "--accept" in self.load)


def _room(members: int, size: int, in_flight: int, *more: str) -> tuple[str, ...]:
    return ("--members", str(members), "--size", str(size), "--in-flight", str(in_flight), *more)


def _echo(members: int, path: str = "/echo", *more: str) -> tuple[str, ...]:
    return (*_room(members, 64, 1), "--rooms", str(members), "--all", "--path", path, *more)


def _accept(members: int, at_once: int, *more: str) -> tuple[str, ...]:
    return ("--members", str(members), "--window", str(at_once), "--accept", *more)


def _picows_echo(members: int) -> tuple[str, ...]:
    return ("--members", str(members), "--size", "64")


def _over_tls(key: str, title: str, load: tuple[str, ...]) -> Workload:
    return Workload(key, f"TLS, {title}", (*load, "--tls"), needs="tls", tls=True)


def _sessions(key: str, title: str, load: tuple[str, ...], kept: bool = False) -> Workload:
    title = f"Sessions, {title}, clients publish" + kept * ", with history and positions"
    return Workload(key, title, load, needs="sessions", kept=kept)


_KILOBYTE = _room(1000, 1024, 16)
_ASGI = "Echo of 100 connections at a time, 64 bytes"

WORKLOADS: dict[str, Workload] = {
    workload.key: workload
    for workload in (
        Workload("room", "One room of 1,000, 64 bytes, one message at a time", _room(1000, 64, 1)),
        Workload("burst16", "One room of 1,000, 64 bytes, 16 messages in flight", _room(1000, 64, 16)),
        Workload("burst100", "One room of 1,000, 64 bytes, 100 messages in flight", _room(1000, 64, 100)),
        Workload("large", "One room of 8,000, 64 bytes, one message at a time", _room(8000, 64, 1)),
        Workload(
            "large2",
            "One room of 8,000, 64 bytes, one at a time, the server on both cores",
            _room(8000, 64, 1),
            cores=2,
        ),
        Workload(
            "rooms",
            "1,000 rooms of 10, 64 bytes, every member publishing, one message of each at a time",
            _room(10000, 64, 1, "--rooms", "1000", "--all"),
        ),
        Workload("1k", "One room of 1,000, 1 KB, 16 messages in flight", _KILOBYTE),
        Workload("16k", "One room of 1,000, 16 KB, 8 messages in flight", _room(1000, 16384, 8)),
        Workload(
            "churn",
            "One room of 1,000, 64 bytes, one at a time, 5 % of the members leaving and coming per second",
            _room(1000, 64, 1, "--churn", "0.05"),
            beside=_room(1000, 64, 1),
            exact=True,
        ),
        Workload(
            "stalled",
            "One room of 1,000, 1 KB, 16 in flight, 1 % of the members not reading",
            (*_KILOBYTE, "--stalled", "0.01", "--warm", "2"),  # until what they do not read fills all buffers
            needs="stalled",
            beside=_KILOBYTE,
        ),
        Workload(
            "deflate",
            "One room of 1,000, 1 KB of JSON, compressed, 16 messages in flight",
            _room(1000, 1024, 16, "--json", "--deflate"),
            needs="deflate",
            deflate=True,
        ),
        Workload("echo1", "Echo, one connection, 64 bytes", _echo(1), needs="echo"),
        Workload("echo100", "Echo, 100 connections at a time, 64 bytes", _echo(100), needs="echo"),
        Workload(
            "echo1p",
            "Echo, one connection, 64 bytes, picows' own client",
            _picows_echo(1),
            needs="echo",
            client="picows_echo.py",
        ),
        Workload(
            "echo100p",
            "Echo, 100 connections at a time, 64 bytes, picows' own client",
            _picows_echo(100),
            needs="echo",
            client="picows_echo.py",
        ),
        Workload(
            "writers",
            "One room of 1,000, 64 bytes, one at a time, server on two cores, clients that only buffer",
            _room(1000, 64, 1, "--buffer"),
            needs="two",
            cores=2,
            exact=True,
        ),
        Workload("accept", "Accepting 500 connections at once, over and over", _accept(500, 500)),
        Workload("accept8k", "Accepting 8,000 connections, up to 500 at once, over and over", _accept(8000, 500)),
        _over_tls("tls-room", "one room of 500, 64 bytes, one message at a time", _room(500, 64, 1)),
        _over_tls("tls-burst16", "one room of 500, 64 bytes, 16 messages in flight", _room(500, 64, 16)),
        _over_tls("tls-handshake", "accepting 200 connections, up to 50 at once, over and over", _accept(200, 50)),
        _over_tls("tls-idle", "2,000 idle connections", _room(2000, 64, 1, "--idle")),
        Workload("asgi-raw", f"{_ASGI}, raw application", _echo(100, "/raw", "--text"), needs="asgi"),
        Workload("asgi-starlette", f"{_ASGI}, Starlette", _echo(100, "/starlette", "--text"), needs="asgi"),
        Workload(
            "asgi-starlette1",
            "Echo of one connection, 64 bytes, Starlette",
            _echo(1, "/starlette", "--text"),
            needs="asgi",
        ),
        _sessions("sessions", "one channel of 1,000, one message at a time", _room(1000, 64, 1)),
        _sessions("sessions16", "one channel of 1,000, 16 messages in flight", _room(1000, 64, 16)),
        _sessions("sessions-kept", "one channel of 1,000, one message at a time", _room(1000, 64, 1), kept=True),
        _sessions("sessions16-kept", "one channel of 1,000, 16 messages in flight", _room(1000, 64, 16), kept=True),
        _sessions(
            "sessions-many",
            "1,000 channels of 10, one message of each member at a time",
            _room(10000, 64, 1, "--rooms", "1000", "--all"),
        ),
        Workload(
            "sessions-idle", "8,000 idle sessions with one subscription", _room(8000, 64, 1, "--idle"), needs="sessions"
        ),
        Workload("idle", "8,000 idle connections, and how fast they are accepted", _room(8000, 64, 1, "--idle")),
    )
}
QUICK = ("room", "burst16", "tls-room", "idle")
