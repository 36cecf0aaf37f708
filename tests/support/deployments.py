"""The chat as people deploy it: several workers of whatever server, and clients that come back."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engines_nats import NatsServer
from engines_redis import RedisServer
from support.client import RawClient

__all__ = ["SERVERS", "TOLD_ELSEWHERE", "Deployment", "Server", "Visitor", "deployed", "engine", "visitors"]

TESTS = Path(__file__).parents[1]
WS = "hubbub.asgi:WebSocketProtocol"


@dataclass(frozen=True)
class Server:
    """One way to serve the chat with several workers.

    Args:
        command: behind `python`; `{port}` and `{workers}` are filled in.
        restart: what restarts the workers: a signal to the parent, or to each of them, one after the other.
        module: which has to be installed, beside hubbub itself.
        file: a name, and what is in it.
        cuts: it cuts connections without a close frame, and endpoints without a word, when it ends.
    """

    name: str
    command: Sequence[str]
    restart: str = "HUP"
    module: str = "uvicorn"
    file: tuple[str, str] = ("", "")
    cuts: bool = False

    def __str__(self) -> str:
        return self.name


def _uvicorn(*arguments: str) -> Sequence[str]:
    return ("-m", "uvicorn", "support.chat:app", "--ws", WS, "--port", "{port}", *arguments)


def _gunicorn(*arguments: str) -> Sequence[str]:
    return ("-m", "gunicorn", "support.chat:app", "-b", "127.0.0.1:{port}", "--graceful-timeout", "2", *arguments)


SERVERS = [
    Server("uvicorn", _uvicorn("--workers", "{workers}")),
    Server("gunicorn", _gunicorn("-k", "hubbub.asgi.gunicorn.Worker", "-w", "{workers}"), module="uvicorn_worker"),
    Server("gunicorn-preload", _gunicorn("-k", "hubbub.asgi.gunicorn.Worker", "-w", "{workers}", "--preload"),
           module="uvicorn_worker"),
    Server("gunicorn-asgi", _gunicorn("-k", "asgi", "-w", "{workers}"), module="gunicorn.asgi", cuts=True),
    Server("hypercorn", ("-m", "hypercorn", "support.chat:app", "--graceful-timeout", "1",
                         "-b", "127.0.0.1:{port}", "--workers", "{workers}"),
           module="hypercorn", cuts=True),
    Server("serve-app", ("-m", "hubbub", "serve", "support.chat:app", "--port", "{port}", "--workers", "{workers}")),
    Server("serve-handler",
           ("-m", "hubbub", "serve", "support.chat:Chat", "--port", "{port}", "--workers", "{workers}"), "each TERM"),
    Server("run", ("-m", "support.chat"), "each TERM"),
]  # fmt: skip

# How many workers there are does not stand on their command lines.
TOLD_ELSEWHERE = [
    Server("gunicorn-file", _gunicorn("-k", "uvicorn_worker.UvicornWorker"), module="uvicorn_worker",
           file=("gunicorn.conf.py", "workers = 2\n")),
    Server("hypercorn-file", ("-m", "hypercorn", "-c", "chat.toml", "-b", "127.0.0.1:{port}", "support.chat:app"),
           module="hypercorn", file=("chat.toml", "workers = 2\ngraceful_timeout = 1\n")),
    Server("uvicorn-program", ("program.py",), file=("program.py", """
import os, uvicorn
if __name__ == "__main__":
    uvicorn.run("support.chat:app", ws="hubbub.asgi:WebSocketProtocol", port=int(os.environ["PORT"]), workers=2)
""")),
]  # fmt: skip


@contextlib.contextmanager
def engine(kind: str, folder: Path) -> Iterator[str]:
    """The broker's URL, and what has to run for it."""
    engines: dict[str, Any] = {"nats": NatsServer, "redis": RedisServer}
    if kind not in engines:
        yield {"sqlite": f"sqlite:{folder}/chat.db"}.get(kind, f"{kind}:")
        return
    running = engines[kind]("wheel", folder).start()
    try:
        yield running.url
    finally:
        running.kill()


