"""Appending: offsets, links, one order, and every byte of bodies and names."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from hubbub.brokers import Page, Position, Publication, Published
from hubbub.testing.brokers.bench import KEPT, Bench, expect, same, shown
from hubbub.testing.brokers.checks import Group

__all__ = ["CHECKS", "linked"]

group: Group = Group("append")
EVERY_BYTE = bytes(range(256))
WILD = [
    b"*",
    b">",
    b"?",
    b".",
    b"#",
    b"+",
    b"*.*",
    b"a.*",
    b"a.>",
    b"a*",
    b"[ab]",
    b"a?",
    b"%",
    b"_",
    b"{}",
    b"{a}",
    b"$",
]
TAME = [
    b"a", b"A", b"b", b"ab", b"a.b", b"a.b.c", b"a ", b" a", b"a\r\n", b"a\r\nPUB b 1\r\n", b"a\0", b"\0a", b"a/b",
    b"a:b", b"{a}b", b"{a}{b}", b"a}b{", b"'a'", b'"a"', b"a;b", b"a|b", b"a\\", b"a=", b"\xff\xfe", "ü".encode(),
    b"n" * 200, b"\0" * 200, b"n" * 2048, b"n" * 2047 + b"m", EVERY_BYTE * 8,
]  # fmt: skip


def bodies_for(bench: Bench) -> list[bytes]:
    largest = random.Random(1).randbytes(bench.largest)  # noqa: S311
    return [b"", b"\0", EVERY_BYTE, b"\r\n" * 10, EVERY_BYTE * 256, largest, b"last"]


def linked(publications: Sequence[Publication], after: Position | None, dense: bool) -> None:
    """Each names the one before it. Raises: Broken: there is a hole, an inversion or an epoch that changes."""
    last = after.offset if after is not None else 0
    epoch = after.epoch if after is not None else (publications[0].epoch if publications else "")
    for at, publication in enumerate(publications):
        same(publication.epoch, epoch, f"the epoch of publication {at + 1}")
        same(publication.previous, last, f"`previous` of publication {at + 1}, with offset {publication.offset}")
        expect(publication.offset > last, f"offset {publication.offset} follows offset {last}")
        expect(
            not dense or publication.offset == last + 1,
            f"offset {publication.offset} follows offset {last}, though the traits say `dense`",
        )
        last = publication.offset


@group.check()
async def result_is_the_position(bench: Bench) -> None:
    """Each publication gets an offset above the one before it, in the channel's one epoch of 8 visible ASCII
    characters, and `positions` tells the latest."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    results = [await node.publish(channel), await other.publish(channel), await node.publish(channel)]
    offsets = [result.offset for result in results]
    expect(0 < offsets[0] < offsets[1] < offsets[2], f"the offsets {offsets}")
    epoch = results[0].epoch
    same({result.epoch for result in results}, {epoch}, "epochs")
    expect(len(epoch) == 8 and epoch.isascii() and epoch.isprintable() and " " not in epoch, f"the epoch {epoch!r}")
    same([result.suppressed for result in results], ["", "", ""], "`suppressed`")
    for one in (node, other):
        same(await one.position(channel), Position(offsets[-1], epoch), "the position")


@group.check()
async def links_have_no_hole(bench: Bench) -> None:
    """Each publication names the offset before it, from the position on that `subscribe` returned, and offsets rise
    by one where the traits say `dense`."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    await node.publish(channel)
    position = await node.subscribe(channel)
    appended: list[Published] = []
    for size in (1, 2, 7, 40, 1):
        appended += await other.append(*(other.new(channel, b"%d" % n) for n in range(size)))
    told = await node.wait_for(channel, 51)
    linked(told, position, node.broker.traits.dense)
    same([p.offset for p in told], [result.offset for result in appended], "offsets told, beside those of the results")


@group.check()
async def first_publication_has_none_before_it(bench: Bench) -> None:
    """The first publication of a channel has 0 as its previous offset."""
    node = await bench.node()
    channel = bench.name()
    await node.subscribe(channel)
    await node.append(node.new(channel), node.new(channel))
    told = await node.wait_for(channel, 2)
    linked(told, None, node.broker.traits.dense)


@group.check()
async def batch_keeps_its_order(bench: Bench) -> None:
    """A batch is appended in its order and all of it, with the results in the same order."""
    node, other = await bench.node(), await bench.node()
    channels = [bench.name() for _ in range(3)]
    await other.broker.subscribe(channels)
    chosen = random.Random(2)  # noqa: S311
    batch = [node.new(chosen.choice(channels), b"%d" % n) for n in range(300)]
    results = await node.append(*batch)
    for channel in channels:
        told = await other.wait_for(channel, sum(new.channel == channel for new in batch))
        wanted = [
            (new.body, new.id, result.offset)
            for new, result in zip(batch, results, strict=True)
            if new.channel == channel
        ]
        same([(p.body, p.id, p.offset) for p in told], wanted, "body, id and offset of what was told")


@group.check()
async def largest_batch(bench: Bench) -> None:
    """A batch may have 4,096 publications."""
    node = await bench.node()
    channel = bench.name()
    await node.subscribe(channel)
    await node.append(*(node.new(channel, b"%d" % n) for n in range(4096)))
    await node.wait_for(channel, 4096)
    same(node.bodies(channel), [b"%d" % n for n in range(4096)], "bodies")


@group.check()
async def one_order_for_all(bench: Bench) -> None:
    """With several publishers on several nodes, every node gets one and the same sequence, in which each publisher's
    publications have its order."""
    nodes = [await bench.node() for _ in range(4)]
    channel = bench.name()
    positions = [await node.subscribe(channel) for node in nodes]

    async def publisher(number: int) -> None:
        node = nodes[number % 4]
        for n in range(0, 90, 3):
            await node.append(*(node.new(channel, b"%d %d" % (number, n + m)) for m in range(3)))

    await asyncio.gather(*(publisher(number) for number in range(8)))
    for node, position in zip(nodes, positions, strict=True):
        told = await node.wait_for(channel, 720)
        linked(told, position, node.broker.traits.dense)
        same(told, nodes[0].told[channel], "the sequence at one node, beside that at another")
    for number in range(8):
        own = [body for body in nodes[0].bodies(channel) if body.startswith(b"%d " % number)]
        same(own, [b"%d %d" % (number, n) for n in range(90)], "one publisher's publications")


@group.check()
async def own_node_gets_it_too(bench: Bench) -> None:
    """The publisher's own node, if it is subscribed, gets what it publishes, like every other node."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    await node.subscribe(channel)
    await other.subscribe(channel)
    await node.publish(channel, b"mine")
    for one in (node, other):
        await one.wait_for(channel, 1)
        await bench.quiet()
        same(one.bodies(channel), [b"mine"], "bodies at " + ("its own node" if one is node else "another node"))


