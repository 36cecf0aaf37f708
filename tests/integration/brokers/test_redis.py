"""What is Redis' own: its library, other languages, refusals, credentials, sentinels, and clusters."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trustme

from engine_process import free_port
from engines_redis import SERVERS, RedisCluster, RedisServer
from hubbub.brokers import Change, History, Position, Published
from hubbub.brokers.redis import RedisBroker, roll
from hubbub.brokers.redis.records import partition_of
from hubbub.brokers.redis.servers import library, revision
from hubbub.errors import BrokerUnavailable, HubbubError
from support.broker_nodes import KEPT, Nodes, appended, new, until

ALWAYS = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes[RedisBroker]]:
    made = Nodes(RedisBroker.from_url)
    yield made
    await made.close()


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(str(request.param), tmp_path_factory.mktemp("redis")).start()
    yield running
    running.kill()


@pytest.fixture(params=SERVERS)
def which(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# The library


async def test_the_library_is_loaded_where_it_is_missing_or_older(
    server: RedisServer, nodes: Nodes[RedisBroker]
) -> None:
    older = "#!lua name=hubbub1\nredis.register_function('hubbub1_revision', function() return 0 end)"
    server.ask("FUNCTION", "LOAD", "REPLACE", older)
    await nodes(server.url)
    assert server.ask("FCALL", "hubbub1_revision", "0") == revision()
    newer = library().replace(f"REVISION = {revision()}", f"REVISION = {revision() + 1}")
    server.ask("FUNCTION", "LOAD", "REPLACE", newer)
    await nodes(server.url)
    assert server.ask("FCALL", "hubbub1_revision", "0") == revision() + 1, "a newer one is left alone"
    server.ask("FUNCTION", "FLUSH")


async def test_a_library_that_is_lost_is_loaded_again(server: RedisServer, nodes: Nodes[RedisBroker]) -> None:
    broker, told = await nodes(server.url)
    server.ask("FUNCTION", "FLUSH")
    with pytest.raises(BrokerUnavailable) as raised:
        await broker.append([new(b"a")])
    assert raised.value.outcome == "unsent"
    await until(lambda: len(told.states) > 2 and told.up)
    await appended(broker, new(b"a"))


async def test_a_user_who_may_not_load_functions_is_told_what_to_do(
    server: RedisServer, nodes: Nodes[RedisBroker]
) -> None:
    server.ask("FUNCTION", "FLUSH")
    server.ask("ACL", "SETUSER", "plain", "on", ">s3cret", "~*", "&*", "+@all", "-function|load")
    url = server.url.replace("://", "://plain:s3cret@")
    _, told = await nodes(url, up=False)
    await until(lambda: told.states)
    assert "library.lua" in told.states[0][1]
    await nodes(server.url)  # somebody who may
    await until(lambda: told.up)


# Other languages


async def test_a_program_in_another_language_publishes_with_one_command(
    server: RedisServer, nodes: Nodes[RedisBroker]
) -> None:
    broker, told = await nodes(server.url)
    name = b"s:caf\xc3\xa9"
    await broker.subscribe([name])
    first = server.ask("FCALL", "hubbub1_publish", "1", "hb", "café", "olá")
    kept = server.ask("FCALL", "hubbub1_publish", "1", "hb", "café", "two", "10", "60", "key")
    again = server.ask("FCALL", "hubbub1_publish", "1", "hb", "café", "two", "10", "60", "key")
    assert (first[0], kept[0], again[0], again[2]) == (1, 2, 2, "repeated")
    (ours,) = await appended(broker, new(name, b"tours", history=History(10, 60)))
    assert ours == Published(3, first[1])
    await until(lambda: len(told.got.get(name, [])) == 3)
    assert told.bodies(name) == ["tolá".encode(), b"ttwo", b"tours"]
    assert len({p.id for p in told.got[name]}) == 3
    page = await broker.history(name)
    assert [p.body for p in page.publications] == [b"ttwo", b"tours"]


@pytest.mark.parametrize(
    "words",
    [
        ("0",), ("1", "hb"), ("1", "hb", "room"), ("1", "hb", "room", "text", "-1", "5"),
        ("1", "hb", "room", "text", "x", "5"), ("1", "hb", "room", "text", "5"),
        ("1", "hb", "room", "text", "1.5", "5"),
    ],
)  # fmt: skip
async def test_a_wrong_command_is_refused_and_does_nothing(
    server: RedisServer, nodes: Nodes[RedisBroker], words: tuple[str, ...]
) -> None:
    broker, _ = await nodes(server.url)
    assert server.ask("FCALL", "hubbub1_publish", *words) is None
    assert await broker.positions([b"s:room"]) == [None]


# What is refused, and what is lost


async def test_a_key_of_somebody_else_fails_its_publications_alone(
    server: RedisServer, nodes: Nodes[RedisBroker]
) -> None:
    broker, told = await nodes(server.url)
    server.ask("SET", "hb:m:taken", "not a hash")
    taken, free = await broker.append([new(b"taken"), new(b"free")])
    assert isinstance(taken, HubbubError)
    assert "WRONGTYPE" in str(taken)
    assert isinstance(free, Published)
    assert [up for up, _ in told.states] == [True]
    server.ask("DEL", "hb:m:taken")


async def test_a_full_server_refuses_and_goes_on(server: RedisServer, nodes: Nodes[RedisBroker]) -> None:
    broker, told = await nodes(server.url)
    server.ask("CONFIG", "SET", "maxmemory", "1")
    (refused,) = await broker.append([new(b"a", history=KEPT)])
    server.ask("CONFIG", "SET", "maxmemory", "0")
    assert isinstance(refused, HubbubError)
    assert "OOM" in str(refused)
    assert [up for up, _ in told.states] == [True]
    await appended(broker, new(b"a"))


async def test_a_flushed_server_begins_other_epochs(server: RedisServer, nodes: Nodes[RedisBroker]) -> None:
    broker, told = await nodes(server.url)
    await broker.subscribe([b"a"])
    (before,) = await appended(broker, new(b"a", history=KEPT))
    server.ask("FLUSHALL")
    (after,) = await appended(broker, new(b"a", history=KEPT))
    assert after.epoch != before.epoch
    await until(lambda: len(told.got.get(b"a", [])) == 2)
    assert [p.epoch for p in told.got[b"a"]] == [before.epoch, after.epoch]
    assert not (await broker.history(b"a", Position(before.offset, before.epoch))).complete


async def test_evicted_keys_are_no_hole_in_silence(server: RedisServer, nodes: Nodes[RedisBroker]) -> None:
    broker, _ = await nodes(server.url)
    (first, last) = await appended(broker, new(b"m", history=KEPT), new(b"m", history=KEPT))
    server.ask("DEL", "hb:l:m")
    page = await broker.history(b"m", Position(first.offset, first.epoch))
    assert (page.top.offset, page.publications, page.complete) == (last.offset, [], False)
    await appended(broker, new(b"m", history=KEPT))
    server.ask("DEL", "hb:m:m")
    page = await broker.history(b"m", Position(first.offset, first.epoch))
    assert (page.publications, page.complete) == ([], False)
    assert page.top.epoch != first.epoch


@pytest.mark.parametrize("kind", ["pubsub", "normal"])
async def test_a_killed_connection_is_told_and_made_again(
    server: RedisServer, nodes: Nodes[RedisBroker], kind: str
) -> None:
    broker, told = await nodes(server.url)
    await broker.subscribe([b"a"])
    server.ask("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    await until(lambda: len(told.states) > 2 and told.up)
    await broker.subscribe([b"a"])
    await appended(broker, new(b"a", b"1"))
    await until(lambda: told.bodies(b"a") == [b"1"])


async def test_a_server_that_sleeps_is_given_up_and_found_again(
    server: RedisServer, nodes: Nodes[RedisBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubbub.brokers.redis.link.SILENCE", 0.5)
    broker, told = await nodes(server.url)
    sleeping = asyncio.get_running_loop().run_in_executor(None, server.ask, "DEBUG", "SLEEP", "2")
    await asyncio.sleep(0.1)
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable) as raised:
        await broker.append([new(b"a")])
    assert raised.value.outcome == "unknown"
    assert time.monotonic() - began < 1.9
    await sleeping
    await until(lambda: told.up)


async def test_acknowledged_and_fsynced_is_there_after_kill_9_in_the_same_epoch(
    which: str, tmp_path: Path, nodes: Nodes[RedisBroker]
) -> None:
    running = RedisServer(which, tmp_path, *ALWAYS).start()
    try:
        broker, told = await nodes(running.url)
        done = await appended(broker, *(new(b"a", b"%d" % n, history=KEPT) for n in range(50)))
        running.kill()
        await until(lambda: not told.up)
        with pytest.raises(BrokerUnavailable) as raised:
            await broker.append([new(b"a")])
        assert raised.value.outcome == "unsent"
        running.start()
        await until(lambda: told.up)
        page = await broker.history(b"a", Position(0, done[0].epoch))
        assert [p.body for p in page.publications] == [b"%d" % n for n in range(50)]
        assert page.complete
        assert page.top == Position(50, done[0].epoch)
    finally:
        running.kill()


async def test_snapshots_begin_other_epochs_after_a_restart(
    which: str, tmp_path: Path, nodes: Nodes[RedisBroker]
) -> None:
    running = RedisServer(which, tmp_path).start()
    try:
        broker, told = await nodes(running.url)
        (before,) = await appended(broker, new(b"a", b"1", history=KEPT))
        running.ask("SAVE")
        await appended(broker, new(b"a", b"2", history=KEPT))
        running.kill()
        running.start()
        await until(lambda: len(told.states) > 2 and told.up)
        (after,) = await appended(broker, new(b"a", b"3", history=KEPT))
        assert after.epoch != before.epoch
        assert not (await broker.history(b"a", Position(2, before.epoch))).complete
    finally:
        running.kill()


# Who is present


async def test_what_a_node_has_put_that_nobody_hears_of_any_more_goes(
    server: RedisServer, nodes: Nodes[RedisBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, _ = await nodes(server.url)
    await broker.present([Change(b"a", "gone", "user", b"")])
    assert broker._servers is not None
    broker._servers.give_up("it hangs")
    await broker.reset("it hangs")
    if broker._keeping is not None:
        broker._keeping.cancel()
    monkeypatch.setattr(roll, "FORGOTTEN", 200)
    await asyncio.sleep(0.25)
    other, _ = await nodes(server.url)
    await until(lambda: server.ask("ZCARD", "hb:nodes") == 1)
    found = await other.presence(b"a")
    assert (found.clients, found.users, found.entries) == (0, 0, [])


async def test_a_large_room_is_dropped_in_parts_and_leaves_no_key(
    server: RedisServer, nodes: Nodes[RedisBroker]
) -> None:
    broker, _ = await nodes(server.url)
    other, _ = await nodes(server.url)
    keys = server.ask("DBSIZE")
    changes = [Change(b"large", f"client {n}", f"user {n % 7}", b"info") for n in range(3000)]
    await broker.present(changes)
    await other.present([Change(b"large", "stays", "user 0", b"")])
    assert (await other.presence(b"large", 0))[1:] == (3001, 7)
    assert len((await other.presence(b"large", 10)).entries) == 10
    dropped = await other.evict(b"node01")
    assert sorted(dropped) == sorted(Change(b"large", c.client, c.user) for c in changes)
    found = await other.presence(b"large")
    assert ([e.client for e in found.entries], found.clients, found.users) == (["stays"], 1, 1)
    await other.present([Change(b"large", "stays")])
    assert server.ask("DBSIZE") == keys


# Credentials, places


async def test_a_wrong_password_is_told_without_it(
    server: RedisServer, nodes: Nodes[RedisBroker], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    _, told = await nodes(server.url.replace("://", "://nobody:s3cret@"), up=False)
    await until(lambda: told.states)
    assert "WRONGPASS" in told.states[0][1]
    assert "s3cret" not in str(told.states) + caplog.text


async def test_a_unix_socket(which: str, tmp_path: Path, nodes: Nodes[RedisBroker]) -> None:
    running = RedisServer(which, tmp_path, "--save", "", "--unixsocket", str(tmp_path / "s")).start()
    try:
        broker, told = await nodes(f"unix://{tmp_path / 's'}?db=3")
        await broker.subscribe([b"a"])
        await appended(broker, new(b"a", b"1"))
        await until(lambda: told.bodies(b"a") == [b"1"])
        assert running.ask("EXISTS", "hb3:m:a") == 0, "it is in database 3"
    finally:
        running.kill()


async def test_tls(which: str, tmp_path: Path, nodes: Nodes[RedisBroker]) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    mine = authority.issue_cert("127.0.0.1")
    mine.private_key_pem.write_to_path(tmp_path / "key.pem")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    port = free_port()
    running = RedisServer(
        which, tmp_path, "--save", "", "--tls-port", str(port), "--tls-cert-file", str(tmp_path / "cert.pem"),
        "--tls-key-file", str(tmp_path / "key.pem"), "--tls-ca-cert-file", str(tmp_path / "ca.pem"),
        "--tls-auth-clients", "no",
    )  # fmt: skip
    try:
        running.start()
    except RuntimeError:
        pytest.skip("this server was built without TLS")
    try:
        broker, told = await nodes(f"rediss://127.0.0.1:{port}?ca={tmp_path}/ca.pem")
        await broker.subscribe([b"a"])
        await appended(broker, *(new(b"a", bytes(50_000)) for _ in range(40)))
        await until(lambda: len(told.got.get(b"a", [])) == 40)
        _, told = await nodes(f"rediss://127.0.0.1:{port}", up=False)
        await until(lambda: told.states)
        assert "certificate" in told.states[0][1], "it is not trusted"
    finally:
        running.kill()


async def test_what_is_no_redis_is_said_so(nodes: Nodes[RedisBroker]) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    http = await asyncio.start_server(greet, "127.0.0.1", 0)
    _, told = await nodes(f"redis://127.0.0.1:{http.sockets[0].getsockname()[1]}", up=False)
    await until(lambda: told.states)
    assert "does not speak Redis' protocol" in told.states[0][1]
    http.close()


async def test_what_doctor_says(server: RedisServer, nodes: Nodes[RedisBroker]) -> None:
    server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    server.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 1mb 60")
    broker, _ = await nodes(server.url)
    checks = {check.name: check for check in await broker.check()}
    assert "raise the pubsub limit" in checks["output buffer of subscribers"].advice
    assert checks["maxmemory-policy"].value == "allkeys-lru"
    assert "begins all epochs anew" in checks["persistence"].advice
    server.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")
    server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")


# Failover


async def test_a_failover_to_a_replica_that_is_behind_reuses_no_position(
    which: str, tmp_path: Path, nodes: Nodes[RedisBroker]
) -> None:
    """Sentinels promote a replica that lacks what the master has acknowledged last."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "s").mkdir()
    master = RedisServer(which, tmp_path / "a", *ALWAYS).start()
    replica = RedisServer(which, tmp_path / "b", *ALWAYS, "--replicaof", f"127.0.0.1 {master.port}").start()
    (tmp_path / "s" / "conf").write_text(
        f"sentinel monitor main 127.0.0.1 {master.port} 1\nsentinel down-after-milliseconds main 500\n"
        "sentinel failover-timeout main 2000\n"
    )
    sentinel = RedisServer(which, tmp_path / "s", "--sentinel", config=tmp_path / "s" / "conf").start()
    try:
        await until(lambda: "slave" in str(sentinel.ask("SENTINEL", "REPLICAS", "main")))
        await until(lambda: "master_link_status:up" in str(replica.ask("INFO", "replication")))
        broker, told = await nodes(f"redis://127.0.0.1:{sentinel.port}?sentinel=main")
        done = await appended(broker, *(new(b"a", b"%d" % n, history=KEPT) for n in range(3)))
        await until(lambda: replica.ask("HGET", "hb:m:a", "s") == "3")
        replica.freeze()
        lost = await appended(broker, new(b"a", b"lost", history=KEPT))
        master.kill()
        replica.thaw()
        await until(lambda: not told.up)
        await until(lambda: told.up, 20)
        assert f":{replica.port}" in told.states[-1][1]
        (after,) = await appended(broker, new(b"a", b"after", history=KEPT))
        assert after.epoch != done[0].epoch
        away = await broker.history(b"a", Position(lost[0].offset, lost[0].epoch))
        assert not away.complete, "who was away meanwhile is not told that it has missed nothing"
    finally:
        for running in (sentinel, replica, master):
            running.kill()


