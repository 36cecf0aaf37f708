"""History: what is kept, how it is paged, and whether a reader learns that something is missing."""

from __future__ import annotations

import asyncio
import time

from hubbub.brokers import History, Page, Position
from hubbub.testing.brokers.append import linked
from hubbub.testing.brokers.bench import KEPT, Bench, Node, expect, same
from hubbub.testing.brokers.checks import Group

__all__ = ["CHECKS"]

group: Group = Group("history")


async def filled(node: Node, channel: bytes, number: int, history: History = KEPT) -> list[Position]:
    """Publish so many, with bodies 0, 1 and so on. The position behind each."""
    results = await node.append(*(node.new(channel, b"%d" % n, history=history) for n in range(number)))
    return [Position(result.offset, result.epoch) for result in results]


def bodies(page: Page) -> list[int]:
    return [int(publication.body) for publication in page.publications]


async def read(node: Node, channel: bytes, wanted: range, complete: bool, what: str, **how: object) -> Page:
    """A page, with these in it."""
    page = await node.broker.history(channel, **how)  # type: ignore[arg-type]
    same(bodies(page), list(wanted), f"the publications {what}")
    same(page.complete, complete, f"`complete` {what}")
    return page


@group.check("history")
async def what_is_kept_is_what_was_told(bench: Bench) -> None:
    """The history has the very publications that were handed over, with offset, link, epoch, id and body."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    await node.subscribe(channel)
    await filled(other, channel, 5)
    told = await node.wait_for(channel, 5)
    page = await node.broker.history(channel)
    same(list(page.publications), list(told), "the history, beside what was told")
    same(page.top, Position(told[-1].offset, told[-1].epoch), "the top")


@group.check("history")
async def what_was_told_is_kept_already(bench: Bench) -> None:
    """Whoever has got a publication finds it in the history: both are one step."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    await node.subscribe(channel)
    for number in range(1, 21):
        publishing = asyncio.ensure_future(other.publish(channel, history=KEPT))
        told = await node.wait_for(channel, number)
        page = await node.broker.history(channel, limit=1, reverse=True)
        await publishing
        same([p.offset for p in page.publications], [told[-1].offset], "the newest offset kept, beside that told")


@group.check("history")
async def size_is_exact(bench: Bench) -> None:
    """As many publications are kept as the latest one's History says, and not one more."""
    node = await bench.node()
    channel = bench.name()
    for n in range(7):
        await node.publish(channel, b"%d" % n, history=History(5, 60))
        await read(node, channel, range(max(0, n - 4), n + 1), True, f"after {n + 1} with a size of 5")
    batch = [node.new(channel, b"%d" % n, history=History(5, 60)) for n in range(7, 20)]
    await node.append(*batch)
    await read(node, channel, range(15, 20), True, "after a batch of 13 with a size of 5")
    await node.publish(channel, b"20", history=History(2, 60))
    await read(node, channel, range(19, 21), True, "after one with a size of 2")


@group.check("history")
async def each_channel_keeps_its_own(bench: Bench) -> None:
    """What one channel keeps has nothing to do with another's size, ttl or position."""
    node = await bench.node()
    long, short = bench.name(), bench.name()
    for n in range(5):
        batch = [node.new(long, b"%d" % (2 * n + m), history=KEPT) for m in range(2)]
        await node.append(*batch, *(node.new(short, b"%d" % n, history=History(1, 0.1)) for _ in range(3)))
    await node.broker.forget(short)
    await read(node, long, range(10), True, "of a channel that keeps all, beside one that keeps little")
    await read(node, short, range(0), True, "of the one that was emptied")