class Deployment:
    """A server that runs."""

    def __init__(self, server: Server, folder: Path, workers: int, environment: dict[str, str]) -> None:
        self.server = server
        self.workers = workers
        self._log = folder / f"{server.name}.log"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        command = [part.format(port=self.port, workers=workers) for part in server.command]
        paths = [str((folder / server.file[0]).parent), str(TESTS), str(TESTS.parent / "examples")]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(paths), "PORT": str(self.port), "WORKERS": str(workers),
            "XDG_RUNTIME_DIR": str(folder), **environment,
        }  # fmt: skip
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command], cwd=folder, env=environment, stdout=log, stderr=log
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def connect(self, name: str = "somebody") -> tuple[RawClient, int]:
        """A client in the lobby, and the process that serves it. It is tried until the server listens."""
        async with asyncio.timeout(30):
            while True:
                try:
                    client = await RawClient.connect(self.port, f"/rooms/lobby?name={name}")
                    if client.status == 101:
                        return client, int(str(await client.read()).removeprefix("process "))
                except (OSError, asyncio.IncompleteReadError, AssertionError):
                    assert self.process.poll() is None, self.log
                await asyncio.sleep(0.05)

    def signal(self, name: str, process: int = 0) -> None:
        os.kill(process or self.process.pid, signal.Signals[f"SIG{name}"])

    async def stop(self) -> None:
        """As a service manager does."""
        self.process.terminate()
        try:
            await asyncio.to_thread(self.process.wait, 15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.server} does not stop: {self.log}") from None


@contextlib.asynccontextmanager
async def deployed(server: Server, folder: Path, workers: int = 4, **environment: str) -> AsyncIterator[Deployment]:
    """The chat by that server; skips where that is not installed."""
    try:
        importlib.import_module(server.module)
    except ImportError as error:
        pytest.skip(f"{error}: it is among requirements-dev.txt")
    if server.file[0]:
        (folder / server.file[0]).parent.mkdir(exist_ok=True)
        (folder / server.file[0]).write_text(server.file[1])
    running = Deployment(server, folder, workers, environment)
    try:
        yield running
    finally:
        while RawClient.alive:
            RawClient.alive.pop().kill()
        await running.stop()


@dataclass
class Visit:
    """One connection: with which process, what came, and how it ended."""

    name: str
    process: int
    heard: list[str] = field(default_factory=list)
    closed: int = 0


class Visitor:
    """A client that talks, and comes back whenever its connection ends."""

    def __init__(self, name: str, deployment: Deployment, client: RawClient, process: int) -> None:
        self.name = name
        self._deployment = deployment
        self.visits = [Visit(f"{name}.0", process)]
        self.client = client
        self._said = 0

    @property
    def visit(self) -> Visit:
        return self.visits[-1]

    async def talk(self) -> None:
        """A word now and then."""
        while True:
            await asyncio.sleep(0.05)
            self.client.text(f"{self.name} says {self._said}")
            self._said += 1

    async def listen(self) -> None:
        while True:
            try:
                first, payload = await self.client.frame()
            except (ConnectionError, asyncio.IncompleteReadError):
                await self._come_back(1006)
                continue
            if first == 0x81:
                self.visit.heard.append(payload.decode())
            elif first == 0x88:
                await self._come_back(struct.unpack("!H", payload[:2])[0] if payload else 1005)

    async def _come_back(self, code: int) -> None:
        self.visit.closed = code
        self.client.kill()
        name = f"{self.name}.{len(self.visits)}"
        client, process = await self._deployment.connect(name)
        self.client = client
        self.visits.append(Visit(name, process))


async def visitors(deployment: Deployment, each: int = 2) -> list[Visitor]:
    """So many at every worker: who comes to a full one goes again."""
    found: list[Visitor] = []
    at: dict[int, int] = {}
    async with asyncio.timeout(40):
        for number in itertools.count():
            if len(found) == each * deployment.workers:
                break
            name = f"v{number}"
            client, process = await deployment.connect(f"{name}.0")
            if at.get(process, 0) < each:
                at[process] = at.get(process, 0) + 1
                found.append(Visitor(name, deployment, client, process))
            else:
                client.kill()
    return found