async def test_a_replica_is_not_written_to(which: str, tmp_path: Path, nodes: Nodes[RedisBroker]) -> None:
    (tmp_path / "b").mkdir()
    master = RedisServer(which, tmp_path).start()
    replica = RedisServer(which, tmp_path / "b", "--replicaof", f"127.0.0.1 {master.port}").start()
    try:
        broker, told = await nodes(f"redis://127.0.0.1:{replica.port}", up=False)
        await until(lambda: told.states)
        assert "replica" in told.states[0][1]
        replica.ask("REPLICAOF", "NO", "ONE")
        await until(lambda: told.up)
        (before,) = await appended(broker, new(b"a"))
        replica.ask("REPLICAOF", "127.0.0.1", str(master.port))
        await until(lambda: "slave" in str(replica.ask("ROLE")))
        with pytest.raises(BrokerUnavailable):
            await broker.append([new(b"a")])
        replica.ask("REPLICAOF", "NO", "ONE")
        (after,) = await appended(broker, new(b"a"))
        assert after.epoch != before.epoch
    finally:
        replica.kill()
        master.kill()


# Clusters


@pytest.fixture(scope="module", params=SERVERS)
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    running = RedisCluster(str(request.param), tmp_path_factory.mktemp("cluster"))
    running.start()
    yield running
    running.kill()


