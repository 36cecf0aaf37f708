"""Presence: who is where, as their nodes say it."""

from __future__ import annotations

import asyncio

from hubbub.brokers import Change, Entry, Presence
from hubbub.testing.brokers.bench import Bench, Node, expect, same
from hubbub.testing.brokers.checks import Group

__all__ = ["CHECKS"]

group: Group = Group("presence")


def put(channel: bytes, client: str, user: str = "", info: bytes = b"") -> Change:
    return Change(channel, client, user, info)


async def present(bench: Bench, node: Node, channel: bytes, *wanted: Entry) -> None:
    """These, and nobody else, are there. It is asked of until it is so: a change may need a moment to be everywhere."""
    users = len({entry.user for entry in wanted})
    found = Presence((), 0, 0)

    async def right() -> bool:
        nonlocal found
        found = await node.broker.presence(channel)
        return (sorted(found.entries), found.clients, found.users) == (sorted(wanted), len(wanted), users)

    end = asyncio.get_running_loop().time() + bench.patience / 5
    while not await right():
        if asyncio.get_running_loop().time() > end:
            same(sorted(found.entries), sorted(wanted), "the entries")
            same((found.clients, found.users), (len(wanted), users), "the numbers of clients and users")
        await asyncio.sleep(0.005)


@group.check("presence")
async def put_replace_and_drop(bench: Bench) -> None:
    """Every node sees who is put, once, with the latest user and info, until it is dropped; to drop nobody is well."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    await present(bench, node, channel)
    for user, info in (("u", b"one"), ("u", b"two"), ("v", b"")):
        await node.broker.present([put(channel, "c", user, info)])
        for one in (node, other):
            await present(bench, one, channel, Entry("c", user, info, node.id))
    await node.broker.present([Change(channel, "nobody"), Change(bench.name(), "c")])
    await present(bench, other, channel, Entry("c", "v", b"", node.id))
    await node.broker.present([Change(channel, "c")])
    await node.broker.present([Change(channel, "c")])
    for one in (node, other):
        await present(bench, one, channel)


@group.check("presence")
async def changes_are_made_in_order(bench: Bench) -> None:
    """The changes of one call are made in their order."""
    node = await bench.node()
    channel = bench.name()
    await node.broker.present(
        [
            put(channel, "a"),
            Change(channel, "a"),
            put(channel, "b", "u", b"1"),
            put(channel, "b", "u", b"2"),
            put(channel, "c"),
            Change(channel, "c"),
            put(channel, "c", "v", b"3"),
        ]
    )
    await present(bench, node, channel, Entry("b", "u", b"2", node.id), Entry("c", "v", b"3", node.id))


@group.check("presence")
async def counts_are_of_clients_and_users(bench: Bench) -> None:
    """Clients are counted, and different users among them; a limit cuts the entries and no count."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    await node.broker.present([put(channel, f"n{n}", f"u{n % 3}") for n in range(10)])
    await other.broker.present([put(channel, f"o{n}", f"u{n % 4}") for n in range(10)])
    entries = [Entry(f"n{n}", f"u{n % 3}", b"", node.id) for n in range(10)]
    entries += [Entry(f"o{n}", f"u{n % 4}", b"", other.id) for n in range(10)]
    await present(bench, node, channel, *entries)
    for limit in (0, 1, 7, 20, 100):
        found = await node.broker.presence(channel, limit)
        same((found.clients, found.users), (20, 4), f"the numbers of clients and users with a limit of {limit}")
        same(len(found.entries), min(limit, 20), f"the number of entries with a limit of {limit}")
        expect(set(found.entries) <= set(entries), f"the entries {found.entries}")


@group.check("presence")
async def texts_and_infos_are_of_any_content(bench: Bench) -> None:
    """Clients and users are any text, infos any bytes up to 64 KiB, and channels have nothing to do with each other."""
    node = await bench.node()
    texts = ["a", "A", " a", "a ", "*", ">", "a.b", "{a}", "a}", "'", '"', "\0", "a\r\n", "ü", "\U0001f600", "x" * 200]
    infos = [b"", b"\0", bytes(range(256)), bytes(range(256)) * 256]
    channels = [bench.name(start) for start in (b"*", b">", b"{a}", b"a b", b"\0\r\n\xff", b"n" * 2000)]
    for at, channel in enumerate(channels):
        await node.broker.present(
            [put(channel, text, texts[n - 1], infos[(n + at) % 4]) for n, text in enumerate(texts)]
        )
    await node.broker.present([Change(channels[1], text) for text in texts])
    for at, channel in enumerate(channels):
        wanted = [Entry(text, texts[n - 1], infos[(n + at) % 4], node.id) for n, text in enumerate(texts)]
        await present(bench, node, channel, *(wanted if at != 1 else ()))


