"""The page of `hubbub serve --dev` in a browser, with the client that is ours, and with the published one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from integration.test_standalone import HUBBUB, listening
from support.browser import chromium, needs_chromium
from support.processes import running

pytestmark = [pytest.mark.browser, needs_chromium]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


async def opened(browser: Browser, where: str, complaints: list[str]) -> Page:
    page = await browser.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(where)
    await expect(page.locator("#state")).to_contain_text("connected as")
    await expect(page.locator("#log")).to_contain_text("subscribed to room")
    return page


@pytest.mark.parametrize("client", ["ours", "published"])
async def test_two_tabs_talk_and_find_back_to_a_server_that_was_away(
    browser: Browser, tmp_path: Path, client: str, request: pytest.FixtureRequest
) -> None:
    if client == "published":
        published: Path = request.getfixturevalue("centrifuge_js")
        dist = tmp_path / "node_modules/centrifuge/dist"
        dist.mkdir(parents=True)
        (dist / "centrifuge.js").write_bytes(published.read_bytes())
    complaints: list[str] = []
    command = [*HUBBUB, "serve", "--dev", "--broker", f"sqlite:{tmp_path}/dev.db", "--port"]
    async with running([*command, "0"], cwd=tmp_path) as server:
        where = await listening(server)
        port = where.rpartition(":")[2]
        one, two = [await opened(browser, where, complaints) for _ in range(2)]
        await expect(one.locator("#here")).to_contain_text("2 here")
        await one.fill("#text", "hello")
        await one.press("#text", "Enter")
        for page in (one, two):
            await expect(page.locator("li.said")).to_have_text([re.compile('"text":"hello"')])
        server.terminate()
        await asyncio.wait_for(server.wait(), 10)
    await expect(two.locator("#state")).to_contain_text("connecting")
    async with running([*command, port], cwd=tmp_path) as server:
        await listening(server)
        for page in (one, two):
            await expect(page.locator("#state")).to_contain_text("connected as", timeout=20_000)
            await expect(page.locator("#log")).to_contain_text("and nothing was missed", timeout=10_000)
        await two.fill("#text", "again")
        await two.press("#text", "Enter")
        for page in (one, two):
            await expect(page.locator("li.said")).to_have_text([re.compile("hello"), re.compile("again")])
    assert not complaints
