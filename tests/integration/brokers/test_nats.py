"""What is NATS's own: subjects, links, streams, credentials, presence."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import trustme

from engines_nats import NatsServer, api
from hubbub.brokers import Change, History, Position, Published, broker_for
from hubbub.brokers.nats import NatsBroker
from hubbub.brokers.nats.wire import publish
from hubbub.errors import HubbubError
from support.broker_nodes import KEPT, Nodes, Told, appended, new, until


async def test_a_channels_name_reaches_no_other_and_no_wildcard(server: NatsServer, nodes: Nodes[NatsBroker]) -> None:
    broker, told = await nodes(server.url)
    names = [b"", b"*", b">", b"a.b", b"a.*", b"a b", b"\r\n", b"\0", b"$JS.API.>", *(bytes([n]) for n in range(256))]
    names = [*dict.fromkeys([*names, bytes(range(256)) * 8])]
    await broker.subscribe(names)
    await appended(broker, *(new(name, b"to " + name) for name in names))
    await until(lambda: len(told.got) == len(names))
    assert all(told.bodies(name) == [b"to " + name] for name in names)


async def test_what_is_foreign_or_truncated_is_counted_and_skipped(
    server: NatsServer, nodes: Nodes[NatsBroker]
) -> None:
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


async def test_what_is_too_large_is_refused_alone(which: str, nodes: Nodes[NatsBroker], tmp_path: Path) -> None:
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


async def test_publishers_at_once_make_one_order_at_all(server: NatsServer, nodes: Nodes[NatsBroker]) -> None:
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
async def test_a_long_history_is_read_whole(server: NatsServer, nodes: Nodes[NatsBroker], between: int) -> None:
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


async def test_a_publication_that_is_lost_on_the_way_is_seen_in_the_links(
    server: NatsServer, nodes: Nodes[NatsBroker]
) -> None:
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


async def test_it_speaks_tls(which: str, nodes: Nodes[NatsBroker], tmp_path: Path) -> None:
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


async def test_nodes_that_start_at_once_share_one_stream(server: NatsServer, nodes: Nodes[NatsBroker]) -> None:
    brokers = [(await nodes(server.url, up=False)) for _ in range(8)]
    for _, told in brokers:
        await until(lambda told=told: told.up)
    epochs = {(await broker.history(b"a")).top.epoch for broker, _ in brokers}
    assert len(epochs) == 1


async def test_histories_of_other_sizes_are_kept_side_by_side(server: NatsServer, nodes: Nodes[NatsBroker]) -> None:
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


async def test_without_history_little_is_kept_beside_long_histories(
    server: NatsServer, nodes: Nodes[NatsBroker]
) -> None:
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


async def test_asking_for_nothing_says_whether_something_is_missing(
    server: NatsServer, nodes: Nodes[NatsBroker]
) -> None:
    broker, _ = await nodes(server.url)
    done = await appended(broker, *(new(b"a", history=History(2, 60)) for _ in range(5)))
    whole = await broker.history(b"a", Position(done[2].offset, done[2].epoch), limit=0)
    assert (whole.complete, list(whole.publications)) == (True, [])
    assert not (await broker.history(b"a", Position(done[1].offset, done[1].epoch), limit=0)).complete


async def test_an_empty_channel_forgotten_twice_stays_where_it_was(
    server: NatsServer, nodes: Nodes[NatsBroker]
) -> None:
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


async def test_a_version_stands_though_others_publish_without_one(server: NatsServer, nodes: Nodes[NatsBroker]) -> None:
    brokers = [(await nodes(server.url))[0] for _ in range(3)]
    versions = [new(b"a", version=1 << 60 | n) for n in range(30)]
    await asyncio.gather(*(appended(broker, *versions) for broker in brokers))
    await appended(brokers[0], new(b"a"), new(b"a"))
    late, higher, other, again = await appended(
        brokers[1], new(b"a", version=5), new(b"a", version=1 << 61), new(b"a", version=1, version_epoch="e"),
        new(b"a", version=1),
    )  # fmt: skip
    assert [r.suppressed for r in (late, higher, other, again)] == ["older", "", "", "older"]


async def test_a_key_counts_once_from_two_nodes_at_once(server: NatsServer, nodes: Nodes[NatsBroker]) -> None:
    brokers = [(await nodes(server.url))[0] for _ in range(3)]
    done = await asyncio.gather(*(appended(broker, new(b"a", key="k"), new(b"b", key="k")) for broker in brokers))
    for results in zip(*done, strict=True):
        assert sorted(result.suppressed for result in results) == ["", "repeated", "repeated"]
        assert len({result.offset for result in results}) == 1


async def test_a_client_that_moves_is_its_new_nodes(server: NatsServer, nodes: Nodes[NatsBroker]) -> None:
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


async def test_an_entry_is_evicted_by_one_node_alone(server: NatsServer, nodes: Nodes[NatsBroker]) -> None:
    brokers = [(await nodes(server.url))[0] for _ in range(4)]
    await brokers[0].present([Change(b"a", str(n), "u", b"") for n in range(200)])
    told = await asyncio.gather(*(broker.evict(b"node01") for broker in brokers))
    assert sorted(change.client for changes in told for change in changes) == sorted(str(n) for n in range(200))
    assert (await brokers[1].presence(b"a")).clients == 0


async def test_presence_is_put_again_where_its_stream_was_lost(server: NatsServer, nodes: Nodes[NatsBroker]) -> None:
    broker, told = await nodes(server.url)
    await broker.present([Change(b"a", "c", "u", b"i")])
    await api(broker, "STREAM.DELETE.hb-p")
    await broker.reset("to look again")
    await until(lambda: not told.up)
    await until(lambda: told.up)
    assert (await broker.presence(b"a")).clients == 1


async def test_close_leaves_no_task_no_socket_and_no_presence(server: NatsServer, nodes: Nodes[NatsBroker]) -> None:
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


async def test_close_while_nobody_answers_ends_at_once(nodes: Nodes[NatsBroker]) -> None:
    with_nobody = NatsBroker.from_url("nats://127.0.0.1:1")
    before = asyncio.all_tasks()
    await with_nobody.start(b"nobody", Told())
    await asyncio.sleep(0.02)
    await with_nobody.close()
    assert asyncio.all_tasks() == before


async def test_the_next_server_of_the_url_is_tried(server: NatsServer, nodes: Nodes[NatsBroker]) -> None:
    broker, _ = await nodes(f"nats://127.0.0.1:1,127.0.0.1:{server.port}?prefix=other")
    await appended(broker, new(b"a"))
    assert isinstance(broker_for(server.url), NatsBroker)
