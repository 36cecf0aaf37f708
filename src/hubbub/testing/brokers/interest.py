"""Interest: a node gets what it is subscribed to, from the position on that it was told, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count

from hubbub.brokers import Position, Publication
from hubbub.testing.brokers.append import linked
from hubbub.testing.brokers.bench import Bench, Node, expect, same
from hubbub.testing.brokers.checks import Group

__all__ = ["CHECKS"]

group: Group = Group("interest")


@asynccontextmanager
async def publishing(node: Node, *channels: bytes) -> AsyncGenerator[None]:
    """Meanwhile, publish to each of these, again and again."""
    over = False

    async def publish() -> None:
        for n in count():
            if over:
                return
            await node.append(*(node.new(channel, b"%d" % n) for channel in channels))
            await asyncio.sleep(0)

    task = asyncio.ensure_future(publish())
    try:
        yield
    finally:
        over = True
        await task


def proved(told: list[Publication]) -> list[Publication]:
    """Without what came again. Raises: Broken: something came again as another one."""
    seen: dict[int, Publication] = {}
    for publication in told:
        same(publication, seen.setdefault(publication.offset, publication), "what came again under one offset")
    return list(seen.values())


@group.check()
async def nothing_before_subscribe(bench: Bench) -> None:
    """A node gets nothing of what was published before it subscribed."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    before = await other.publish(channel, b"before")
    same(await node.subscribe(channel), Position(before.offset, before.epoch), "the position from `subscribe`")
    await other.publish(channel, b"after")
    await node.wait_for(channel, 1)
    await bench.quiet()
    same(node.bodies(channel), [b"after"], "bodies")


@group.check()
async def nothing_after_unsubscribe(bench: Bench) -> None:
    """A node gets nothing more of a channel after `unsubscribe`, but for what was on its way; others still do."""
    node, other = await bench.node(), await bench.node()
    channel, stays = bench.name(), bench.name()
    for one in (node, other):
        await one.broker.subscribe([channel, stays])
    await node.broker.unsubscribe([channel, bench.name(b"never")])
    await bench.quiet()
    late = len(node.told.get(channel, ()))
    await other.append(*(other.new(name) for name in (channel, stays)))
    await other.wait_for(channel, 1)
    await node.wait_for(stays, 1)
    await bench.quiet()
    same(len(node.told.get(channel, ())), late, "the number of publications after `unsubscribe`")


@group.check()
async def only_to_who_is_subscribed(bench: Bench) -> None:
    """A node gets nothing of channels that it is not subscribed to."""
    nodes = [await bench.node() for _ in range(3)]
    channels = [bench.name() for _ in range(3)]
    for node, channel in zip(nodes, channels, strict=True):
        await node.subscribe(channel)
    await nodes[0].append(*(nodes[0].new(channel, channel) for channel in channels * 5))
    for node, channel in zip(nodes, channels, strict=True):
        await node.wait_for(channel, 5)
    await bench.quiet()
    for node, channel in zip(nodes, channels, strict=True):
        same({name: node.bodies(name) for name in node.told}, {channel: [channel] * 5}, "what a node was told")


@group.check()
async def nothing_is_lost_from_the_position_on(bench: Bench) -> None:
    """While others publish, whatever follows the position that `subscribe` returns is told, without a hole."""
    node, other = await bench.node(), await bench.node()
    channels = [bench.name() for _ in range(30)]
    await other.append(*(other.new(channel) for channel in channels))
    positions: dict[bytes, Position | None] = {}
    async with publishing(other, *channels):
        for channel in channels:
            positions[channel] = await node.subscribe(channel)
    last = await other.append(*(other.new(channel) for channel in channels))
    for channel, result in zip(channels, last, strict=True):
        position = positions[channel]
        told = proved(await node.wait_for_offset(channel, result.offset))
        after = [p for p in told if position is None or p.offset > position.offset]
        linked(after, position, node.broker.traits.dense)


@group.check()
async def coming_and_going(bench: Bench) -> None:
    """A node that subscribes and unsubscribes 200 times, while others publish, gets each time what follows its
    position, without a hole and nothing twice as another one."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    await other.publish(channel)
    async with publishing(other, channel):
        for n in range(200):
            node.told.pop(channel, None)
            position = await node.subscribe(channel)
            expect(position is not None, "None is the position of a channel with publications")
            assert position is not None
            told = await node.wait_for_offset(channel, position.offset + 1 + n % 4)
            linked([p for p in proved(told) if p.offset > position.offset], position, node.broker.traits.dense)
            await node.broker.unsubscribe([channel])


@group.check()
async def ten_thousand_channels(bench: Bench) -> None:
    """A node may be subscribed to 10,000 channels, gets each, and gets rid of them."""
    node, other = await bench.node(), await bench.node()
    start = bench.name()
    channels = [b"%b %d" % (start, n) for n in range(10_000)]
    for at in range(0, 10_000, 2500):
        positions = await node.broker.subscribe(channels[at : at + 2500])
        same(len(positions), 2500, "the number of positions of 2,500 channels")
    chosen = channels[::97]
    await other.append(*(other.new(channel, channel) for channel in chosen))
    for channel in chosen:
        await node.wait_for(channel, 1)
        same(node.bodies(channel), [channel], "bodies")
    await node.broker.unsubscribe(channels[1:])
    await bench.quiet()
    await other.append(*(other.new(channel, b"late") for channel in chosen))
    await node.wait_for(channels[0], 2)
    await bench.quiet()
    same([channel for channel in chosen[1:] if len(node.told[channel]) > 1], [], "channels told after `unsubscribe`")


CHECKS = tuple(group.checks)
