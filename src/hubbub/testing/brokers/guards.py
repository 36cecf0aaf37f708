"""Guards: idempotency keys, and versions that never go back."""

from __future__ import annotations

import asyncio
from typing import Any

from hubbub.brokers import History, Published
from hubbub.testing.brokers.bench import KEPT, Bench, Node, expect, same
from hubbub.testing.brokers.checks import Group

__all__ = ["CHECKS"]

group: Group = Group("guards")
ODD_KEYS = [
    "k",
    "K",
    "k ",
    " k",
    "k\r\n",
    "k\0",
    "\0",
    "*",
    ">",
    "{k}",
    "k}",
    "'",
    '"',
    "ü",
    "\u2028",
    "1",
    "01",
    "k" * 500,
]


async def with_version(node: Node, channel: bytes, version: int, epoch: str = "", **how: Any) -> str:
    """What is `suppressed`."""
    return (await node.publish(channel, b"%d" % version, version=version, version_epoch=epoch, **how)).suppressed


async def told_alone(bench: Bench, node: Node, channel: bytes, wanted: list[bytes]) -> None:
    """Nothing else came, and nothing else is kept."""
    await node.wait_for(channel, len(wanted))
    await bench.quiet()
    same(node.bodies(channel), wanted, "bodies that were told")
    if node.broker.traits.history:
        page = await node.broker.history(channel)
        same([p.body for p in page.publications], wanted, "bodies that are kept")
        same(page.top.offset, node.told[channel][-1].offset, "the top")


@group.check()
async def key_counts_once(bench: Bench) -> None:
    """Of publications with one key only the first counts: the others are "repeated", with its offset and epoch, and
    leave nothing behind."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    await node.subscribe(channel)
    first = await node.publish(channel, b"first", history=KEPT, key="k")
    await node.publish(channel, b"between", history=KEPT)
    for one in (node, other, node):
        again = await one.publish(channel, b"again", history=KEPT, key="k")
        same(again, Published(first.offset, first.epoch, "repeated"), "the result of a repeated one")
    await told_alone(bench, node, channel, [b"first", b"between"])


@group.check()
async def key_is_known_for_long(bench: Bench) -> None:
    """A key is known for 300 s, though thousands follow, and though its publication is not kept any more."""
    node = await bench.node()
    channel = bench.name()
    first = await node.publish(channel, key="first", history=History(2, 60))
    await node.append(*(node.new(channel, key=f"{n}", history=History(2, 60)) for n in range(2000)))
    again = await node.publish(channel, key="first", history=History(2, 60))
    same(again, Published(first.offset, first.epoch, "repeated"), "the result of a key, after 2,000 others")
    await node.publish(channel)
    if node.broker.traits.history:
        await node.broker.forget(channel)
    again = await node.publish(channel, key="first")
    same(again.suppressed, "repeated", "`suppressed` of a key, after the history was emptied")


@group.check()
async def version_is_known_for_long(bench: Bench) -> None:
    """The version is the channel's, though its publication is not kept any more."""
    node = await bench.node()
    channel = bench.name()
    await with_version(node, channel, 7, history=History(2, 60))
    await node.append(*(node.new(channel, history=History(2, 60)) for _ in range(50)))
    same(await with_version(node, channel, 6), "older", "`suppressed` of version 6, with 7 trimmed away")
    await node.publish(channel)
    if node.broker.traits.history:
        await node.broker.forget(channel)
    same(await with_version(node, channel, 7), "older", "`suppressed` of version 7, with 7 emptied away")
    same(await with_version(node, channel, 8), "", "`suppressed` of version 8")


@group.check()
async def key_within_one_batch(bench: Bench) -> None:
    """A key counts once within a batch too."""
    node = await bench.node()
    channel = bench.name()
    await node.subscribe(channel)
    batch = [
        node.new(channel, b"%d" % n, history=KEPT, key=key) for n, key in enumerate(["a", "b", "a", "", "b", "a", ""])
    ]
    results = await node.append(*batch)
    repeated = {2: 0, 4: 1, 5: 0}
    for at, result in enumerate(results):
        first = results[repeated.get(at, at)]
        wanted = Published(first.offset, first.epoch, "repeated" if at in repeated else "")
        same(result, wanted, f"the result of publication {at}")
    await told_alone(bench, node, channel, [b"0", b"1", b"3", b"6"])


@group.check()
async def key_from_several_nodes_at_once(bench: Bench) -> None:
    """If several nodes publish with one key at the same time, one of them counts, and all are told its offset."""
    nodes = [await bench.node() for _ in range(4)]
    for _ in range(10):
        channel = bench.name()
        await nodes[0].subscribe(channel)
        results = await asyncio.gather(
            *(node.publish(channel, b"%d" % n, history=KEPT, key="k") for n, node in enumerate(nodes * 2))
        )
        counted = [n for n, result in enumerate(results) if not result.suppressed]
        same(len(counted), 1, "the number of publications with one key that counted")
        same({(r.offset, r.epoch) for r in results}, {(results[counted[0]].offset, results[0].epoch)}, "positions told")
        same({r.suppressed for r in results}, {"", "repeated"}, "`suppressed`")
        await told_alone(bench, nodes[0], channel, [b"%d" % counted[0]])