@group.check("history")
async def long_history(bench: Bench) -> None:
    """A history of 6,000 is read as a whole, in its order, forward and in reverse, and in pages."""
    node = await bench.node()
    channel = bench.name()
    kept = History(6000, 60)
    for at in range(0, 6500, 1300):
        await node.append(*(node.new(channel, b"%d" % n, history=kept) for n in range(at, at + 1300)))
    page = await read(node, channel, range(500, 6500), True, "of a history of 6,000")
    linked(page.publications[1:], Position(page.publications[0].offset, page.top.epoch), node.broker.traits.dense)
    await read(node, channel, range(6499, 499, -1), True, "of a history of 6,000, in reverse", reverse=True)
    middle = Position(page.publications[2999].offset, page.top.epoch)
    await read(node, channel, range(3500, 3510), True, "from its middle on", since=middle, limit=10)
    await read(node, channel, range(3498, 3488, -1), True, "before its middle", since=middle, limit=10, reverse=True)


@group.check("history")
async def ttl_counts_from_the_last(bench: Bench) -> None:
    """The ttl counts from the last publication, for all of them; then the history is empty, and the position and its
    epoch are what they were."""
    node = await bench.node()
    channel = bench.name()
    first = Position(0, "")
    for _ in range(5):
        began = time.monotonic()
        first = (await filled(node, channel, 1, History(10, 0.5)))[0]
        await asyncio.sleep(0.3)
        if time.monotonic() - began > 0.45:
            continue  # the machine is busy
        again = time.monotonic()
        await node.publish(channel, b"1", history=History(10, 0.5))
        await asyncio.sleep(0.3)
        page = await node.broker.history(channel)
        if time.monotonic() - again < 0.45:
            same(
                bodies(page)[-2:], [0, 1], "the publications, 0.6 s after the first and 0.3 s after the last, of 0.5 s"
            )
            break
    top = await node.position(channel)
    await asyncio.sleep(0.3)
    await _until_empty(node, channel)
    page = await node.broker.history(channel)
    same((page.top, page.complete), (top, True), "top and `complete` of an expired history")
    await read(node, channel, range(0), False, "since the first, of an expired history", since=first)
    await read(node, channel, range(0), True, "since the top, of an expired history", since=top)
    await node.subscribe(channel)
    await filled(node, channel, 1)
    linked(await node.wait_for(channel, 1), top, node.broker.traits.dense)
    await read(node, channel, range(1), True, "after an expired one", since=top)
    await read(node, channel, range(1), False, "after an expired one, since before it", since=first)


async def _until_empty(node: Node, channel: bytes) -> None:
    end = time.monotonic() + node.bench.patience
    while (await node.broker.history(channel)).publications:
        expect(time.monotonic() < end, f"with a ttl of 0.5 s, it is not empty after {node.bench.patience:g} s")
        await asyncio.sleep(0.02)


@group.check("history")
async def paging_forward(bench: Bench) -> None:
    """Behind the last position of a page the next one begins, oldest first, until nothing is left."""
    node = await bench.node()
    channel = bench.name()
    positions = await filled(node, channel, 25)
    since = Position(0, positions[0].epoch)
    for wanted in (range(10), range(10, 20), range(20, 25), range(0)):
        page = await read(node, channel, wanted, True, f"in a page of 10 since {since.offset}", since=since, limit=10)
        same(page.top, positions[-1], "the top")
        if wanted:
            since = Position(page.publications[-1].offset, page.top.epoch)
    await read(node, channel, range(25), True, "since None")
    await read(node, channel, range(3), True, "since None, of a limit of 3", limit=3)
    await read(node, channel, range(25), True, "of a limit above them", limit=1000)


@group.check("history")
async def paging_in_reverse(bench: Bench) -> None:
    """In reverse, pages go from the newest to the oldest, each before the position that is given."""
    node = await bench.node()
    channel = bench.name()
    positions = await filled(node, channel, 25)
    since: Position | None = None
    for wanted in (range(24, 14, -1), range(14, 4, -1), range(4, -1, -1), range(0)):
        what = f"in reverse, in a page of 10 before {since.offset if since else None}"
        page = await read(node, channel, wanted, True, what, since=since, limit=10, reverse=True)
        same(page.top, positions[-1], "the top")
        if wanted:
            since = Position(page.publications[-1].offset, page.top.epoch)
    await read(node, channel, range(24, -1, -1), True, "in reverse", reverse=True)
    await read(node, channel, range(23, -1, -1), True, "in reverse, before the top", since=positions[-1], reverse=True)


