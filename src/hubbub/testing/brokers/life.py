"""Life: starts and ends, in any order, that leave nothing behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

from hubbub.brokers import Broker, Change
from hubbub.errors import BrokerUnavailable
from hubbub.testing.brokers.append import linked
from hubbub.testing.brokers.bench import Bench, Broken, Node, expect, same
from hubbub.testing.brokers.checks import Group

__all__ = ["CHECKS"]

group: Group = Group("life")


def calls(broker: Broker, node: Node) -> dict[str, Callable[[], Awaitable[object]]]:
    """One of each kind."""
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "append": lambda: broker.append([node.new(b"room")]),
        "subscribe": lambda: broker.subscribe([b"room"]),
        "positions": lambda: broker.positions([b"room"]),
        "control": lambda: broker.control(b"data"),
    }
    if broker.traits.history:
        asked |= {"history": lambda: broker.history(b"room"), "forget": lambda: broker.forget(b"room")}
    if broker.traits.presence:
        asked["present"] = lambda: broker.present([Change(b"room", "c", "u", b"i")])
        asked["presence"] = lambda: broker.presence(b"room")
        asked["evict"] = lambda: broker.evict(b"nobody")
    return asked


async def all_unavailable(broker: Broker, node: Node, when: str) -> None:
    for name, ask in calls(broker, node).items():
        try:
            result = await ask()
        except BrokerUnavailable as error:
            same(error.outcome, "unsent", f"the outcome that `{name}` tells {when}")
        else:
            raise Broken(f"`{name}` returned {result!r} {when}, and did not raise BrokerUnavailable")


@group.check()
async def close_in_any_state(bench: Bench) -> None:
    """A broker may be closed before it was started, just after, and twice."""
    await bench.broker().close()
    node = await bench.node()
    await node.broker.close()
    await node.broker.close()
    for pause in (0, 1, 5):
        hasty = Node(bench, bench.broker())
        await hasty.broker.start(hasty.id, hasty)
        for _ in range(pause):
            await asyncio.sleep(0)
        await hasty.broker.close()
        await hasty.broker.close()


@group.check()
async def nodes_that_start_together(bench: Bench) -> None:
    """Nodes that start at the same time, perhaps the engine's first, share one engine, and one order."""
    nodes = [Node(bench, bench.broker()) for _ in range(5)]
    bench.nodes += nodes
    await asyncio.gather(*(node.start() for node in nodes))
    channel = bench.name()
    positions = await asyncio.gather(*(node.subscribe(channel) for node in nodes))
    await asyncio.gather(*(node.publish(channel, b"%d" % n) for n, node in enumerate(nodes)))
    for node, position in zip(nodes, positions, strict=True):
        told = await node.wait_for(channel, 5)
        linked(told, position, node.broker.traits.dense)
        same(told, nodes[0].told[channel], "the sequence at one node, beside that at another")


@group.check()
async def answers_reach_their_askers(bench: Bench) -> None:
    """Of many calls that one node makes at the same time each gets its own answer."""
    node, other = await bench.node(), await bench.node()
    names = [bench.name() for _ in range(50)]
    for n, name in enumerate(names):
        await other.append(*(other.new(name, b"%d" % m) for m in range(n % 7 + 1)))
    known = dict(zip(names, await other.broker.positions(names), strict=True))

    async def ask(n: int, name: bytes) -> None:
        position = await (node.subscribe(name) if n % 2 else node.position(name))
        same(position, known[name], "the position of one channel, asked of with others")
        if node.broker.traits.history:
            page = await node.broker.history(name)
            same(page.top, known[name], "the top of one channel, asked of with others")
        if node.broker.traits.presence:
            await node.broker.present([Change(name, f"c{n}", "u", b"")])
            found = await node.broker.presence(name)
            same([entry.client for entry in found.entries], [f"c{n}"], "who is in one channel, asked of with others")

    publishing = asyncio.ensure_future(node.publish(names[0], bytes(bench.largest // 2)))
    # a node makes at most one of these at a time
    turn = asyncio.Lock()

    async def in_turn(n: int, name: bytes) -> None:
        if n % 2:
            async with turn:
                await ask(n, name)
        else:
            await ask(n, name)

    await asyncio.gather(*(in_turn(n, name) for n, name in enumerate(names) if n))
    await publishing


@group.check()
async def no_link_no_calls(bench: Bench) -> None:
    """Before `start` and after `close` there is no link, so every call raises BrokerUnavailable, "unsent"."""
    idle = Node(bench, bench.broker())
    await all_unavailable(idle.broker, idle, "before `start`")
    node = await bench.node()
    await node.broker.close()
    await all_unavailable(node.broker, node, "after `close`")


@group.check()
async def start_again_after_close(bench: Bench) -> None:
    """A broker that was closed can be started again; it then is subscribed to nothing."""
    node, other = await bench.node(), await bench.node()
    before, after = bench.name(), bench.name()
    await node.subscribe(before)
    await node.broker.close()
    node.states.clear()
    await node.start()
    await node.subscribe(after)
    await other.append(other.new(before), other.new(after, b"here"))
    await node.wait_for(after, 1)
    await bench.quiet()
    same({name: node.bodies(name) for name in node.told}, {after: [b"here"]}, "what came after the second start")


@group.check()
async def closed_is_silent(bench: Bench) -> None:
    """A broker that is closed tells its node nothing any more, and ends nothing of other nodes."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    await node.subscribe(channel)
    await other.subscribe(channel)
    await node.broker.close()
    told, heard, states = len(node.told.get(channel, ())), len(node.heard), [up for up, _ in node.states if up]
    await other.publish(channel)
    await other.broker.control(b"data")
    await other.wait_for(channel, 1)
    await bench.until(lambda: other.heard, "the arrival of a control message to oneself")
    await bench.quiet()
    same(
        (len(node.told.get(channel, ())), len(node.heard), [up for up, _ in node.states if up]),
        (told, heard, states),
        "publications, control messages and links told after `close`",
    )


@group.check()
async def close_leaves_nothing(bench: Bench) -> None:
    """When `close` returns, the broker's tasks and sockets are gone."""
    await bench.node()  # what brokers of one process share is there already
    tasks, files = asyncio.all_tasks(), _files()
    nodes = [Node(bench, bench.broker()) for _ in range(3)]
    for node in nodes:
        await node.start()
        await node.subscribe(bench.name())
        await node.publish(bench.name())
        await node.broker.close()
    left = asyncio.all_tasks() - tasks
    same([task.get_name() for task in left if not task.done()], [], "tasks that are left")
    with suppress(Broken):
        await bench.until(lambda: _files() <= files, "that", 0.5)  # for a loop closes sockets a turn later
    expect(_files() <= files, f"{_files() - files} more files and sockets are open than before")


def _files() -> int:
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return 0


@group.check()
async def close_under_load(bench: Bench) -> None:
    """A `close` during calls ends them: each returns, or raises BrokerUnavailable, and none waits for ever."""
    node = await bench.node()
    channel = bench.name()
    await node.subscribe(channel)
    batch = [node.new(channel, bytes(1000)) for _ in range(200)]
    pending = [
        asyncio.ensure_future(node.broker.append(batch)),
        asyncio.ensure_future(node.broker.positions([channel])),
    ]
    await asyncio.sleep(0)
    await node.broker.close()
    _, waiting = await asyncio.wait(pending, timeout=bench.patience)
    same(len(waiting), 0, "the number of calls that still wait")
    for call in pending:
        error = call.exception()
        expect(error is None or isinstance(error, BrokerUnavailable), f"a call raised {error!r}")


CHECKS = tuple(group.checks)
