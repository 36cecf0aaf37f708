"""Trouble: links that break, and engines that are killed, frozen, or fall back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hubbub.brokers import Change, Entry, Position, Publication, Published
from hubbub.errors import BrokerUnavailable
from hubbub.testing.brokers.append import linked
from hubbub.testing.brokers.bench import KEPT, Bench, Node, expect, same
from hubbub.testing.brokers.checks import Group
from hubbub.testing.brokers.interest import proved

__all__ = ["CHECKS"]

T = TypeVar("T")

group: Group = Group("trouble")
FROZEN = 12.0  # seconds after which a call to an engine that does not answer has failed


async def linked_again(node: Node, states: int) -> None:
    """Wait for state(False), then state(True), among what came since there were so many states."""
    await node.bench.until(lambda: any(not up for up, _ in node.states[states:]), "state(False) after the link broke")
    await node.bench.until(lambda: node.up, "state(True) after the link broke")


async def again(bench: Bench, ask: Callable[[], Awaitable[T]]) -> T:
    """What a call returns that is made until there is a link, as nodes do it."""
    end = time.monotonic() + bench.patience
    while True:
        try:
            return await ask()
        except BrokerUnavailable:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.02)


# Links that break


@group.check()
async def reset_links_again(bench: Bench) -> None:
    """After `reset` the broker has a link, a new one where there are links at all, and works."""
    node = await bench.node()
    states = len(node.states)
    await node.broker.reset("the check says so")
    if not bench.lacks("cut"):
        await linked_again(node, states)
    channel = bench.name()
    await again(bench, lambda: node.subscribe(channel))
    await node.publish(channel)
    await node.wait_for(channel, 1)


@group.check("cut")
async def cut_is_told(bench: Bench) -> None:
    """When a link breaks, its node is told state(False) with a reason, and state(True) when it is there again; other
    nodes notice nothing; calls work again, and the subscriptions that are made again."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    await node.subscribe(channel)
    await other.subscribe(channel)
    for round in range(3):
        states = len(node.states)
        await bench.cut(node.broker)
        await linked_again(node, states)
        expect(all(reason for _, reason in node.states), f"states without a reason: {node.states}")
        await again(bench, lambda: node.subscribe(channel))
        result = await node.publish(channel, b"%d" % round)
        await node.wait_for_offset(channel, result.offset)
        await other.wait_for_offset(channel, result.offset)
    same(other.bodies(channel), [b"0", b"1", b"2"], "what came at the node whose link was not cut")
    same([up for up, _ in other.states], [True], "the states of the node whose link was not cut")


@group.check("cut", "history")
async def cut_while_publishing(bench: Bench) -> None:
    """When the publisher's link breaks, an append returns, or raises BrokerUnavailable with its outcome: what was
    acknowledged is in the history once, what was "unsent" is not, and what is "unknown" is there once at most."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    position = await other.subscribe(channel)
    acknowledged, unsent, over = set[bytes](), set[bytes](), False

    async def publish() -> None:
        while not over:
            batch = [node.new(channel, bytes(100), history=KEPT) for _ in range(2)]
            ids = [new.id for new in batch]
            try:
                for id, result in zip(ids, await node.broker.append(batch), strict=True):
                    if isinstance(result, Published):
                        acknowledged.add(id)
            except BrokerUnavailable as error:
                expect(error.outcome in ("unsent", "unknown"), f"the outcome {error.outcome!r}")
                if error.outcome == "unsent":
                    unsent.update(ids)
            await asyncio.sleep(0.002)

    publishing = asyncio.ensure_future(publish())
    for _ in range(4):
        states, before = len(node.states), len(acknowledged)
        await bench.until(lambda: len(acknowledged) > before, "an acknowledged publication")  # noqa: B023
        await bench.cut(node.broker)
        await linked_again(node, states)
    over = True
    await publishing
    page = await again(bench, lambda: other.broker.history(channel))
    ids = [publication.id for publication in page.publications]
    same(len(ids), len(set(ids)), "the number of ids in the history, beside that of different ones")
    same(len(acknowledged - set(ids)), 0, "the number of acknowledged publications that are not in the history")
    same(len(unsent & set(ids)), 0, 'the number of "unsent" publications that are in the history')
    told = proved(await other.wait_for(channel, len(ids)))
    linked(told, position, node.broker.traits.dense)


@group.check("cut", "history")
async def cut_while_subscribed(bench: Bench) -> None:
    """When a subscriber's link breaks, it finds what it missed in the history, from its position on, and nothing comes
    twice as another one."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    await other.publish(channel, history=KEPT)
    position = await node.subscribe(channel)
    expect(position is not None, "None is the position of a channel with publications")
    assert position is not None
    over = False

    async def publish() -> list[Published]:
        done: list[Published] = []
        while not over:
            done.append(await other.publish(channel, history=KEPT))
            await asyncio.sleep(0.002)
        return done

    publishing = asyncio.ensure_future(publish())
    have: list[Publication] = []
    last = position
    for _ in range(3):
        await node.wait_for(channel, 1)
        states = len(node.states)
        await bench.cut(node.broker)
        await linked_again(node, states)
        have += node.told.pop(channel, [])
        await again(bench, lambda: node.subscribe(channel))
        page = await again(bench, lambda: node.broker.history(channel, last))  # noqa: B023
        same(page.complete, True, f"`complete` since the last position, {last}")
        have += page.publications
        last = page.top
    over = True
    published = [*await publishing, await other.publish(channel, history=KEPT)]
    have += await node.wait_for_offset(channel, published[-1].offset)
    everything = sorted(proved(have), key=lambda publication: publication.offset)
    linked(everything, position, node.broker.traits.dense)
    same([p.offset for p in everything], [r.offset for r in published], "offsets that came or were read")