@group.check()
async def key_is_of_its_channel(bench: Bench) -> None:
    """A key counts in its channel alone, with or without history, and each text is a key of its own."""
    node = await bench.node()
    for kept in (None, KEPT) if node.broker.traits.history else (None,):
        channels = [bench.name(), bench.name()]
        for channel in channels:
            results = await node.append(*(node.new(channel, key=key, history=kept) for key in ODD_KEYS))
            for key, result in zip(ODD_KEYS, results, strict=True):
                same(result.suppressed, "", f"`suppressed` of the first one with the key {key!r}")
        for channel in channels:
            again = await node.append(*(node.new(channel, key=key, history=kept) for key in ODD_KEYS))
            for key, result in zip(ODD_KEYS, again, strict=True):
                same(result.suppressed, "repeated", f"`suppressed` of the second one with the key {key!r}")


@group.check()
async def version_never_goes_back(bench: Bench) -> None:
    """Only a version above the latest one's counts. Others are "older", are told the channel's position, and leave
    nothing behind."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    await node.subscribe(channel)
    for version, wanted in ((5, ""), (5, "older"), (4, "older"), (6, ""), (1, "older"), (100, ""), (99, "older")):
        same(await with_version(other, channel, version, history=KEPT), wanted, f"`suppressed` of version {version}")
    plain = await node.publish(channel, b"plain", history=KEPT)
    late = await other.publish(channel, version=100, history=KEPT)
    same(late, Published(plain.offset, plain.epoch, "older"), "the result of an older one, after one without a version")
    await told_alone(bench, node, channel, [b"5", b"6", b"100", b"plain"])


@group.check()
async def version_is_of_its_channel(bench: Bench) -> None:
    """A version counts in its channel alone."""
    node = await bench.node()
    channels = [bench.name() for _ in range(3)]
    for channel, version in zip(channels, (10, 1, 5), strict=True):
        same(await with_version(node, channel, version), "", f"`suppressed` of version {version}, the channel's first")
    results = await node.append(*(node.new(channel, version=5) for channel in channels))
    same([result.suppressed for result in results], ["older", "", "older"], "`suppressed` of 5, after 10, 1 and 5")


@group.check()
async def version_within_one_batch(bench: Bench) -> None:
    """Versions count within a batch too, in its order."""
    node = await bench.node()
    channel = bench.name()
    await node.subscribe(channel)
    batch = [node.new(channel, b"%d" % version, version=version, history=KEPT) for version in (2, 1, 3, 3, 0, 2, 4)]
    results = await node.append(*batch)
    same([r.suppressed for r in results], ["", "older", "", "older", "", "older", ""], "`suppressed`")
    await told_alone(bench, node, channel, [b"2", b"3", b"0", b"4"])


@group.check()
async def version_is_a_whole_number(bench: Bench) -> None:
    """Versions are compared exactly up to 2^63 - 1, beyond what a float can tell apart, and not as text."""
    node = await bench.node()
    channel = bench.name()
    large = 2**53
    for version, wanted in (
        (9, ""), (10, ""), (9, "older"), (large, ""), (large, "older"), (large + 1, ""), (large, "older"),
        (large + 1, "older"), (large + 2, ""), (2**60 + 1, ""), (2**60, "older"), (2**60 + 2, ""), (2**63 - 2, ""),
        (2**63 - 1, ""), (2**63 - 2, "older"), (2**63 - 1, "older"),
    ):  # fmt: skip
        same(await with_version(node, channel, version), wanted, f"`suppressed` of version {version}")


@group.check()
async def version_epochs(bench: Bench) -> None:
    """Versions of another version_epoch than the latest's count always; "" is the latest's."""
    node = await bench.node()
    channel = bench.name()
    for version, epoch, wanted in (
        (5, "a", ""), (5, "a", "older"), (1, "b", ""), (1, "b", "older"), (2, "b", ""), (2, "", "older"), (3, "", ""),
        (3, "b", "older"), (1, "a", ""), (1, "a", "older"), (7, "a b\0ü", ""), (7, "a b\0ü", "older"), (1, "a", ""),
    ):  # fmt: skip
        about = f"`suppressed` of version {version} of epoch {epoch!r}"
        same(await with_version(node, channel, version, epoch), wanted, about)


@group.check()
async def versions_from_several_nodes_at_once(bench: Bench) -> None:
    """If several nodes publish versions at the same time, what is told rises, and the highest is the last."""
    nodes = [await bench.node() for _ in range(3)]
    channel = bench.name()
    await nodes[0].subscribe(channel)

    async def publish(node: Node, versions: range) -> int:
        return sum([not await with_version(node, channel, version) for version in versions])

    counted = sum(await asyncio.gather(*(publish(node, range(3 - n, 61, 3)) for n, node in enumerate(nodes))))
    await nodes[0].wait_for(channel, counted)
    await bench.quiet()
    versions = [int(body) for body in nodes[0].bodies(channel)]
    same(len(versions), counted, "the number of publications told, beside those that counted")
    expect(versions == sorted(set(versions)), f"the versions {versions}")
    same(versions[-1], 60, "the last version")


@group.check()
async def what_is_suppressed_uses_up_nothing(bench: Bench) -> None:
    """A key of an older one is not used up, and a repeated one's version is not the channel's."""
    node = await bench.node()
    channel = bench.name()
    await node.publish(channel, key="first", version=5)
    same(await with_version(node, channel, 4, key="k"), "older", "`suppressed` of an older one with a key")
    same(await with_version(node, channel, 6, key="k"), "", "`suppressed` of that key with a version that counts")
    same(await with_version(node, channel, 9, key="k"), "repeated", "`suppressed` of that key again")
    same(
        await with_version(node, channel, 7), "", "`suppressed` of version 7, where 9 was repeated and 6 is the latest"
    )


CHECKS = tuple(group.checks)
