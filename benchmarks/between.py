"""What is measured between processes, and who: one run of a workload for one way to join them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import installed
import machine
from engines import ENGINES, LOCAL, Started, free_port, wait_for
from installed import BUILD, HERE

Run = dict[str, Any]
ALONE = "one process, no broker"
SERVER, LOAD, BOTH = (machine.SERVER,), (machine.LOAD,), tuple(machine.CORES)
KEPT = 300  # publications of history


class Failed(Exception):
    """A run failed; the text says how."""


@dataclass(frozen=True)
class Times:
    """Of a run, in seconds."""

    measured: float
    warm: float


Measure = Callable[[str, Times], Run]


@dataclass(frozen=True)
class Workload:
    """Who is measured, and how. `beside`: whose figures in the same round the others are told as shares of."""

    key: str
    kind: str
    """What its table shows."""
    title: str
    measure: Measure
    ways: tuple[str, ...]
    beside: str = ""


def room(cores: tuple[int, ...], load: tuple[int, ...], *words: str) -> Measure:
    """A room under the load of native/load.c: served by four processes, or by one without a broker."""

    def measure(way: str, times: Times) -> Run:
        if way == ALONE:
            with serving(1, None, cores) as (port, pids):
                return loaded(port, pids, times)
        with ENGINES[way].running(*cores) as engine, serving(4, engine, cores) as (port, pids):
            return loaded(port, [*pids, engine.pid], times)

    def loaded(port: int, pids: list[int], times: Times) -> Run:
        command = [*machine.pinned(*load), str(BUILD / "load"), "--port", str(port), *words]
        command += ["--server", ",".join(map(str, pids))]
        return told([*command, "--seconds", str(times.measured), "--warm", str(times.warm)])

    return measure


@contextmanager
def serving(count: int, engine: Started | None, cores: tuple[int, ...]) -> Iterator[tuple[int, list[int]]]:
    """So many processes of servers/hubbub_room.py: their port, and all of them."""
    port = free_port()
    environment = os.environ | {"WORKERS": str(count), "HUBBUB_BROKER": engine.url if engine else ""}
    process = subprocess.Popen(
        [*machine.pinned(*cores), sys.executable, str(HERE / "servers/hubbub_room.py"), str(port)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        for _ in range(count):
            if not process.stdout.readline():
                raise Failed("the server did not start")
        yield port, list(descendants(process.pid))
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def descendants(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from descendants(int(child))


def node(*words: str) -> Measure:
    """One process on a core, with the engine on the other."""

    def measure(way: str, times: Times) -> Run:
        if way in OTHERS:
            return OTHERS[way](times)
        with ENGINES[way].running(*LOAD) as engine:
            command = client(sys.executable, "node.py", *words)
            if words[0] == "publish":
                command += ["--seconds", str(times.measured), "--warm", str(times.warm)]
            return told(command, engine.pid, HUBBUB_BROKER=engine.url)

    return measure


def client(python: str | Path, script: str, *words: object, cores: tuple[int, ...] = SERVER) -> list[str]:
    return [*machine.pinned(*cores), str(python), str(HERE / "clients" / script), *map(str, words)]


def channels(kind: str) -> Callable[[Times], Run]:
    def measure(times: Times) -> Run:
        python = installed.python("channels-redis", "channels_redis", "uvloop")
        with ENGINES["Redis"].running(*LOAD) as engine:
            words = (engine.port, kind, times.measured, times.warm)
            return told(client(python, "channels_publish.py", *words), engine.pid)

    return measure


def centrifugo(times: Times) -> Run:
    """Centrifugo has a core, and shares the other with Redis and the client, who has little to do."""
    program = installed.go("centrifugo", "github.com/centrifugal/centrifugo/v6@latest")
    with ENGINES["Redis"].running(*LOAD) as engine:
        port = free_port()
        settings = {
            "engine": {"type": "redis", "redis": {"address": [f"redis://127.0.0.1:{engine.port}"]}},
            "channel": {"without_namespace": {"history_size": KEPT, "history_ttl": "300s"}},
            "http_api": {"insecure": True},
            "http_server": {"address": "127.0.0.1", "port": str(port)},
            "log": {"level": "none"},
        }
        (BUILD / "centrifugo.json").write_text(json.dumps(settings))
        process = subprocess.Popen([*machine.pinned(*SERVER), str(program), "-c", str(BUILD / "centrifugo.json")])
        try:
            wait_for(process, ("127.0.0.1", port))
            script = client(sys.executable, "centrifugo_publish.py", port, times.measured, times.warm, cores=LOAD)
            before = seconds_of(process.pid)
            run = told(script, engine.pid, process.pid)
            publications = run["publications_per_s"] * (times.measured + times.warm)  # nearly: it is steady
            return run | {"cpu_us": (seconds_of(process.pid) - before) * 1e6 / publications}
        finally:
            process.kill()
            process.wait()


OTHERS: dict[str, Callable[[Times], Run]] = {
    "channels_redis, core layer": channels("core"),
    "channels_redis, pub/sub layer": channels("pubsub"),
    "Centrifugo's Redis engine": centrifugo,
}


def told(command: list[str], *engines: int, **environment: str) -> Run:
    """What a program says in one line of JSON, and what others had of the machine. Raises: Failed."""
    before, began = (busy() - own(*engines)), time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=180, env=os.environ | environment
    )
    if done.returncode:
        raise Failed((done.stderr.strip().splitlines() or ["it said nothing"])[-1][-200:])
    others = (busy() - own(*engines) - before) / (time.monotonic() - began)
    run: Run = json.loads(done.stdout)
    return {"others_cpu": others} | run


def busy() -> float:
    """Seconds that all cores have worked."""
    words = Path("/proc/stat").read_text().split()
    user, nice, system, _, _, hard, soft = map(int, words[1:8])
    return (user + nice + system + hard + soft) / os.sysconf("SC_CLK_TCK")


def own(*engines: int) -> float:
    """Seconds of CPU of this process, those that it waited for, and these."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system + sum(map(seconds_of, engines))