@group.check()
async def bodies_are_any_bytes(bench: Bench) -> None:
    """Bodies of 0 B to 1 MiB of any bytes come as they are, and so do ids."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    await other.subscribe(channel)
    kept = KEPT if node.broker.traits.history else None
    batch = [node.new(channel, body, history=kept) for body in bodies_for(bench)]
    batch[-1].id = b"\t\r\n\0\xff{}*>. \n"
    for new in batch:
        await node.append(new)
    told = await other.wait_for(channel, len(batch))
    for new, publication in zip(batch, told, strict=True):
        expect(publication.body == new.body, f"a body of {len(new.body)} B came as {shown(publication.body)}")
        same(publication.id, new.id, "the id")


@group.check("history")
async def history_has_any_bytes(bench: Bench) -> None:
    """Bodies of 0 B to 1 MiB of any bytes are kept as they are."""
    node = await bench.node()
    channel = bench.name()
    bodies = bodies_for(bench)
    for body in bodies:
        await node.publish(channel, body, history=KEPT)
    page = await node.broker.history(channel)
    same(len(page.publications), len(bodies), "the number of publications that are kept")
    for body, publication in zip(bodies, page.publications, strict=True):
        expect(publication.body == body, f"a body of {len(body)} B came as {shown(publication.body)}")


@group.check()
async def wild_names_are_names(bench: Bench) -> None:
    """Names of any bytes are names and no patterns: who is subscribed to `*` or `a.>` gets nothing of others."""
    node, other = await bench.node(), await bench.node()
    await node.broker.subscribe(WILD)
    await other.append(*(other.new(name, b"to %b" % name) for name in TAME + WILD))
    for name in WILD:
        await node.wait_for(name, 1)
    await bench.quiet()
    same(
        {name: node.bodies(name) for name in node.told},
        {name: [b"to %b" % name] for name in WILD},
        "what came in channels with wildcards as their names",
    )


@group.check()
async def names_are_any_bytes(bench: Bench) -> None:
    """Names of 1 B to 2 KiB of any bytes are each a channel of its own, as it was said."""
    node, other = await bench.node(), await bench.node()
    names = [*TAME, *(bytes([byte]) for byte in range(256) if bytes([byte]) not in TAME + WILD), *WILD[:6]]
    await node.broker.subscribe(names)
    await other.append(*(other.new(name, b"to %b" % name) for name in names + WILD[6:]))
    for name in names:
        await node.wait_for(name, 1)
    await bench.quiet()
    for name, told in node.told.items():
        same([p.body for p in told], [b"to %b" % name], f"what came in {shown(name)}")
    same(set(node.told), set(names), "channels in which something came")


@group.check("history")
async def names_reach_no_other_history(bench: Bench) -> None:
    """What a channel keeps is read and emptied by its own name alone, whatever bytes that has."""
    node = await bench.node()
    names = TAME + WILD
    await node.append(*(node.new(name, b"to %b" % name, history=KEPT) for name in names))
    odd = names[::2]

    async def newest(name: bytes) -> Page:
        return await node.broker.history(name, limit=1, reverse=True)

    for name in names:
        same([p.body for p in (await newest(name)).publications], [b"to %b" % name], f"the newest in {shown(name)}")
    for name in odd:
        await node.broker.forget(name)
    for name in names:
        wanted = [] if name in odd else [b"to %b" % name]
        same(
            [p.body for p in (await newest(name)).publications], wanted, f"the newest in {shown(name)}, others emptied"
        )
        await node.broker.forget(name)


CHECKS = tuple(group.checks)
