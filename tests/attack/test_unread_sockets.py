"""Peers that do not read: what waits for them is bounded, and the overflow policy and its counter say what was lost."""

from __future__ import annotations

import asyncio

import pytest

from support.client import RawClient
from support.target import MIB, Target, attacked

SIZE = 32 * 1024
BACKLOG = 4 * SIZE


async def unread(target: Target, path: str = "/room") -> RawClient:
    """A client that stops reading once it is connected."""
    client = await RawClient.connect(target.port, path)
    client.writer.transport.pause_reading()
    return client


async def handed(target: Target) -> int:
    """How many broadcasts one member was given, or has waiting."""
    hub = (await target.statistics())["hub"]
    return int(hub["broadcasts"] - sum(hub["drops"].values()))


async def numbers(client: RawClient, last: int) -> list[int]:
    """The numbers of the broadcasts that come, up to that one."""
    client.writer.transport.resume_reading()
    found = []
    while not found or found[-1] != last:
        message = await client.read()
        assert isinstance(message, str)
        assert len(message) in (SIZE, 16)
        found.append(int(message[:6]))
    return found


@pytest.mark.limit("max_backlog")
async def test_a_member_that_does_not_read_is_cut_at_the_limit_of_its_backlog() -> None:
    async with attacked(max_backlog=BACKLOG) as target:
        client = await unread(target)
        await target.clog(SIZE)
        await target.say(10, SIZE)
        assert await target.counted("hub", "drops", "overflow") >= 1
        assert await target.counted("server", "closed", "overflow") == 1
        after = await target.statistics()
        assert after["hub"]["backlog"] == 0
        assert after["hub"]["memberships"] == 0
        client.writer.transport.resume_reading()
        async with asyncio.timeout(5):
            while await client.reader.read(MIB):
                pass


@pytest.mark.limit("max_backlog")
async def test_drop_newest_keeps_what_waits() -> None:
    async with attacked(overflow="drop-newest", max_backlog=BACKLOG, backlog_timeout=60) as target:
        client = await unread(target)
        await target.clog(SIZE)
        await target.say(100, SIZE)
        dropped = (await target.statistics())["hub"]["drops"]["overflow"]
        assert (await target.statistics())["hub"]["backlog"] <= BACKLOG
        client.writer.transport.resume_reading()
        found = [int(str(await client.read())[:6]) for _ in range(await handed(target))]
        waited = [number for number in found if number]  # those of the flood, but for its first
        assert waited == list(range(1, len(waited) + 1))
        assert dropped + len(waited) in (99, 100)


@pytest.mark.limit("max_backlog")
async def test_drop_oldest_keeps_the_newest() -> None:
    async with attacked(overflow="drop-oldest", max_backlog=BACKLOG, backlog_timeout=60) as target:
        client = await unread(target)
        await target.clog(SIZE)
        await target.say(100, SIZE)
        assert await target.counted("hub", "drops", "overflow", 90) < 102
        assert (await target.statistics())["hub"]["backlog"] <= BACKLOG
        found = await numbers(client, 99)
        assert found[-3:] == [97, 98, 99]
        assert len(found) == await handed(target)


@pytest.mark.limit("max_backlog")
async def test_latest_keeps_one_message_of_the_channel() -> None:
    async with attacked(overflow="latest", max_backlog=BACKLOG, backlog_timeout=60) as target:
        client = await unread(target)
        await target.clog(SIZE)
        await target.say(100, SIZE)
        assert await target.counted("hub", "drops", "overflow", 90) < 102
        assert (await target.statistics())["hub"]["backlog"] <= BACKLOG
        found = await numbers(client, 99)
        assert len(found) == await handed(target)


@pytest.mark.limit("max_backlog")
async def test_a_client_that_asks_for_echoes_and_reads_none_is_cut() -> None:
    async with attacked(max_backlog=BACKLOG) as target:
        client = await unread(target, "/")
        while not (await target.statistics())["server"]["closed"]:
            client.binary(bytes(256 * 1024))
        statistics = await target.statistics()
        assert statistics["server"]["closed"] == {"overflow": 1}
        assert statistics["hub"]["drops"]["overflow"] >= 1


@pytest.mark.limit("max_total_backlog")
async def test_all_backlogs_together_are_bounded() -> None:
    async with attacked(most=24 * MIB, max_backlog=MIB, max_total_backlog=2 * MIB, backlog_timeout=60) as target:
        for _ in range(8):
            await unread(target)
        while not (statistics := await target.statistics())["hub"]["drops"]:
            assert statistics["hub"]["backlog"] <= 2 * MIB
            await target.say(1, SIZE)
        assert statistics["hub"]["drops"].keys() == {"budget"}
        assert await target.counted("server", "closed", "overflow") >= 1


@pytest.mark.limit("backlog_timeout")
async def test_a_member_that_takes_no_byte_for_so_long_is_cut() -> None:
    async with attacked(max_backlog=8 * MIB, backlog_timeout=0.3) as target:
        await unread(target)
        await target.clog(SIZE)
        assert await target.counted("server", "closed", "overflow") == 1
        assert (await target.statistics())["hub"]["drops"]["overflow"] >= 1