@group.check("cut", "presence")
async def presence_after_a_cut(bench: Bench) -> None:
    """After a node's link broke, it can put its clients again, and they are there once; those of others never went."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    await other.broker.present([Change(channel, "stays", "u", b"")])
    states = len(node.states)
    await node.broker.present([Change(channel, "c", "u", b"")])
    await bench.cut(node.broker)
    await linked_again(node, states)
    await again(bench, lambda: node.broker.present([Change(channel, "c", "u", b"")]))
    await bench.quiet()
    found = await other.broker.presence(channel)
    wanted = [Entry("c", "u", b"", node.id), Entry("stays", "u", b"", other.id)]
    same(sorted(found.entries), wanted, "the entries")
    same((found.clients, found.users), (2, 1), "the numbers of clients and users")


@group.check("intrude")
async def foreign_data_is_counted(bench: Bench) -> None:
    """What is foreign or truncated is counted in `refused` and told to nobody; what is right comes nevertheless."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    await node.subscribe(channel)
    await bench.intrude(node.broker, channel)
    await bench.until(lambda: node.broker.refused > 0, "a count of what is foreign in `refused`")
    await bench.until(lambda: node.up, "state(True)")
    await again(bench, lambda: node.subscribe(channel))
    result = await other.publish(channel, b"right")
    await node.wait_for_offset(channel, result.offset)
    same(node.bodies(channel), [b"right"], "bodies")


# Engines that are killed, frozen, or fall back


async def all_linked(bench: Bench, happen: Callable[[], Awaitable[None]]) -> None:
    """Let it happen, and wait until each node has lost its link and has one again."""
    for node in bench.nodes:
        await bench.until(lambda: node.up, "state(True)")  # noqa: B023
    states = [len(node.states) for node in bench.nodes]
    await happen()
    for node, before in zip(bench.nodes, states, strict=True):
        await linked_again(node, before)


async def one_sequence(bench: Bench, channel: bytes, before: Position) -> None:
    """All nodes subscribe and get the same from there on; no position that was given names another publication."""
    positions = [await again(bench, lambda: node.subscribe(channel)) for node in bench.nodes]  # noqa: B023
    for node in bench.nodes:
        node.told.pop(channel, None)
    for node in bench.nodes:
        result = await again(bench, lambda: node.publish(channel, b"after", history=KEPT))  # noqa: B023
        reused = result.epoch == before.epoch and result.offset <= before.offset
        expect(not reused, f"offset {result.offset} of epoch {result.epoch} names a second publication")
    for node, position in zip(bench.nodes, positions, strict=True):
        told = proved(await node.wait_for(channel, len(bench.nodes)))
        linked(told, position if position and position.epoch == told[0].epoch else None, node.broker.traits.dense)


