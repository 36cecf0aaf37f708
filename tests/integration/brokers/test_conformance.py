"""The suite that ships, over the brokers that ship, with what can be done to their engines."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import engines_nats
import engines_redis
from engines_nats import NatsServer
from engines_redis import RedisCluster, RedisServer
from hubbub.brokers import Broker, local
from hubbub.brokers.local import LocalBroker
from hubbub.brokers.nats import NatsBroker
from hubbub.brokers.nats.wire import publish
from hubbub.brokers.redis import RedisBroker
from hubbub.brokers.sqlite import SqliteBroker
from hubbub.testing.brokers import CHECKS, Bench, Check, MemoryBench


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Once with the real time for an answer will do."""
    if "sqlite" in request.node.name:
        monkeypatch.setattr(local, "ANSWER", 1.5)


class RelayBench(Bench):
    """Of brokers that a relay joins."""

    def pids(self) -> set[int]:
        return {node.broker.relay for node in self.nodes if isinstance(node.broker, LocalBroker)} - {0}

    def signal(self, number: int) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    async def close(self) -> None:
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)

    async def cut(self, broker: Broker) -> None:
        assert isinstance(broker, LocalBroker)
        assert broker._link is not None
        broker._link.transport.abort()

    async def restart(self) -> None:
        self.signal(signal.SIGKILL)

    async def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    async def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    async def intrude(self, broker: Broker, channel: bytes) -> None:
        """What the relay would send if it were not one."""
        assert isinstance(broker, LocalBroker)
        assert broker._link is not None
        broker._link.data_received(b"\0\0\0\5\x93\x29\xff\xff\xff")


class LocalBench(RelayBench):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.socket = folder / "relay.sock"

    def broker(self) -> Broker:
        return LocalBroker(str(self.socket))

    async def lose(self) -> None:
        self.signal(signal.SIGKILL)


class SqliteBench(RelayBench):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.file = folder / "chat.db"

    def broker(self) -> Broker:
        return SqliteBroker(str(self.file))

    async def lose(self) -> None:
        await self.freeze()
        for file in self.file.parent.glob("chat.db*"):
            file.unlink()
        self.signal(signal.SIGKILL)


class NatsBench(Bench):
    grace = 0.1
    largest = 1_000_000  # and what goes with it, in the server's max_payload of 1 MiB

    def __init__(self, server: NatsServer) -> None:
        super().__init__()
        self.server = server

    def broker(self) -> Broker:
        return NatsBroker.from_url(self.server.url)

    async def cut(self, broker: Broker) -> None:
        assert isinstance(broker, NatsBroker)
        assert broker._link is not None
        broker._link.transport.abort()

    async def restart(self) -> None:
        self.server.kill()
        self.server.start()

    async def lose(self) -> None:
        self.server.kill()
        shutil.rmtree(self.server.store)
        self.server.start()

    async def freeze(self) -> None:
        self.server.freeze()

    async def thaw(self) -> None:
        self.server.thaw()

    async def intrude(self, broker: Broker, channel: bytes) -> None:
        assert isinstance(broker, NatsBroker)
        assert broker._link is not None
        for data in (b"", b"foreign", b"h1", b"h1\0too short", b"h1\xffof a later version"):
            broker._link.write(publish(broker._subject(b"r", channel), b"", b"", data))

    async def save(self) -> None:
        states = [len(node.states) for node in self.nodes]
        self.server.kill()
        shutil.copytree(self.server.store, self.server.folder / "saved")
        self.server.start()
        for node, before in zip(self.nodes, states, strict=True):
            await self.until(lambda: len(node.states) > before and node.up, "a link")  # noqa: B023

    async def fall_back(self) -> None:
        self.server.kill()
        shutil.rmtree(self.server.store)
        shutil.copytree(self.server.folder / "saved", self.server.store)
        self.server.start()


class RedisBench(Bench):
    """Of a server that keeps what it has acknowledged, or of one that keeps what it had some time ago."""

    grace = 0.1

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self.server = server

    def broker(self) -> Broker:
        return RedisBroker.from_url(self.server.url)

    async def cut(self, broker: Broker) -> None:
        assert isinstance(broker, RedisBroker)
        assert broker._servers is not None
        broker._servers.links[1].transport.abort()

    async def restart(self) -> None:
        self.server.kill()
        self.server.start()

    async def lose(self) -> None:
        self.server.kill()
        shutil.rmtree(self.server.store)
        self.server.start()

    async def freeze(self) -> None:
        self.server.freeze()

    async def thaw(self) -> None:
        self.server.thaw()

    async def intrude(self, broker: Broker, channel: bytes) -> None:
        foreign = (
            b"",
            b"foreign",
            b"h1",
            b"h1epoch123",
            b"h1epoch1231 ",
            b"h1epoch1231 \0\0\0\5too short",
            b"h9epoch1231 x",
        )
        for data in foreign:
            self.server.ask("PUBLISH", b"hb:c:" + channel, data)
        self.server.ask("PUBLISH", "hb:k:all", "?")

    async def save(self) -> None:
        states = [len(node.states) for node in self.nodes]
        self.server.ask("SAVE")
        self.server.kill()
        shutil.copytree(self.server.store, self.server.folder / "saved")
        self.server.start()
        for node, before in zip(self.nodes, states, strict=True):
            await self.until(lambda: len(node.states) > before and node.up, "a link")  # noqa: B023

    async def fall_back(self) -> None:
        self.server.kill()
        shutil.rmtree(self.server.store)
        shutil.copytree(self.server.folder / "saved", self.server.store)
        self.server.start()


@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_memory(check: Check) -> None:
    await check(MemoryBench())


@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_local(check: Check, tmp_path: Path) -> None:
    await check(LocalBench(tmp_path))


@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_sqlite(check: Check, tmp_path: Path) -> None:
    await check(SqliteBench(tmp_path))


@pytest.fixture(scope="module", params=engines_nats.SERVERS)
def nats_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    running = NatsServer(str(request.param), tmp_path_factory.mktemp("nats")).start()
    yield running
    running.kill()


@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_nats(check: Check, nats_server: NatsServer) -> None:
    await check(NatsBench(nats_server))


ALWAYS = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")


@pytest.fixture(scope="module", params=engines_redis.SERVERS)
def redis_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(str(request.param), tmp_path_factory.mktemp("redis")).start()
    yield running
    running.kill()


@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_redis(check: Check, redis_server: RedisServer) -> None:
    await check(RedisBench(redis_server))


@pytest.fixture(scope="module")
def careful_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer("debian", tmp_path_factory.mktemp("redis"), *ALWAYS).start()
    yield running
    running.kill()


@pytest.mark.parametrize("check", [check for check in CHECKS if str(check).startswith("trouble")], ids=str)
async def test_redis_that_keeps_what_it_acknowledges(check: Check, careful_redis: RedisServer) -> None:
    await check(RedisBench(careful_redis))


class ClusterBench(Bench):
    """Of a cluster, which is let alone."""

    grace = 0.1

    def __init__(self, cluster: RedisCluster) -> None:
        super().__init__()
        self.cluster = cluster

    def broker(self) -> Broker:
        return RedisBroker.from_url(self.cluster.url)

    async def cut(self, broker: Broker) -> None:
        assert isinstance(broker, RedisBroker)
        assert broker._servers is not None
        broker._servers.links[0].transport.abort()


@pytest.fixture(scope="module")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    running = RedisCluster("debian", tmp_path_factory.mktemp("cluster"))
    running.start()
    yield running
    running.kill()


@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_redis_cluster(check: Check, redis_cluster: RedisCluster) -> None:
    await check(ClusterBench(redis_cluster))