async def test_a_cluster_has_each_channel_on_one_server(cluster: RedisCluster, nodes: Nodes[RedisBroker]) -> None:
    broker, told = await nodes(cluster.url)
    other, heard = await nodes(cluster.url)
    names = [b"s:%d" % n for n in range(300)]
    await broker.subscribe(names)
    done = await appended(other, *(new(name, b"%d" % n, history=KEPT) for n in range(3) for name in names))
    assert [p.offset for p in done] == [1] * 300 + [2] * 300 + [3] * 300
    await until(lambda: sum(map(len, told.got.values())) == 900)
    assert all(told.bodies(name) == [b"0", b"1", b"2"] for name in names)
    assert all(server.ask("DBSIZE") > 50 for server in cluster.servers)
    assert [p.offset for p in await broker.positions(names) if p] == [3] * 300
    await broker.control(b"hello")
    await until(lambda: heard.controls == [(b"node01", b"hello")] == told.controls)
    prefix = f"hb{{{_tag(b's:lobby')}}}"
    where = next(
        server for server in cluster.servers if server.ask("FCALL", "hubbub1_publish", "1", prefix, "lobby", "hi")
    )
    assert where is not None
    assert (await broker.positions([b"s:lobby"])) != [None], "a program in another language knows the partition"


def _tag(name: bytes) -> str:
    from hubbub.brokers.redis.servers import tags

    return tags()[partition_of(name)].decode()


async def test_a_slot_that_moves_is_followed(cluster: RedisCluster, nodes: Nodes[RedisBroker]) -> None:
    broker, told = await nodes(cluster.url)
    name = b"s:moves"
    await broker.subscribe([name])
    (before,) = await appended(broker, new(name, b"before", history=KEPT))
    cluster.move(f"hb{{{_tag(name)}}}:m:s:moves")
    await until(lambda: len(told.states) > 2 and told.up)
    await broker.subscribe([name])
    (after,) = await appended(broker, new(name, b"after", history=KEPT))
    assert after.epoch != before.epoch, "another server has the slot now, which may have been given less"
    await until(lambda: told.bodies(name) == [b"before", b"after"])


async def test_a_cluster_that_is_down_is_waited_for(cluster: RedisCluster, nodes: Nodes[RedisBroker]) -> None:
    broker, told = await nodes(cluster.url)
    cluster.servers[1].kill()
    await until(lambda: not told.up)
    cluster.servers[1].start()
    await until(lambda: told.up, 20)
    await appended(broker, *(new(b"s:%d" % n) for n in range(50)))