def seconds_of(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


_ROOM = ("--members", "1000", "--size", "64", "--in-flight", "16")
_IDLE = ("--members", "16", "--size", "64", "--pace", "5")
_ENGINES = tuple(ENGINES)
WORKLOADS = {
    workload.key: workload
    for workload in (
        Workload(
            "workers",
            "room",
            "One room of 1,000 in four processes, 64 bytes, 16 messages in flight; all of them on one core",
            room(SERVER, LOAD, *_ROOM),
            (ALONE, *_ENGINES),
            ALONE,
        ),
        Workload(
            "workers2",
            "room",
            "The same, all of them and the load on both cores",
            room(BOTH, BOTH, *_ROOM),
            (ALONE, *_ENGINES),
            ALONE,
        ),
        Workload(
            "publish",
            "publish",
            "Publications of one process, one channel, 64 bytes, numbered",
            node("publish"),
            _ENGINES,
        ),
        Workload(
            "publish1000",
            "publish",
            "The same to 1,000 channels in turn",
            node("publish", "--channels", "1000"),
            _ENGINES,
        ),
        Workload(
            "echo",
            "publish",
            "The same to one channel, with a member of it in that process",
            node("publish", "--echo"),
            _ENGINES,
        ),
        Workload(
            "history",
            "publish",
            f"The same with a history of {KEPT}",
            node("publish", "--history", str(KEPT)),
            (*_ENGINES, *OTHERS),
            "channels_redis, core layer",
        ),
        Workload(
            "latency",
            "latency",
            "A message every 5 ms to a room of 16 in four processes",
            room(BOTH, BOTH, *_IDLE),
            (ALONE, *_ENGINES),
        ),
        Workload("join", "join", "A node joins 10,000 channels", node("join", "--channels", "10000"), _ENGINES),
    )
}
QUICK = (ALONE, LOCAL.name)