@group.check("restart", "history")
async def restart_of_the_engine(bench: Bench) -> None:
    """When the engine was killed and is there again, a channel has its epoch if and only if all that was acknowledged
    is there; and it is there where the traits say that it survives that."""
    node, _ = await bench.node(), await bench.node()
    channel = bench.name()
    results = await node.append(*(node.new(channel, b"%d" % n, history=KEPT) for n in range(20)))
    await node.publish(channel, key="k", history=KEPT)
    before = await node.position(channel)
    assert before is not None
    await all_linked(bench, bench.restart)
    page = await again(bench, lambda: node.broker.history(channel))
    bodies = [publication.body for publication in page.publications[:20]]
    if page.top.epoch == before.epoch or node.broker.traits.survives:
        same(page.top, before, "the top after a restart")
        same(bodies, [b"%d" % n for n in range(20)], "the publications after a restart")
        same([p.offset for p in page.publications[:20]], [r.offset for r in results], "their offsets")
        repeated = await again(bench, lambda: node.publish(channel, key="k", history=KEPT))
        same(repeated, Published(before.offset, before.epoch, "repeated"), "the result of a key, after a restart")
    else:
        same(page.publications, [], "what is kept in another epoch")
        since = await node.broker.history(channel, before)
        same(since.complete, False, "`complete` since a position of before")
    await one_sequence(bench, channel, before)


@group.check("lose", "history")
async def loss_of_all_data(bench: Bench) -> None:
    """When the engine has lost everything, every channel begins another epoch."""
    node, _ = await bench.node(), await bench.node()
    channel = bench.name()
    await node.append(*(node.new(channel, history=KEPT) for _ in range(5)))
    before = await node.position(channel)
    assert before is not None
    await all_linked(bench, bench.lose)
    page = await again(bench, lambda: node.broker.history(channel, before))
    same((len(page.publications), page.complete), (0, False), "how many are kept, and `complete`, since one of before")
    expect(page.top.epoch != before.epoch, f"the epoch is {before.epoch} as before, and the data is lost")
    await one_sequence(bench, channel, before)


@group.check("save", "fall_back", "history")
async def fall_back_of_the_engine(bench: Bench) -> None:
    """When the engine has lost its latest publications, as after a failover to a replica that was behind, no offset is
    used again in the same epoch."""
    node, _ = await bench.node(), await bench.node()
    channel = bench.name()
    await node.append(*(node.new(channel, history=KEPT) for _ in range(5)))
    await bench.save()
    await again(bench, lambda: node.append(*(node.new(channel, history=KEPT) for _ in range(5))))
    before = await again(bench, lambda: node.position(channel))
    assert before is not None
    await all_linked(bench, bench.fall_back)
    page = await again(bench, lambda: node.broker.history(channel, before))
    same(page.complete, False, "`complete` since a position that was lost")
    await one_sequence(bench, channel, before)


async def _append_until_it_fails(node: Node, channel: bytes) -> None:
    for _ in range(20):  # the engine may need a moment to stand still
        await node.broker.append([node.new(channel)])
        await asyncio.sleep(0.05)


@group.check("freeze", "thaw")
async def frozen_engine(bench: Bench) -> None:
    """While the engine answers nothing, an append fails with BrokerUnavailable within 12 s; when it goes on, so does
    the broker, by itself."""
    node = await bench.node()
    channel = bench.name()
    await node.subscribe(channel)
    await bench.freeze()
    began = time.monotonic()
    appending = asyncio.ensure_future(_append_until_it_fails(node, channel))
    try:
        await asyncio.wait([appending], timeout=FROZEN)
    finally:
        await bench.thaw()
    expect(appending.done(), f"the append still waits after {FROZEN:g} s")
    error = appending.exception()
    expect(isinstance(error, BrokerUnavailable), f"after {time.monotonic() - began:.1f} s, {error!r} was raised")
    await bench.until(lambda: node.up, "state(True), after the engine went on", 2 * bench.patience)
    await again(bench, lambda: node.subscribe(channel))
    result = await again(bench, lambda: node.publish(channel))
    await node.wait_for_offset(channel, result.offset)


@group.check("freeze", "thaw")
async def close_while_frozen(bench: Bench) -> None:
    """A `close` ends within 12 s though the engine answers nothing and much waits to be written."""
    node = await bench.node()
    channel = bench.name()
    await bench.freeze()
    batch = [node.new(channel, bytes(1 << 16)) for _ in range(64)]
    appending = asyncio.ensure_future(node.broker.append(batch))
    await asyncio.sleep(0.01)
    closing = asyncio.ensure_future(node.broker.close())
    try:
        await asyncio.wait([closing], timeout=FROZEN)
        expect(closing.done(), f"`close` still waits after {FROZEN:g} s")
    finally:
        await bench.thaw()
    await asyncio.wait([appending, closing], timeout=bench.patience)
    expect(appending.done(), "the append still waits after `close`")
    error = appending.exception()
    expect(error is None or isinstance(error, BrokerUnavailable), f"the append raised {error!r}")


CHECKS = tuple(group.checks)
