"""Measures one room: hubbub and its peers as shares of the C floor, which runs in turn with them.

Every round runs each server once, for the same load, on the same two cores: the server on one, the load on the other.
Writes results/results.json, with every single run, and docs/assets/room.svg with --chart.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BUILD = HERE / "native" / "build"
RESULTS = HERE / "results" / "results.json"
CHART = HERE.parent / "docs" / "assets" / "room.svg"

FLOOR = "floor in C"
SERVERS: dict[str, str] = {
    "hubbub": "hubbub_bare.py",
    "hubbub in Starlette": "hubbub_starlette.py",
    "websockets.broadcast": "websockets_broadcast.py",
    "Starlette on uvicorn": "starlette_uvicorn.py",
}
WORKLOADS: dict[str, tuple[int, int, int]] = {  # members, bytes, messages in flight
    "1,000 members, one at a time": (1000, 64, 1),
    "1,000 members, 16 in flight": (1000, 64, 16),
    "8,000 members, one at a time": (8000, 64, 1),
}
IP_BIND_ADDRESS_NO_PORT = 24  # of linux/in.h; Python 3.11 has no name for it
IDLE = 8000  # connections for memory and accept rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of every workload (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of measuring in each run (3)")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 1 second, hubbub and the floor only")
    parser.add_argument("--chart", action="store_true", help="write the README's chart from this run")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.seconds = 3, 1.0
    names = ["hubbub"] if chosen.quick else list(SERVERS)
    build()
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        print("only one core here: server and load share it, and the figures mean little")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    raw: dict[str, dict[str, list[dict[str, float]]]] = {}
    for workload, load in WORKLOADS.items():
        runs = raw[workload] = {name: [] for name in [FLOOR, *names]}
        for round_number in range(chosen.rounds):
            for name in runs:
                print(f"\r{workload}: round {round_number + 1} of {chosen.rounds}, {name:<24}", end="", flush=True)
                runs[name].append(measure(name, load, chosen.seconds, cores))
        print("\r" + " " * 78 + "\r", end="")
        show(workload, runs)
    memory = [idle_memory(cores) for _ in range(chosen.rounds)]
    print(f"idle connection: {spread(memory, '{:.0f}')} bytes of resident memory")
    accepted = [run["accepted_per_s"] for run in raw["8,000 members, one at a time"]["hubbub"]]
    print(f"accepted: {spread(accepted, '{:,.0f}')} connections per second")
    RESULTS.parent.mkdir(exist_ok=True)
    facts = {"machine": machine(), "runs": raw, "idle_bytes": memory}
    RESULTS.write_text(json.dumps(facts, indent=1))
    print(f"every run is in {RESULTS}")
    if chosen.chart:
        from chart import draw

        CHART.parent.mkdir(parents=True, exist_ok=True)
        CHART.write_text(draw(raw["1,000 members, one at a time"]))
        print(f"wrote {CHART}")


def build() -> None:
    """Compile the load and the floor."""
    BUILD.mkdir(exist_ok=True)
    compiler = os.environ.get("CC", "cc")
    for name in ("reader", "floor"):
        command = [
            compiler,
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-o",
            str(BUILD / name),
            str(HERE / f"native/{name}.c"),
        ]
        try:
            subprocess.run(command, check=True)
        except FileNotFoundError:
            sys.exit(f"no C compiler {compiler!r} here: apt-get install gcc libc6-dev, or set CC")


def measure(name: str, load: tuple[int, int, int], seconds: float, cores: list[int]) -> dict[str, float]:
    """One run. Raises: SystemExit: the server or the load failed."""
    members, size, in_flight = load
    with Running(name, members, cores) as server:
        command = [BUILD / "reader", server.port, members, size, in_flight, seconds]
        done = subprocess.run(
            [*pinned(cores[-1]), *map(str, command)], capture_output=True, text=True, check=False, timeout=60 + seconds
        )
        if done.returncode:
            sys.exit(f"\n{name}: {done.stderr.strip()}")
        result: dict[str, float] = json.loads(done.stdout)
        return result


def idle_memory(cores: list[int]) -> float:
    """Resident bytes that one more idle connection costs."""
    with Running("hubbub", IDLE, cores) as server:
        before = server.resident()
        clients = [dial(server.port, index) for index in range(IDLE)]
        time.sleep(0.5)
        after = server.resident()
        for client in clients:
            client.close()
    return (after - before) / IDLE


def dial(port: int, index: int) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)  # or ports in TIME_WAIT are not used again
    client.bind((f"127.0.0.{2 + index // 20000}", 0))
    client.connect(("127.0.0.1", port))
    client.sendall(
        b"GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    if not client.recv(512).startswith(b"HTTP/1.1 101"):
        sys.exit("the server refused a connection")
    return client


class Running:
    """A server on a free port and a core of its own."""

    def __init__(self, name: str, members: int, cores: list[int]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        if name == FLOOR:
            command = [str(BUILD / "floor"), str(self.port), str(members)]
        else:
            command = [sys.executable, str(HERE / "servers" / SERVERS[name]), str(self.port)]
        self._process = subprocess.Popen([*pinned(cores[0]), *command], stdout=subprocess.DEVNULL)

    def __enter__(self) -> Running:
        deadline = time.monotonic() + 20
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                sys.exit("\na server did not start")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def resident(self) -> int:
        with open(f"/proc/{self._process.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0

    def _listens(self) -> bool:
        """Looked up, not tried: the floor counts its connections."""
        wanted = f"0100007F:{self.port:04X}"
        with open("/proc/net/tcp") as table:
            return any(line.split()[1] == wanted and line.split()[3] == "0A" for line in list(table)[1:])


def pinned(core: int) -> list[str]:
    return ["taskset", "-c", str(core)]


def show(workload: str, runs: dict[str, list[dict[str, float]]]) -> None:
    print(workload)
    floor = [run["deliveries_per_s"] for run in runs[FLOOR]]
    for name, measured in runs.items():
        rates = [run["deliveries_per_s"] for run in measured]
        ratios = [rate / least for rate, least in zip(rates, floor, strict=True)]
        print(f"  {name:<24}{statistics.median(rates) / 1000:>8,.0f} k/s   of the floor: {spread(ratios, '{:.2f}')}")


def spread(values: list[float], form: str) -> str:
    """Median, least and most."""
    low, high = form.format(min(values)), form.format(max(values))
    return f"{form.format(statistics.median(values))} ({low} to {high})"


def machine() -> dict[str, str]:
    with open("/proc/cpuinfo") as info:
        models = [line.split(":")[1].strip() for line in info if line.startswith("model name")]
    packages = {name: metadata.version(name) for name in ("hubbub", "uvloop", "uvicorn", "starlette", "websockets")}
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        **packages,
    }


if __name__ == "__main__":
    main()
