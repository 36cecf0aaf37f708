"""What is NATS's own: restarts, streams that are lost or fall back, frozen servers, credentials, subjects."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trustme

from engines_nats import SERVERS, NatsServer
from hubbub.brokers import Change, History, Outgoing, Position, Publication, Published, broker_for
from hubbub.brokers.nats import NatsBroker, link
from hubbub.brokers.nats.wire import publish
from hubbub.errors import BrokerUnavailable, HubbubError

KEPT = History(100, 60)
_ids = count(1)


def new(channel: bytes, body: bytes = b"x", **how: Any) -> Outgoing:
    return Outgoing(channel, body, b"nobody" + next(_ids).to_bytes(6, "big"), **how)


class Told:
    """What a broker told its node."""

    def __init__(self) -> None:
        self.got: dict[bytes, list[Publication]] = {}
        self.controls: list[tuple[bytes, bytes]] = []
        self.states: list[tuple[bool, str]] = []

    def publications(self, channel: bytes, batch: Sequence[Publication]) -> None:
        self.got.setdefault(channel, []).extend(batch)

    def control(self, node: bytes, data: bytes) -> None:
        self.controls.append((node, data))

    def gone(self, node: bytes) -> None: ...

    def gap(self, channels: Sequence[bytes] | None) -> None: ...

    def state(self, up: bool, reason: str) -> None:
        self.states.append((up, reason))

    @property
    def up(self) -> bool:
        return bool(self.states) and self.states[-1][0]

    def bodies(self, channel: bytes) -> list[bytes]:
        return [publication.body for publication in self.got.get(channel, [])]


async def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        await asyncio.sleep(0.005)


class Nodes:
    """Makes brokers, and closes them."""

    def __init__(self) -> None:
        self._made: list[NatsBroker] = []

    async def __call__(self, url: str, node: bytes = b"", up: bool = True) -> tuple[NatsBroker, Told]:
        told = Told()
        broker = NatsBroker.from_url(url)
        self._made.append(broker)
        await broker.start(node or b"node%02d" % len(self._made), told)
        if up:
            await until(lambda: told.up)
        return broker, told

    async def close(self) -> None:
        for broker in self._made:
            await broker.close()


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    made = Nodes()
    yield made
    await made.close()


@pytest.fixture(params=SERVERS)
def which(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(which: str, tmp_path: Path) -> Iterator[NatsServer]:
    running = NatsServer(which, tmp_path).start()
    yield running
    running.kill()


async def appended(broker: NatsBroker, *batch: Outgoing) -> list[Published]:
    """As the node does: what was not sent is tried again."""
    for _ in range(100):
        try:
            results = await broker.append(batch)
        except BrokerUnavailable as error:
            if error.outcome != "unsent":
                raise
            await asyncio.sleep(0.05)
        else:
            assert all(isinstance(result, Published) for result in results), results
            return [result for result in results if isinstance(result, Published)]
    raise AssertionError("it could not be appended")


async def api(broker: NatsBroker, what: str, content: object = None) -> dict[str, Any]:
    assert broker._streams is not None
    return await broker._streams.api(what, content)


async def test_what_was_acknowledged_is_there_after_kill_9(server: NatsServer, nodes: Nodes) -> None:
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


async def test_subscriptions_are_void_after_a_break_and_work_when_made_again(server: NatsServer, nodes: Nodes) -> None:
    broker, told = await nodes(server.url)
    await broker.subscribe([b"a"])
    server.kill()
    await until(lambda: not told.up)
    server.start()
    await until(lambda: told.up)
    await broker.subscribe([b"a"])
    await appended(broker, new(b"a", b"1"))
    await until(lambda: told.bodies(b"a") == [b"1"])


async def test_a_stream_that_is_lost_is_made_anew_with_another_epoch(server: NatsServer, nodes: Nodes) -> None:
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
    server: NatsServer, nodes: Nodes, tmp_path: Path
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
    server: NatsServer, nodes: Nodes, tmp_path: Path
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
    server: NatsServer, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "SILENCE", 0.5)
    monkeypatch.setattr(link, "PINGED", 0.1)
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
    server: NatsServer, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "SILENCE", 0.5)
    monkeypatch.setattr(link, "PINGED", 0.1)
    _, told = await nodes(server.url)
    await asyncio.sleep(0.8)
    assert told.up, "a server that answers pings keeps it"
    server.freeze()
    try:
        await until(lambda: not told.up)
    finally:
        server.thaw()


async def test_a_reader_that_is_too_slow_is_cut_and_told(which: str, nodes: Nodes, tmp_path: Path) -> None:
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
    which: str, nodes: Nodes, tmp_path: Path, caplog: pytest.LogCaptureFixture
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


async def test_a_token_is_taken(which: str, nodes: Nodes, tmp_path: Path) -> None:
    server = NatsServer(which, tmp_path, 'authorization { token: "a/b" }\n').start()
    try:
        await nodes(f"nats://a%2Fb@127.0.0.1:{server.port}")
    finally:
        server.kill()


async def test_a_user_of_a_creds_file_is_let_in(which: str, nodes: Nodes, tmp_path: Path) -> None:
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


async def test_without_jetstream_it_says_what_to_do(which: str, nodes: Nodes, tmp_path: Path) -> None:
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


async def test_a_channels_name_reaches_no_other_and_no_wildcard(server: NatsServer, nodes: Nodes) -> None:
    broker, told = await nodes(server.url)
    names = [b"", b"*", b">", b"a.b", b"a.*", b"a b", b"\r\n", b"\0", b"$JS.API.>", *(bytes([n]) for n in range(256))]
    names = [*dict.fromkeys([*names, bytes(range(256)) * 8])]
    await broker.subscribe(names)
    await appended(broker, *(new(name, b"to " + name) for name in names))
    await until(lambda: len(told.got) == len(names))
    assert all(told.bodies(name) == [b"to " + name] for name in names)


async def test_what_is_foreign_or_truncated_is_counted_and_skipped(server: NatsServer, nodes: Nodes) -> None:
    broker, told = await nodes(server.url)
    await broker.subscribe([b"a"])
    assert broker._link is not None
    stream = broker._subject(b"c", b"a")
    junk = [b"", b"junk", b"h1", b"h1\x01" + bytes(12), b"h1\x02" + bytes(12) + b"\xff\xff", b"h1\xf0" + bytes(12)]
    for body in junk:
        broker._link.write(publish(stream, b"", b"", body))
    broker._link.write(publish(broker._subject(b"r", b"a"), b"", b"", b"h1\0" + bytes(12)))  # it is in no stream
    broker._link.write(publish(b"hb.k.all", b"", b"", b"short"))
    await until(lambda: broker.refused == len(junk) + 2)
    await appended(broker, new(b"a", b"ours", history=KEPT))
    await until(lambda: told.bodies(b"a") == [b"ours"])
    assert [p.body for p in (await broker.history(b"a")).publications] == [b"ours"]
    assert told.up


async def test_what_is_too_large_is_refused_alone(which: str, nodes: Nodes, tmp_path: Path) -> None:
    server = NatsServer(which, tmp_path, "max_payload: 2000\n").start()
    try:
        broker, told = await nodes(server.url)
        first, large, last = await broker.append([new(b"a"), new(b"a", bytes(3000)), new(b"a")])
        assert isinstance(first, Published)
        assert isinstance(last, Published)
        assert isinstance(large, HubbubError)
        assert "max_payload" in str(large)
        assert told.up
    finally:
        server.kill()


async def test_publishers_at_once_make_one_order_at_all(server: NatsServer, nodes: Nodes) -> None:
    made = [await nodes(server.url) for _ in range(4)]
    for broker, _ in made:
        await broker.subscribe([b"a"])

    async def publish_many(broker: NatsBroker) -> None:
        for _ in range(60):
            await appended(broker, *(new(b"a") for _ in range(50)))

    await asyncio.gather(*(publish_many(broker) for broker, _ in made))
    await until(lambda: all(len(told.got[b"a"]) == 12_000 for _, told in made))
    for _, told in made:
        got = told.got[b"a"]
        assert [p.previous for p in got] == [0, *(p.offset for p in got[:-1])]


@pytest.mark.parametrize("between", [1, 50])
async def test_a_long_history_is_read_whole(server: NatsServer, nodes: Nodes, between: int) -> None:
    """Before 2.11 record by record; `between`: others' records stand between them."""
    broker, _ = await nodes(server.url)
    history = History(2000, 60)
    for n in range(0, 2000, 100):
        await appended(broker, *(new(b"a", b"%d" % m, history=history) for m in range(n, n + 100)))
        await appended(broker, *(new(b"other", history=history) for _ in range(between)))
    bodies = [b"%d" % n for n in range(2000)]
    page = await broker.history(b"a")
    assert [p.body for p in page.publications] == bodies
    since = Position(page.publications[999].offset, page.top.epoch)
    assert [p.body for p in (await broker.history(b"a", since)).publications] == bodies[1000:]
    newest = await broker.history(b"a", limit=2, reverse=True)
    assert [p.body for p in newest.publications] == [b"1999", b"1998"]


