"""The published client in a real browser, whose server is killed under it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from hubbub.errors import BrokerUnavailable, Overloaded
from hubbub.realtime import History, Namespace, Realtime
from support.browser import chromium, needs_chromium
from support.processes import running

pytestmark = pytest.mark.browser
PROGRAM = Path(__file__).parents[2] / "support" / "session_program.py"
KEPT = Namespace(history=History(10_000, 600), force_recovery=True)


@contextlib.asynccontextmanager
async def served(port: int, broker: str, script: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    async with running([sys.executable, str(PROGRAM), str(port), broker, str(script)]) as process:
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                await asyncio.sleep(0.05)
        yield process


async def enter(browser: Browser, port: int, name: str) -> Page:
    page = await (await browser.new_context()).new_page()
    await page.goto(f"http://127.0.0.1:{port}/#{name}")
    await page.wait_for_function("subscribed.length > 0")
    return page


async def publish(rt: Realtime, number: int) -> None:
    """Until the broker has it, which it then has once."""
    while True:
        with contextlib.suppress(BrokerUnavailable, Overloaded):
            await rt.publish("room", number, key=str(number))
            return
        await asyncio.sleep(0.05)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@needs_chromium
async def test_nothing_is_missed_and_nothing_comes_twice(tmp_path: Path, centrifuge_js: Path) -> None:
    """Another process publishes all the time; the server of the pages is killed, and started again, twice."""
    port, broker = free_port(), f"sqlite:{tmp_path / 'room.db'}"
    rt = Realtime(broker=broker, insecure=True, namespaces={"": KEPT})
    count, over = 0, False

    async def go_on_publishing() -> None:
        nonlocal count
        while not over:
            count += 1
            await publish(rt, count)
            await asyncio.sleep(0.01)

    async with chromium() as browser, contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(rt.close)
        server = await stack.enter_async_context(served(port, broker, centrifuge_js))
        ann, bob = await enter(browser, port, "ann"), await enter(browser, port, "bob")
        who: dict[str, Any] = await ann.evaluate("room.presence()")
        assert sorted(client["user"] for client in who["clients"].values()) == ["ann", "bob"]
        await ann.wait_for_function("came.includes('bob')")
        await bob.evaluate("room.publish('hello')")
        await ann.wait_for_function("got.includes('hello')")
        publishing = asyncio.ensure_future(go_on_publishing())
        for times in 1, 2:
            await asyncio.sleep(0.3)
            server.kill()
            await server.wait()
            await asyncio.sleep(0.3)
            server = await stack.enter_async_context(served(port, broker, centrifuge_js))
            for page in ann, bob:
                await page.wait_for_function(f"subscribed.length > {times}", timeout=20_000)
        over = True
        await publishing
        await bob.evaluate("room.publish('the end')")
        for page in ann, bob:
            await page.wait_for_function("got.includes('the end')", timeout=20_000)
            assert await page.evaluate("got") == ["hello", *range(1, count + 1), "the end"]
            offsets = await page.evaluate("offsets")
            assert offsets == list(range(1, len(offsets) + 1))
            assert await page.evaluate("subscribed") == [[False, False], [True, True], [True, True]]
        who = await ann.evaluate("room.presenceStats()")
        assert who == {"numClients": 2, "numUsers": 2}
