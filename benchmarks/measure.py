"""One run: a server is started on its core, the load is put on it, and it is stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from types import TracebackType
from typing import IO, Any

import installed
import machine
from installed import BUILD, HERE
from peers import KEPT, PICOWS, Peer
from workloads import Workload

START = 20.0  # seconds that a server has until it accepts connections
TELL = 3.0  # and until it tells what its timer saw
Figures = dict[str, Any]


class Failed(Exception):
    """A server or its load failed; the text says how."""


class Running:
    """A server on a free port and a core of its own, or on two."""

    def __init__(self, peer: Peer, workload: Workload) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        cores = machine.CORES[: workload.cores]
        environment = os.environ | peer.environment | ({"DEFLATE": "1"} if workload.deflate else {})
        if workload.kept:
            environment |= KEPT
        if workload.tls:
            environment["CERTIFICATE"] = str(installed.certificate())
        self.output: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed by __exit__
        self.errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [*machine.pinned(*cores), *peer.command(self.port)],
            stdout=self.output,
            stderr=self.errors,
            text=True,
            env=environment,
        )

    def __enter__(self) -> Running:
        end = time.monotonic() + START
        while True:
            if self.process.poll() is not None:
                complaint = self.complaint()
                self.__exit__()
                raise Failed(f"it ended at once: {complaint}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                if time.monotonic() > end:
                    self.__exit__()
                    raise Failed(f"it accepted no connection in {START:.0f} s") from None
                time.sleep(0.02)
        time.sleep(0.1)  # what it still does at its start is not the load's
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)  # nothing of its end is measured
            self.process.wait()
        self.output.close()
        self.errors.close()

    def complaint(self) -> str:
        """The last line of its errors."""
        self.errors.seek(0)
        return (self.errors.read().strip().splitlines() or ["it said nothing"])[-1][:200]

    def told(self) -> Figures:
        """What the server itself told of the measured time: the second of its two lines, waited for."""
        end = time.monotonic() + TELL
        while time.monotonic() < end:
            self.output.seek(0)
            lines = [line for line in self.output.read().splitlines() if line.startswith("{") and line.endswith("}")]
            if len(lines) > 1:
                figures: Figures = json.loads(lines[1])
                return figures
            time.sleep(0.02)
        return {}


def measure(peer: Peer, workload: Workload, seconds: float, warm: float) -> Figures:
    """One run of one server. Raises: Failed. Missing: the server is not to be had."""
    undisturbed = _run(peer, workload, workload.beside, seconds, warm) if workload.beside else None
    figures = _run(peer, workload, workload.load, seconds, warm)
    if undisturbed is not None:
        figures["undisturbed"] = undisturbed
    return figures


def disturbance(figures: Figures) -> float:
    """The share of a core that other programs, or other guests of the machine, took meanwhile."""
    if "others_cpu" not in figures:
        return 0.0
    own = float(figures["others_cpu"] + figures["stolen_cpu"])
    return max(own, disturbance(figures["undisturbed"])) if "undisturbed" in figures else own


def _run(peer: Peer, workload: Workload, load: tuple[str, ...], seconds: float, warm: float) -> Figures:
    with Running(peer, workload) as server:
        command = [*_load_cores(workload), *_program(workload, peer), "--port", str(server.port)]
        command += ["--server", str(server.process.pid), "--seconds", str(seconds), "--warm", str(warm), *load]
        before = machine.memory(server.process.pid)
        if "--idle" in load:
            return _idle(server, command, before)
        if peer.stalls and not workload.client:
            command.append("--signal")
        figures = _finish(subprocess.run(command, capture_output=True, text=True, check=False, timeout=180 + seconds))
        figures["memory_before"] = before
        figures["memory_peak"] = machine.memory(server.process.pid, "VmHWM")
        figures |= server.told() if peer.stalls and not workload.client else {}
    sends, handed_over = figures.pop("sends", 0), figures.pop("handed_over", 0)
    if handed_over:
        figures["sends"] = sends / handed_over
    return figures


def _program(workload: Workload, peer: Peer) -> list[str]:
    """What puts the load on a server. Raises: Failed: a peer's client that cannot be had."""
    if not workload.client:
        return [str(BUILD / "load"), "--dialect", peer.dialect]
    try:
        return [str(installed.python(*PICOWS)), str(HERE / "clients" / workload.client)]
    except installed.Missing as error:
        raise Failed(f"its client is not to be had: {error}") from None


def _idle(server: Running, command: list[str], before: int) -> Figures:
    """The memory of connections that do nothing, and the rate at which they were accepted."""
    members = int(command[command.index("--members") + 1])
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as load:
        assert load.stdout is not None
        assert load.stderr is not None
        line = load.stdout.readline()
        if not line:
            raise Failed(load.stderr.read().strip())
        time.sleep(0.5)
        after = machine.memory(server.process.pid)
        load.communicate(timeout=30)
    figures: Figures = json.loads(line)
    return figures | {
        "memory_before": before,
        "memory_after": after,
        "bytes_per_connection": (after - before) / members,
    }


def _load_cores(workload: Workload) -> list[str]:
    return machine.pinned(*machine.CORES) if workload.cores > 1 else machine.pinned(machine.LOAD)


def _finish(done: subprocess.CompletedProcess[str]) -> Figures:
    if done.returncode:
        raise Failed(done.stderr.strip().removeprefix("load: ")[-200:] or f"the load ended with {done.returncode}")
    figures: Figures = json.loads(done.stdout)
    return figures