async def test_a_publication_that_is_lost_on_the_way_is_seen_in_the_links(server: NatsServer, nodes: Nodes) -> None:
    broker, told = await nodes(server.url)
    await broker.subscribe([b"a"])
    await appended(broker, new(b"a", b"1"))
    await until(lambda: told.bodies(b"a") == [b"1"])
    interest = broker._interests._by_channel[b"a"]
    interest.top -= 1  # as if the first had not come
    interest.stands -= 1
    done = await appended(broker, new(b"a", b"2"), new(b"a", b"3"))
    await until(lambda: told.bodies(b"a") == [b"1", b"2", b"3"])
    assert [p.previous for p in told.got[b"a"]] == [0, 1, done[0].offset]


async def test_it_speaks_tls(which: str, nodes: Nodes, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    mine = authority.issue_cert("127.0.0.1")
    mine.private_key_pem.write_to_path(tmp_path / "key.pem")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    config = f'tls {{ cert_file: "{tmp_path}/cert.pem", key_file: "{tmp_path}/key.pem" }}\n'
    server = NatsServer(which, tmp_path, config).start()
    try:
        place = f"127.0.0.1:{server.port}"
        for scheme in ("tls", "nats"):
            broker, told = await nodes(f"{scheme}://{place}?ca={tmp_path}/ca.pem")
            await broker.subscribe([b"a"])
            await appended(broker, *(new(b"a", bytes(50_000)) for _ in range(40)))
            await until(lambda told=told: len(told.got[b"a"]) == 40)
        _, told = await nodes(f"tls://{place}", up=False)
        await until(lambda: told.states)
        assert "certificate" in told.states[0][1], "it is not trusted"
    finally:
        server.kill()


async def test_nodes_that_start_at_once_share_one_stream(server: NatsServer, nodes: Nodes) -> None:
    brokers = [(await nodes(server.url, up=False)) for _ in range(8)]
    for _, told in brokers:
        await until(lambda told=told: told.up)
    epochs = {(await broker.history(b"a")).top.epoch for broker, _ in brokers}
    assert len(epochs) == 1


async def test_histories_of_other_sizes_are_kept_side_by_side(server: NatsServer, nodes: Nodes) -> None:
    broker, _ = await nodes(server.url)
    for size in (1, 5, 3):
        history = History(size, 60)
        channel = b"%d" % size
        done = await appended(broker, *(new(channel, b"%d" % n, history=history) for n in range(10)))
        page = await broker.history(channel)
        assert [p.offset for p in page.publications] == [d.offset for d in done[-size:]]
        before = done[-size - 1]
        assert page.publications[0].previous == before.offset
        assert (await broker.history(channel, Position(before.offset, before.epoch))).complete
        assert not (await broker.history(channel, Position(before.offset - 1, before.epoch))).complete


async def test_without_history_little_is_kept_beside_long_histories(server: NatsServer, nodes: Nodes) -> None:
    broker, told = await nodes(server.url)
    await appended(broker, new(b"long", history=History(5000, 60)))
    await broker.subscribe([b"a"])
    for _ in range(5):
        await appended(broker, *(new(b"a") for _ in range(400)))
    await until(lambda: len(told.got.get(b"a", ())) == 2000)
    assert [p.previous for p in told.got[b"a"]] == [0, *(p.offset for p in told.got[b"a"][:-1])]
    ((_, epoch),) = await broker.positions([b"a"])  # type: ignore[misc]
    state = (await api(broker, f"STREAM.INFO.hb-c-{epoch}"))["state"]
    assert state["messages"] < 1500, "they are swept now and then"
    assert not (await broker.history(b"a")).publications


async def test_asking_for_nothing_says_whether_something_is_missing(server: NatsServer, nodes: Nodes) -> None:
    broker, _ = await nodes(server.url)
    done = await appended(broker, *(new(b"a", history=History(2, 60)) for _ in range(5)))
    whole = await broker.history(b"a", Position(done[2].offset, done[2].epoch), limit=0)
    assert (whole.complete, list(whole.publications)) == (True, [])
    assert not (await broker.history(b"a", Position(done[1].offset, done[1].epoch), limit=0)).complete


async def test_an_empty_channel_forgotten_twice_stays_where_it_was(server: NatsServer, nodes: Nodes) -> None:
    broker, told = await nodes(server.url)
    await broker.subscribe([b"a"])
    (done,) = await appended(broker, new(b"a", b"1", history=KEPT))
    await asyncio.gather(broker.forget(b"a"), broker.forget(b"a"), broker.forget(b"b"))
    assert await broker.positions([b"a"]) == [Position(done.offset, done.epoch)]
    page = await broker.history(b"a", Position(done.offset, done.epoch))
    assert (list(page.publications), page.top.offset, page.complete) == ([], done.offset, True)
    late, told_late = await nodes(server.url)
    await late.subscribe([b"a"])
    await appended(broker, new(b"a", b"2", history=KEPT))
    await until(lambda: told.bodies(b"a") == [b"1", b"2"] and told_late.bodies(b"a") == [b"2"])
    assert told.got[b"a"][-1].previous == told_late.got[b"a"][-1].previous == done.offset


async def test_a_version_stands_though_others_publish_without_one(server: NatsServer, nodes: Nodes) -> None:
    brokers = [(await nodes(server.url))[0] for _ in range(3)]
    versions = [new(b"a", version=1 << 60 | n) for n in range(30)]
    await asyncio.gather(*(appended(broker, *versions) for broker in brokers))
    await appended(brokers[0], new(b"a"), new(b"a"))
    late, higher, other, again = await appended(
        brokers[1], new(b"a", version=5), new(b"a", version=1 << 61), new(b"a", version=1, version_epoch="e"),
        new(b"a", version=1),
    )  # fmt: skip
    assert [r.suppressed for r in (late, higher, other, again)] == ["older", "", "", "older"]


async def test_a_key_counts_once_from_two_nodes_at_once(server: NatsServer, nodes: Nodes) -> None:
    brokers = [(await nodes(server.url))[0] for _ in range(3)]
    done = await asyncio.gather(*(appended(broker, new(b"a", key="k"), new(b"b", key="k")) for broker in brokers))
    for results in zip(*done, strict=True):
        assert sorted(result.suppressed for result in results) == ["", "repeated", "repeated"]
        assert len({result.offset for result in results}) == 1


async def test_a_client_that_moves_is_its_new_nodes(server: NatsServer, nodes: Nodes) -> None:
    one, _ = await nodes(server.url, b"node-1")
    two, _ = await nodes(server.url, b"node-2")
    await one.present([Change(b"a", "c", "u", b"1"), Change(b"a", "d", "u", b"1")])
    await two.present([Change(b"a", "c", "u", b"2")])
    entries = {entry.client: entry for entry in (await one.presence(b"a")).entries}
    assert (entries["c"].node, entries["c"].info) == (b"node-2", b"2")
    await one.present([Change(b"a", "c")])  # what the old node says is late
    assert (await one.presence(b"a")).clients == 2
    assert [change.client for change in await two.evict(b"node-1")] == ["d"]
    await two.present([Change(b"a", "c")])
    assert (await one.presence(b"a")).clients == 0


async def test_an_entry_is_evicted_by_one_node_alone(server: NatsServer, nodes: Nodes) -> None:
    brokers = [(await nodes(server.url))[0] for _ in range(4)]
    await brokers[0].present([Change(b"a", str(n), "u", b"") for n in range(200)])
    told = await asyncio.gather(*(broker.evict(b"node01") for broker in brokers))
    assert sorted(change.client for changes in told for change in changes) == sorted(str(n) for n in range(200))
    assert (await brokers[1].presence(b"a")).clients == 0


async def test_presence_is_put_again_where_its_stream_was_lost(server: NatsServer, nodes: Nodes) -> None:
    broker, told = await nodes(server.url)
    await broker.present([Change(b"a", "c", "u", b"i")])
    await api(broker, "STREAM.DELETE.hb-p")
    await broker.reset("to look again")
    await until(lambda: not told.up)
    await until(lambda: told.up)
    assert (await broker.presence(b"a")).clients == 1


async def test_close_leaves_no_task_no_socket_and_no_presence(server: NatsServer, nodes: Nodes) -> None:
    other, _ = await nodes(server.url)
    before = asyncio.all_tasks()
    told = Told()
    broker = NatsBroker.from_url(server.url)
    await broker.start(b"mortal", told)
    await until(lambda: told.up)
    await broker.present([Change(b"a", "c", "u", b"i")])
    assert broker._link is not None
    transport = broker._link.transport
    await broker.close()
    assert asyncio.all_tasks() == before
    assert transport.is_closing()
    assert transport.get_extra_info("socket").fileno() == -1
    assert (await other.presence(b"a")).clients == 0
    await broker.close()


async def test_close_while_nobody_answers_ends_at_once(nodes: Nodes) -> None:
    with_nobody = NatsBroker.from_url("nats://127.0.0.1:1")
    before = asyncio.all_tasks()
    await with_nobody.start(b"nobody", Told())
    await asyncio.sleep(0.02)
    await with_nobody.close()
    assert asyncio.all_tasks() == before


async def test_the_next_server_of_the_url_is_tried(server: NatsServer, nodes: Nodes) -> None:
    broker, _ = await nodes(f"nats://127.0.0.1:1,127.0.0.1:{server.port}?prefix=other")
    await appended(broker, new(b"a"))
    assert isinstance(broker_for(server.url), NatsBroker)