@group.check("presence")
async def client_moves_to_another_node(bench: Bench) -> None:
    """A client that comes back at another node is there once, and what its old node then says of it is late: neither
    its drop nor its end takes the client away."""
    node, other, third = await bench.node(), await bench.node(), await bench.node()
    channel = bench.name()
    await node.broker.present([put(channel, "c", "u", b"old"), put(channel, "d")])
    await other.broker.present([put(channel, "c", "u", b"new"), put(channel, "d")])
    moved = [Entry("c", "u", b"new", other.id), Entry("d", "", b"", other.id)]
    await present(bench, third, channel, *moved)
    await node.broker.present([Change(channel, "c")])
    await bench.quiet()
    await present(bench, third, channel, *moved)
    same(list(await third.broker.evict(node.id)), [], "what was dropped of a node whose clients have all moved")
    await node.broker.close()
    await bench.quiet()
    await present(bench, third, channel, *moved)


@group.check("presence")
async def close_removes_at_once(bench: Bench) -> None:
    """When a broker closes, what its node has put is gone, and that of others is there."""
    node, other = await bench.node(), await bench.node()
    channels = [bench.name(), bench.name()]
    await node.broker.present([put(channel, "gone") for channel in channels])
    await other.broker.present([put(channels[0], "stays")])
    await node.broker.close()
    await present(bench, other, channels[0], Entry("stays", "", b"", other.id))
    await present(bench, other, channels[1])


@group.check("presence")
async def evict_drops_a_node(bench: Bench) -> None:
    """`evict` drops what that node has put, and nothing else, and tells it; a second time, or of a node that nobody
    knows, it tells nothing."""
    node, lost = await bench.node(), await bench.node()
    channels = [bench.name(), bench.name()]
    await lost.broker.present([put(channels[0], "a", "u", b"i"), put(channels[0], "b"), put(channels[1], "a", "u")])
    await node.broker.present([put(channels[0], "c")])
    await present(bench, node, channels[1], Entry("a", "u", b"", lost.id))
    dropped = await node.broker.evict(lost.id)
    wanted = [Change(channels[0], "a", "u"), Change(channels[0], "b", ""), Change(channels[1], "a", "u")]
    same(sorted(change[:3] for change in dropped), sorted(change[:3] for change in wanted), "what was dropped")
    same({change.info for change in dropped}, {None}, "infos of what was dropped")
    await present(bench, node, channels[0], Entry("c", "", b"", node.id))
    await present(bench, node, channels[1])
    for unknown in (lost.id, b"nobody"):
        same(list(await node.broker.evict(unknown)), [], "what was dropped of a node that has nothing")


@group.check("presence")
async def two_thousand_clients(bench: Bench) -> None:
    """Of a channel with 2,000 clients the counts are right and few can be asked for, and all go with their node."""
    node, lost = await bench.node(), await bench.node()
    channel = bench.name()
    await lost.broker.present([put(channel, f"c{n}", f"u{n % 700}", b"i") for n in range(2000)])
    await present(bench, node, channel, *(Entry(f"c{n}", f"u{n % 700}", b"i", lost.id) for n in range(2000)))
    found = await node.broker.presence(channel, 10)
    same((len(found.entries), found.clients, found.users), (10, 2000, 700), "entries, clients and users")
    dropped = await node.broker.evict(lost.id)
    same(sorted(change.client for change in dropped), sorted(f"c{n}" for n in range(2000)), "clients that were dropped")
    await present(bench, node, channel)


@group.check("presence")
async def evict_tells_each_once(bench: Bench) -> None:
    """If several nodes evict one at the same time, each entry is told to one of them."""
    lost, *nodes = [await bench.node() for _ in range(4)]
    for _ in range(5):
        channels = [bench.name() for _ in range(4)]
        clients = [(channel, f"c{n}") for channel in channels for n in range(10)]
        await lost.broker.present([put(channel, client, "u") for channel, client in clients])
        await present(bench, nodes[0], channels[3], *(Entry(f"c{n}", "u", b"", lost.id) for n in range(10)))
        told = await asyncio.gather(*(node.broker.evict(lost.id) for node in nodes))
        same(sorted((c.channel, c.client) for one in told for c in one), sorted(clients), "what all of them were told")


CHECKS = tuple(group.checks)
