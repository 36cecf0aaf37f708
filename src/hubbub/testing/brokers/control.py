"""Control messages: from one node to another, or to all."""

from __future__ import annotations

import asyncio

from hubbub.testing.brokers.bench import Bench, same
from hubbub.testing.brokers.checks import Group

__all__ = ["CHECKS"]

group: Group = Group("control")


@group.check()
async def to_one_node(bench: Bench) -> None:
    """A message to a node reaches that one alone, with its sender, and a node may write to itself."""
    nodes = [await bench.node() for _ in range(3)]
    await nodes[0].broker.control(b"to one", nodes[1].id)
    await nodes[0].broker.control(b"to oneself", nodes[0].id)
    await bench.until(lambda: nodes[1].heard and nodes[0].heard, "the arrival of both control messages")
    await bench.quiet()
    same([node.heard for node in nodes], [[(nodes[0].id, b"to oneself")], [(nodes[0].id, b"to one")], []],
         "what three nodes have heard")  # fmt: skip


@group.check()
async def to_all_nodes(bench: Bench) -> None:
    """A message to all reaches every node, the sender too, once."""
    nodes = [await bench.node() for _ in range(3)]
    await nodes[1].broker.control(b"to all")
    for node in nodes:
        await bench.until(lambda: node.heard, "the arrival of a control message to all")  # noqa: B023
    await bench.quiet()
    same([node.heard for node in nodes], [[(nodes[1].id, b"to all")]] * 3, "what three nodes have heard")


@group.check()
async def to_nobody(bench: Bench) -> None:
    """A message to a node that nobody knows, or that has closed, goes nowhere, and nothing is raised."""
    node, closed = await bench.node(), await bench.node()
    await closed.broker.close()
    for unknown in (b"nobody", b"\0\r\n*>.", closed.id):
        await node.broker.control(b"to nobody", unknown)
    await node.broker.control(b"to oneself", node.id)
    await bench.until(lambda: node.heard, "the arrival of the message to oneself")
    await bench.quiet()
    same(node.heard, [(node.id, b"to oneself")], "what the sender has heard")
    same(closed.heard, [], "what a node has heard that is closed")


@group.check()
async def one_senders_order(bench: Bench) -> None:
    """What one node sends comes in its order, while others send too."""
    nodes = [await bench.node() for _ in range(3)]

    async def send(number: int) -> None:
        for n in range(100):
            await nodes[number].broker.control(b"%d" % n, nodes[2].id if n % 3 else None)

    await asyncio.gather(send(0), send(1))
    await bench.until(lambda: len(nodes[2].heard) >= 200, "the arrival of 200 control messages")
    for number in (0, 1):
        heard = [int(data) for sender, data in nodes[2].heard if sender == nodes[number].id]
        same(heard, list(range(100)), "what one sender has sent")


@group.check()
async def messages_are_any_bytes(bench: Bench) -> None:
    """Messages of 0 B to 64 KiB of any bytes come as they are."""
    node, other = await bench.node(), await bench.node()
    sent = [b"", b"\0", bytes(range(256)), b"\r\n", bytes(range(256)) * 256]
    for data in sent:
        await node.broker.control(data, other.id)
    await bench.until(lambda: len(other.heard) >= len(sent), "the arrival of 5 control messages")
    same([data for _, data in other.heard], sent, "the messages")


CHECKS = tuple(group.checks)
