"""The chat of the examples in a browser: tabs on different workers, and on different servers, are in one room."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

import hubbub
from support.browser import chromium, needs_chromium
from support.deployments import SERVERS, Deployment, deployed, engine
from support.processes import running

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

UVICORN = SERVERS[0]


@needs_chromium
@pytest.mark.parametrize(
    ("kind", "servers", "workers"),
    [("local", 1, 4), ("sqlite", 2, 1), ("nats", 2, 2), ("redis", 2, 2)],
    ids=lambda of: str(of),
)
async def test_tabs_on_different_workers_are_in_one_room(
    kind: str, servers: int, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    async with contextlib.AsyncExitStack() as stack:
        url = stack.enter_context(engine(kind, tmp_path))
        monkeypatch.setenv("HUBBUB_BROKER", url)
        places = [await stack.enter_async_context(deployed(UVICORN, tmp_path, workers)) for _ in range(servers)]
        browser = await stack.enter_async_context(chromium())
        tabs = await one_tab_at_each_worker(browser, places)
        for number, tab in enumerate(tabs):
            await say(tab, f"hello from {number}")
        await everyone_sees(tabs, *(f"tab: hello from {number}" for number in range(len(tabs))))

        command = [sys.executable, "-m", "hubbub", "publish", "lobby", "a line of a shell", "--broker", url]
        async with running(command) as publisher:
            assert await publisher.wait() == 0
        await asyncio.to_thread(hubbub.publish, "lobby", "a line of a program")  # by HUBBUB_BROKER
        await everyone_sees(tabs, "a line of a shell", "a line of a program")

        shown = [await lines(tab) for tab in tabs]
        assert all(seen == shown[0] for seen in shown)  # all in one order


async def one_tab_at_each_worker(browser: Browser, places: list[Deployment]) -> list[Page]:
    """Who comes to a worker that has a tab already comes again."""
    found: dict[str, Page] = {}
    for place in places:
        (await place.connect())[0].kill()
        at = len(found)
        while len(found) - at < place.workers:
            page = await browser.new_page()
            await page.goto(f"http://127.0.0.1:{place.port}/?name=tab")
            first = page.locator("li").first
            await expect(first).to_contain_text("process ", timeout=8000)
            process = await first.inner_text()
            if process in found:
                await page.close()
            else:
                found[process] = page
    return list(found.values())


async def say(tab: Page, text: str) -> None:
    await tab.fill("input", text)
    await tab.press("input", "Enter")


async def everyone_sees(tabs: list[Page], *texts: str) -> None:
    for tab in tabs:
        for text in texts:
            await expect(tab.locator("li", has_text=text)).to_have_count(1, timeout=8000)


async def lines(tab: Page) -> list[str]:
    """What was said since all tabs were there."""
    shown = await tab.locator("li").all_inner_texts()
    return [text for text in shown if ": hello from" in text or "a line of" in text]
