"""The engines of troubled worlds: real ones, and what can be done to them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from engines_nats import NatsServer
from engines_redis import RedisServer
from faults.proxy import Cut, Proxy, local_messages, nats_messages, redis_messages
from hubbub.brokers import Broker, broker_for
from hubbub.brokers.local import LocalBroker
from hubbub.brokers.nats import NatsBroker
from hubbub.brokers.places import place_beside
from hubbub.brokers.relay import lock

__all__ = ["ENGINES", "Engine", "LocalEngine", "NatsEngine", "RedisEngine", "SqliteEngine"]

HISTORY = 100_000


class Engine:
    """Args:
    folder: its own.
    history: publications that are kept; 0: none.
    """

    name = ""
    dense = True
    survives = False  # acknowledged publications with history survive a kill
    survives_this: bool = False  # and whatever else was done
    messages: Cut
    only: tuple[str, ...] = ()  # faults that are others here than on a kind that is like it; (): all

    def __init__(self, folder: Path, history: int) -> None:
        self.folder = folder
        self.history = history
        self.proxies: list[Proxy] = []

    async def start(self) -> None: ...
    async def end(self) -> None:
        for proxy in self.proxies:
            await proxy.close()

    @property
    def url(self) -> str:
        raise NotImplementedError

    @property
    def pid(self) -> int:
        raise NotImplementedError

    def environment(self, worker: int, proxied: bool) -> dict[str, str]:
        return {}

    async def url_of(self, worker: int, proxied: bool) -> str:
        """For one worker, through a proxy of its own if wanted."""
        raise NotImplementedError

    def auditor(self) -> Broker:
        """One that is led to it, to look at it."""
        return broker_for(self.url)

    def relay_is(self, pid: int) -> None:
        """The workers say that the engine is this process."""

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """And start it again, if the workers do not."""
        raise NotImplementedError


class RelayEngine(Engine):
    """A relay. With proxies it is started here, else by the first worker."""

    messages = staticmethod(local_messages)

    def __init__(self, folder: Path, history: int) -> None:
        super().__init__(folder, history)
        self._pid = 0
        self._locks: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._pid

    def relay_is(self, pid: int) -> None:
        self._pid = pid

    def auditor(self) -> Broker:
        return LocalBroker(str(self._place(self.folder / "run")))

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def _place(self, runtime: Path) -> Path:
        raise NotImplementedError

    def _arguments(self) -> list[str]:
        return []

    def environment(self, worker: int, proxied: bool) -> dict[str, str]:
        runtime = self.folder / (f"w{worker}" if proxied else "run")
        runtime.mkdir(exist_ok=True)
        return {"XDG_RUNTIME_DIR": str(runtime)}

    async def url_of(self, worker: int, proxied: bool) -> str:
        if not proxied:
            return self.url
        real = self._place(Path(self.environment(0, False)["XDG_RUNTIME_DIR"]))
        if self._process is None:
            command = [sys.executable, "-m", "hubbub.brokers.relay", "--linger", "inf", *self._arguments(), str(real)]
            self._process = subprocess.Popen(command, env=os.environ | self.environment(0, False))
            self._pid = self._process.pid
            while not real.exists():
                await asyncio.sleep(0.01)
        proxy = Proxy(lambda: asyncio.open_unix_connection(str(real)), self.messages)
        place = self._place(Path(self.environment(worker, True)["XDG_RUNTIME_DIR"]))
        held = lock(place)  # whoever finds the proxy silent must not start a relay in its place
        assert held is not None
        self._locks.append(held)
        await proxy.listen(place)
        self.proxies.append(proxy)
        return self.url

    async def end(self) -> None:
        await super().end()
        for held in self._locks:
            os.close(held)
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGCONT)
                os.kill(self._pid, signal.SIGTERM)
        if self._process is not None:
            self._process.wait()


class LocalEngine(RelayEngine):
    name = "local"

    @property
    def url(self) -> str:
        return "local:world"

    def _place(self, runtime: Path) -> Path:
        (runtime / "hubbub").mkdir(mode=0o700, exist_ok=True)
        return runtime / "hubbub" / "world.sock"


class SqliteEngine(RelayEngine):
    name = "sqlite"
    survives = True

    @property
    def url(self) -> str:
        return f"sqlite:{self.folder}/kept.db"

    def _arguments(self) -> list[str]:
        return ["--sqlite", f"{self.folder}/kept.db"]

    def _place(self, runtime: Path) -> Path:
        before = os.environ.get("XDG_RUNTIME_DIR")
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
        try:
            return place_beside(f"{self.folder}/kept.db")
        finally:
            del os.environ["XDG_RUNTIME_DIR"]
            if before is not None:
                os.environ["XDG_RUNTIME_DIR"] = before


class NatsEngine(Engine):
    name = "nats"
    dense = False
    survives = True
    messages = staticmethod(nats_messages)
    which = "wheel"

    def __init__(self, folder: Path, history: int) -> None:
        super().__init__(folder, history)
        self.server = NatsServer(self.which, folder)

    async def start(self) -> None:
        await asyncio.to_thread(self.server.start)

    async def end(self) -> None:
        await super().end()
        if self.server.process is not None:
            self.thaw()
        self.server.kill()

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def pid(self) -> int:
        assert self.server.process is not None
        return self.server.process.pid

    async def url_of(self, worker: int, proxied: bool) -> str:
        if not proxied:
            return self.url
        proxy = Proxy(lambda: asyncio.open_connection("127.0.0.1", self.server.port), self.messages)
        self.proxies.append(proxy)
        return f"nats://127.0.0.1:{await proxy.listen()}"

    def kill(self) -> None:
        self.server.kill()
        self.server.start()

    def lose(self) -> None:
        """Killed, and its disk is gone."""
        self.server.kill()
        shutil.rmtree(self.server.store)
        self.server.start()

    def save(self) -> None:
        """A replica has got so far."""
        self.server.kill()
        shutil.rmtree(self.folder / "saved", ignore_errors=True)
        shutil.copytree(self.server.store, self.folder / "saved")
        self.server.start()

    def fall_back(self) -> None:
        """It takes over."""
        self.server.kill()
        shutil.rmtree(self.server.store)
        shutil.copytree(self.folder / "saved", self.server.store)
        self.server.start()

    async def delete(self) -> None:
        """Its stream, by somebody else."""
        broker: Any = broker_for(self.url)
        assert isinstance(broker, NatsBroker)
        await broker.start(b"runner", _Nobody())
        until = time.monotonic() + 10
        while broker._streams is None or broker._link is None:
            assert time.monotonic() < until, broker.reason
            await asyncio.sleep(0.01)
        for name in (await broker._streams.api("STREAM.NAMES"))["streams"]:
            if "-c-" in name:
                await broker._streams.api(f"STREAM.DELETE.{name}")
        await broker.close()


class RedisEngine(Engine):
    """Redis whose file has what it acknowledged. A replica is made when it is wanted."""

    name = "redis"
    survives = True
    messages = staticmethod(redis_messages)
    which = "debian"
    options = ("--save", "", "--repl-diskless-sync-delay", "0", "--appendonly", "yes", "--appendfsync", "always")

    def __init__(self, folder: Path, history: int) -> None:
        super().__init__(folder, history)
        self.server = RedisServer(self.which, folder, *self.options)
        self.replica: RedisServer | None = None

    async def start(self) -> None:
        await asyncio.to_thread(self.server.start)

    async def end(self) -> None:
        await super().end()
        for server in (self.server, self.replica):
            if server is not None:
                server.kill()

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def pid(self) -> int:
        assert self.server.process is not None
        return self.server.process.pid

    async def url_of(self, worker: int, proxied: bool) -> str:
        if not proxied:
            return self.url
        proxy = Proxy(lambda: asyncio.open_connection("127.0.0.1", self.server.port), self.messages)
        self.proxies.append(proxy)
        return f"redis://127.0.0.1:{await proxy.listen()}"

    def kill(self) -> None:
        self.server.kill()
        self.server.start()

    def lose(self) -> None:
        """Killed, and its disk is gone."""
        self.server.kill()
        shutil.rmtree(self.server.store)
        self.server.start()

    def save(self) -> None:
        """A replica follows, and then falls behind: it is told to follow no more."""
        folder = self.folder / f"replica{time.monotonic_ns()}"
        folder.mkdir()
        self.replica = RedisServer(self.which, folder, *self.options)
        self.replica.start()
        self.replica.ask("REPLICAOF", "127.0.0.1", str(self.server.port))
        until = time.monotonic() + 20
        while "master_link_status:up" not in str(self.replica.ask("INFO", "replication")):
            assert time.monotonic() < until, "the replica does not follow"
            time.sleep(0.01)
        time.sleep(0.05)
        self.replica.ask("REPLICAOF", "NO", "ONE")

    def fall_back(self) -> None:
        """It takes over, where all links lead from now on."""
        assert self.replica is not None
        self.server.kill()
        self.server, self.replica = self.replica, None

    async def flush(self) -> None:
        await asyncio.to_thread(self.server.ask, "FLUSHALL")

    async def kick(self) -> None:
        """Cut its subscribers."""
        await asyncio.to_thread(self.server.ask, "CLIENT", "KILL", "TYPE", "pubsub")

    async def sleep(self, seconds: float) -> None:
        await asyncio.to_thread(self.server.ask, "DEBUG", "SLEEP", str(seconds))


class ForgetfulRedisEngine(RedisEngine):
    """Redis without a file: Valkey, from a wheel."""

    name = "redis-memory"
    survives = False
    which = "wheel"
    options = ("--save", "", "--repl-diskless-sync-delay", "0", "--appendonly", "no")
    only = ("kill-engine", "fall-back")


class _Nobody:
    """Events that interest nobody."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


ENGINES: dict[str, type[Engine]] = {
    kind.name: kind for kind in (LocalEngine, SqliteEngine, NatsEngine, RedisEngine, ForgetfulRedisEngine)
}