@group.check("history")
async def limit_of_none(bench: Bench) -> None:
    """A limit of 0 asks for the position alone, and whether `since` is complete is said all the same."""
    node = await bench.node()
    channel = bench.name()
    positions = await filled(node, channel, 8, History(3, 60))
    for reverse in (False, True):
        page = await read(node, channel, range(0), True, "of a limit of 0", limit=0, reverse=reverse)
        same(page.top, positions[-1], "the top")
    await read(node, channel, range(0), True, "of a limit of 0, since one that is kept", since=positions[5], limit=0)
    await read(node, channel, range(0), False, "of a limit of 0, since one long gone", since=positions[1], limit=0)


@group.check("history")
async def trimmed_is_said(bench: Bench) -> None:
    """Where something behind `since` was trimmed, the page is not complete, and begins at the oldest that is kept."""
    node = await bench.node()
    channel = bench.name()
    positions = await filled(node, channel, 10, History(4, 60))
    for at, since in enumerate(positions):
        await read(
            node, channel, range(max(6, at + 1), 10), at >= 5, f"since publication {at} of 10, with 4 kept", since=since
        )
    begin = Position(0, positions[0].epoch)
    await read(node, channel, range(6, 10), False, "since the begin, with 4 of 10 kept", since=begin)
    await read(node, channel, range(6, 8), False, "since the begin, with a limit of 2", since=begin, limit=2)


@group.check("history")
async def foreign_positions_are_said(bench: Bench) -> None:
    """A position beyond the top, or of another epoch, is never complete, and all that is kept is given."""
    node = await bench.node()
    channel = bench.name()
    top = (await filled(node, channel, 3))[-1]
    epoch = "0" * 8 if top.epoch != "0" * 8 else "1" * 8
    for since, what in (
        (Position(top.offset + 1, top.epoch), "since one beyond the top"),
        (Position(top.offset + 10**6, top.epoch), "since one far beyond the top"),
        (Position(top.offset, epoch), "since the top of another epoch"),
        (Position(0, epoch), "since the begin of another epoch"),
        (Position(1, epoch), "since offset 1 of another epoch"),
    ):
        page = await read(node, channel, range(3), False, what, since=since)
        same(page.top, top, "the top")
        await read(node, channel, range(2), False, f"{what}, with a limit of 2", since=since, limit=2)


@group.check("history")
async def unkept_publication_is_a_hole(bench: Bench) -> None:
    """A publication without history empties the history, for it would have a hole; what went before it is not
    complete, and it is seen by its link when others follow."""
    node = await bench.node()
    channel = bench.name()
    before = (await filled(node, channel, 3))[-1]
    await node.subscribe(channel)
    unkept = await node.publish(channel, b"3")
    here = Position(unkept.offset, unkept.epoch)
    page = await read(node, channel, range(0), True, "after one that is not kept")
    same(page.top, here, "the top")
    await read(node, channel, range(0), False, "since the one before one that is not kept", since=before)
    await read(node, channel, range(0), True, "since one that is not kept", since=here)
    await node.publish(channel, b"4", history=KEPT)
    await read(node, channel, range(4, 5), False, "since before one that is not kept", since=before)
    await read(node, channel, range(4, 5), True, "since one that is not kept, another following", since=here)
    linked(await node.wait_for(channel, 2), before, node.broker.traits.dense)


