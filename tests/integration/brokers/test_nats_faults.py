"""NATS in trouble: restarts, streams that are lost or fall back, frozen servers, credentials."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from engines_nats import NatsServer, api
from hubbub.brokers import Position
from hubbub.brokers.nats import NatsBroker, link
from hubbub.errors import BrokerUnavailable
from support.broker_nodes import KEPT, Nodes, appended, new, until


async def test_what_was_acknowledged_is_there_after_kill_9(server: NatsServer, nodes: Nodes[NatsBroker]) -> None:
    broker, told = await nodes(server.url)
    done = await appended(broker, *(new(b"a", b"%d" % n, history=KEPT) for n in range(50)))
    server.kill()
    await until(lambda: not told.up)
    with pytest.raises(BrokerUnavailable) as raised:
        await broker.append([new(b"a")])
    assert raised.value.outcome == "unsent"
    server.start()
    await until(lambda: told.up)
    page = await broker.history(b"a", Position(0, done[0].epoch))
    assert [p.body for p in page.publications] == [b"%d" % n for n in range(50)]
    assert page.complete
    assert await broker.positions([b"a"]) == [Position(done[-1].offset, done[-1].epoch)]


async def test_subscriptions_are_void_after_a_break_and_work_when_made_again(
    server: NatsServer, nodes: Nodes[NatsBroker]
) -> None:
    broker, told = await nodes(server.url)
    await broker.subscribe([b"a"])
    server.kill()
    await until(lambda: not told.up)
    server.start()
    await until(lambda: told.up)
    await broker.subscribe([b"a"])
    await appended(broker, new(b"a", b"1"))
    await until(lambda: told.bodies(b"a") == [b"1"])


async def test_a_stream_that_is_lost_is_made_anew_with_another_epoch(
    server: NatsServer, nodes: Nodes[NatsBroker]
) -> None:
    broker, _ = await nodes(server.url)
    other, told = await nodes(server.url)
    ((_, epoch, _),) = await appended(broker, new(b"a", b"1", history=KEPT))
    await other.subscribe([b"a"])
    await api(broker, f"STREAM.DELETE.hb-c-{epoch}")
    (after,) = await appended(broker, new(b"a", b"2", history=KEPT))
    assert after.epoch != epoch
    await until(lambda: told.got.get(b"a"))
    assert told.got[b"a"][0][:3] == (after.offset, 0, after.epoch), "its epoch comes with the publication itself"
    page = await broker.history(b"a", Position(1, epoch))
    assert not page.complete
    assert [p.body for p in page.publications] == [b"2"]


async def test_a_stream_that_has_fallen_back_gets_another_epoch(
    server: NatsServer, nodes: Nodes[NatsBroker], tmp_path: Path
) -> None:
    broker, told = await nodes(server.url)
    await appended(broker, new(b"a", b"1", history=KEPT))
    server.kill()
    shutil.copytree(server.store, tmp_path / "earlier")
    server.start()
    await until(lambda: not told.up)
    await until(lambda: told.up)
    late = (await appended(broker, new(b"a", b"2", history=KEPT)))[0]
    server.kill()
    shutil.rmtree(server.store)
    shutil.copytree(tmp_path / "earlier", server.store)
    await until(lambda: not told.up)
    server.start()
    await until(lambda: told.up)
    (after,) = await appended(broker, new(b"a", b"3", history=KEPT))
    assert after.epoch != late.epoch, "else one position would name two publications"
    assert not (await broker.history(b"a", Position(late.offset, late.epoch))).complete


async def test_a_stream_whose_offsets_were_used_again_gets_another_epoch(
    server: NatsServer, nodes: Nodes[NatsBroker], tmp_path: Path
) -> None:
    broker, told = await nodes(server.url)
    server.kill()
    shutil.copytree(server.store, tmp_path / "earlier")
    server.start()
    await until(lambda: not told.up)
    await until(lambda: told.up)
    late = (await appended(broker, new(b"a", b"lost", history=KEPT)))[0]
    server.kill()
    await until(lambda: not told.up)
    shutil.rmtree(server.store)
    shutil.copytree(tmp_path / "earlier", server.store)
    port = server.port
    server.move()  # where only another node finds it
    server.start()
    other, _ = await nodes(server.url)
    await appended(other, *(new(b"a", b"%d" % n, history=KEPT) for n in range(5)))
    server.kill()
    server.port = port
    server.start()
    await until(lambda: told.up)
    ((offset, epoch),) = await broker.positions([b"a"])  # type: ignore[misc]
    assert epoch != late.epoch
    assert offset == 0


async def test_a_frozen_server_breaks_the_link_and_it_comes_back(
    server: NatsServer, nodes: Nodes[NatsBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "SILENCE", 0.5)
    monkeypatch.setattr("hubbub.brokers.connection.PINGED", 0.1)
    broker, told = await nodes(server.url)
    server.freeze()
    try:
        with pytest.raises(BrokerUnavailable) as raised:
            await broker.append([new(b"a")])
        assert raised.value.outcome == "unknown"
        assert not told.up
    finally:
        server.thaw()
    await until(lambda: told.up)
    await appended(broker, new(b"a"))


async def test_an_idle_link_to_a_frozen_server_breaks_as_well(
    server: NatsServer, nodes: Nodes[NatsBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "SILENCE", 0.5)
    monkeypatch.setattr("hubbub.brokers.connection.PINGED", 0.1)
    _, told = await nodes(server.url)
    await asyncio.sleep(0.8)
    assert told.up, "a server that answers pings keeps it"
    server.freeze()
    try:
        await until(lambda: not told.up)
    finally:
        server.thaw()


async def test_a_reader_that_is_too_slow_is_cut_and_told(which: str, nodes: Nodes[NatsBroker], tmp_path: Path) -> None:
    server = NatsServer(which, tmp_path, "max_pending: 1MB\nwrite_deadline: '200ms'\n").start()
    try:
        slow, told = await nodes(server.url)
        quick, _ = await nodes(server.url)
        await slow.subscribe([b"a"])
        assert slow._link is not None
        transport = slow._link.transport
        transport.pause_reading()
        for _ in range(20):
            await appended(quick, *(new(b"a", bytes(100_000)) for _ in range(8)))
        transport.resume_reading()
        await until(lambda: not told.up)
        await until(lambda: told.up)
        got = told.got.get(b"a", [])
        assert [p.previous for p in got] == [0, *(p.offset for p in got[:-1])], "no hole in what came before"
    finally:
        server.kill()


async def test_a_wrong_password_is_told_without_telling_it(
    which: str, nodes: Nodes[NatsBroker], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = NatsServer(which, tmp_path, 'authorization { user: "u", password: "right" }\n').start()
    try:
        url = f"nats://u:s3cretword@127.0.0.1:{server.port}"
        broker, told = await nodes(url, up=False)
        await until(lambda: told.states)
        up, reason = told.states[0]
        assert not up
        assert "Authorization" in reason
        checks = await broker.check()
        assert checks[0].fatal
        said = repr((told.states, checks, broker._address, vars(broker))) + caplog.text
        assert "s3cretword" not in said
        await nodes(f"nats://u:right@127.0.0.1:{server.port}")
    finally:
        server.kill()


async def test_a_token_is_taken(which: str, nodes: Nodes[NatsBroker], tmp_path: Path) -> None:
    server = NatsServer(which, tmp_path, 'authorization { token: "a/b" }\n').start()
    try:
        await nodes(f"nats://a%2Fb@127.0.0.1:{server.port}")
    finally:
        server.kill()


async def test_a_user_of_a_creds_file_is_let_in(which: str, nodes: Nodes[NatsBroker], tmp_path: Path) -> None:
    nkeys = pytest.importorskip("nkeys")
    unlimited = {"subs": -1, "data": -1, "payload": -1}
    in_account = {**unlimited, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}
    stored = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}

    def pair(kind: int) -> tuple[str, Any, str]:
        seed = nkeys.encode_seed(os.urandom(32), kind)
        key = nkeys.from_seed(seed)
        return seed.decode(), key, key.public_key.decode()

    def token(issuer: Any, subject: str, **claims: Any) -> str:
        body = {"iat": 1, "jti": subject, "iss": issuer.public_key.decode(), "sub": subject, "name": subject}
        parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, {**body, "nats": {"version": 2, **claims}}]
        said = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
        return said + "." + base64.urlsafe_b64encode(issuer.sign(said.encode())).rstrip(b"=").decode()

    _, operator, operator_name = pair(nkeys.PREFIX_BYTE_OPERATOR)
    _, account, account_name = pair(nkeys.PREFIX_BYTE_ACCOUNT)
    _, _, system_name = pair(nkeys.PREFIX_BYTE_ACCOUNT)
    seed, _, user_name = pair(nkeys.PREFIX_BYTE_USER)
    ours = token(operator, account_name, type="account", limits={**in_account, **stored})
    system = token(operator, system_name, type="account", limits=in_account)
    creds = tmp_path / "user.creds"
    creds.write_text(
        f"-----BEGIN NATS USER JWT-----\n{token(account, user_name, type='user', **unlimited)}\n"
        "------END NATS USER JWT------\n\n*** IMPORTANT ***\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
    config = (
        f"operator: {token(operator, operator_name, type='operator')}\nresolver: MEMORY\n"
        f"system_account: {system_name}\n"
        f"resolver_preload: {{ {account_name}: {ours}, {system_name}: {system} }}\n"
    )
    server = NatsServer(which, tmp_path, config).start()
    try:
        broker, _ = await nodes(f"{server.url}?creds={creds}")
        await appended(broker, new(b"a"))
    finally:
        server.kill()


async def test_without_jetstream_it_says_what_to_do(which: str, nodes: Nodes[NatsBroker], tmp_path: Path) -> None:
    server = NatsServer(which, tmp_path, jetstream=False).start()
    try:
        broker, told = await nodes(server.url, up=False)
        await until(lambda: told.states)
        assert not told.up
        assert "JetStream is not enabled" in told.states[0][1]
        (check,) = await broker.check()
        assert check.fatal
        assert "JetStream is not enabled" in check.value
    finally:
        server.kill()