@group.check("history")
async def forget_keeps_the_position(bench: Bench) -> None:
    """`forget` empties the history; top, epoch and links go on, and who was behind learns that something is missing."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    positions = await filled(node, channel, 4)
    top = positions[-1]
    await other.broker.forget(channel)
    page = await read(node, channel, range(0), True, "of a forgotten history")
    same(page.top, top, "the top of a forgotten history")
    same(await node.position(channel), top, "the position after `forget`")
    await read(node, channel, range(0), False, "since one that was forgotten", since=positions[1])
    await read(node, channel, range(0), True, "since the top of a forgotten history", since=top)
    await other.broker.forget(channel)
    position = await node.subscribe(channel)
    same(position, top, "the position from `subscribe` after `forget`")
    await filled(other, channel, 1)
    linked(await node.wait_for(channel, 1), top, node.broker.traits.dense)
    await read(node, channel, range(1), True, "since the top, after `forget` and another", since=top)
    await read(node, channel, range(1), False, "since before `forget`, and another", since=positions[1])


@group.check("history")
async def unknown_channel_gets_an_epoch(bench: Bench) -> None:
    """Reading a channel that nobody has published to makes its epoch; every node is told the same, and the first
    publication has it."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    pages = await asyncio.gather(*(one.broker.history(channel) for one in (node, other) * 3))
    first = pages[0].top
    same([(page.top.offset, len(page.publications), page.complete) for page in pages], [(0, 0, True)] * 6,
         "offset, publications and `complete` of an unknown channel, read six times")  # fmt: skip
    same({page.top.epoch for page in pages}, {first.epoch}, "epochs")
    same(await other.position(channel), first, "the position once it was read")
    result = await other.publish(channel, b"0", history=KEPT)
    same(result.epoch, first.epoch, "the epoch of the first publication")
    await read(node, channel, range(1), True, "since offset 0 that was read before", since=first)


@group.check("history")
async def reading_races_the_first_publication(bench: Bench) -> None:
    """An epoch that a reader was told is the channel's, though somebody publishes at the same time."""
    node, other = await bench.node(), await bench.node()
    for _ in range(20):
        channel = bench.name()
        page, result, position = await asyncio.gather(
            node.broker.history(channel), other.publish(channel, b"0", history=KEPT), node.subscribe(channel)
        )
        epochs = {page.top.epoch, result.epoch, position.epoch if position is not None else result.epoch}
        same(epochs, {result.epoch}, "epochs told of one channel")


@group.check("history")
async def page_is_of_one_moment(bench: Bench) -> None:
    """While others publish, a page to the end ends at the top that it tells, and has no hole."""
    node, other = await bench.node(), await bench.node()
    channel = bench.name()
    position = (await filled(other, channel, 1))[0]

    async def publish() -> None:
        for n in range(1, 200):
            await other.publish(channel, b"%d" % n, history=KEPT)
            await asyncio.sleep(0)

    publishing = asyncio.ensure_future(publish())
    while not publishing.done():
        page = await node.broker.history(channel, position)
        linked(page.publications, position, node.broker.traits.dense)
        last = page.publications[-1].offset if page.publications else position.offset
        same(last, page.top.offset, "the last offset of a page, beside the top")
        same(page.complete, True, "`complete`")
        await asyncio.sleep(0)
    await publishing


@group.check()
async def positions_of_many(bench: Bench) -> None:
    """`positions` and `subscribe` tell the position of each channel, in the order of the call; of one that nobody has
    published to, None or offset 0."""
    node, other = await bench.node(), await bench.node()
    names = [bench.name() for _ in range(300)]
    results = await node.append(*(node.new(name) for name in names[::2]))
    for how, ask in (("positions", other.broker.positions), ("subscribe", other.broker.subscribe)):
        positions = await ask(names)
        same(len(positions), 300, f"the number of positions of 300 channels by `{how}`")
        same(list(positions[::2]), [Position(r.offset, r.epoch) for r in results], f"positions by `{how}`")
        same({position.offset if position else 0 for position in positions[1::2]}, {0},
             f"offsets of unknown channels by `{how}`")  # fmt: skip


CHECKS = tuple(group.checks)
