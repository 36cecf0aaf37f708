"""The demo in a real browser: two tabs that talk, one that leaves, a server that is stopped and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from support.browser import chromium, needs_chromium
from support.client import RawClient
from support.processes import running

pytestmark = pytest.mark.browser

SCREENSHOTS = Path(__file__).parents[2] / "reports" / "screenshots"
DEMO = [sys.executable, "-m", "hubbub", "demo"]


@contextlib.asynccontextmanager
async def demo(port: int = 0) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    async with running([*DEMO, "--port", str(port)]) as process:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            found = re.search(rb"http://127.0.0.1:(\d+)", await process.stdout.readline())
        assert found is not None
        yield process, int(found[1])


async def enter(browser: Browser, port: int, name: str) -> Page:
    """A tab of somebody's own, who has said their name."""
    page = await (await browser.new_context(viewport={"width": 1100, "height": 700})).new_page()
    page.set_default_timeout(8000)
    await page.goto(f"http://127.0.0.1:{port}/")
    await page.fill("#name", name)
    await page.click("text=Come in")
    await expect(page.locator("#state")).to_have_text("connected")
    return page


async def say(page: Page, text: str) -> None:
    await page.fill("#text", text)
    await page.press("#text", "Enter")


async def members(page: Page, *names: str) -> None:
    await expect(page.locator("#members li")).to_have_text(list(names))


@needs_chromium
async def test_everything_fits_on_a_phone() -> None:
    async with demo() as (_, port), chromium() as browser:
        page = await enter(browser, port, "Ann")
        await page.set_viewport_size({"width": 360, "height": 640})
        await say(page, "a" * 300)
        await expect(page.locator("#messages li.mine")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        for control in ("#rate", "#join button", "#say button"):
            await expect(page.locator(control)).to_be_in_viewport(ratio=1)


@needs_chromium
async def test_two_tabs_talk_in_channels_and_one_leaves() -> None:
    async with demo() as (_, port), chromium() as browser:
        ann, bob = await enter(browser, port, "Ann"), await enter(browser, port, "Bob")
        await members(ann, "Ann (you)", "Bob")
        await members(bob, "Ann", "Bob (you)")
        await say(ann, "hello Bob")
        await expect(bob.locator("#messages li.theirs .text")).to_have_text(["hello Bob"])
        await expect(ann.locator("#messages li.mine .text")).to_have_text(["hello Bob"])

        # markup is text, wherever it comes from
        await say(bob, "<img src=x onerror=\"document.title='broken'\"><b>bold</b>")
        await expect(ann.locator("#messages li.theirs .text")).to_contain_text("<b>bold</b>")
        assert await ann.locator("#messages img, #messages b").count() == 0
        assert await ann.title() == "hubbub"

        # a second channel, in which Ann is not
        await bob.fill("#channel", "quiet")
        await bob.press("#channel", "Enter")
        await members(bob, "Bob (you)")
        await say(bob, "nobody hears")
        await expect(bob.locator("#messages li.mine .text")).to_have_text(["nobody hears"])
        await say(ann, "still here?")
        await expect(bob.locator("#tabs .unread")).to_have_text("1")
        await expect(ann.locator("#messages")).not_to_contain_text("nobody hears")

        await expect(ann.locator("#online")).to_have_text("2")
        await expect(ann.locator("#channels")).to_have_text("2")
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await bob.click("text=# lobby")
        await bob.screenshot(path=SCREENSHOTS / "demo.png")

        await bob.click("[title='Leave lobby']")
        await members(ann, "Ann (you)")
        await expect(ann.locator("#messages li.note").last).to_have_text("Bob left")
        await bob.close()
        await expect(ann.locator("#online")).to_have_text("1")

        # one who is gone without a word
        eve = await RawClient.connect(port, "/ws")
        eve.text('{"type": "hello", "name": "Eve"}')
        eve.text('{"type": "join", "channel": "lobby"}')
        await members(ann, "Ann (you)", "Eve")
        eve.kill()
        await members(ann, "Ann (you)")
        await expect(ann.locator("#messages li.note").last).to_have_text("Eve left")


@needs_chromium
async def test_tabs_find_back_to_a_server_that_was_stopped() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with chromium() as browser:
        async with demo(port) as (process, _):
            ann, bob = await enter(browser, port, "Ann"), await enter(browser, port, "Bob")
            await members(ann, "Ann (you)", "Bob")
            await say(ann, "before")
            await expect(bob.locator("#messages .text")).to_have_text(["before"])
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await process.wait() in (0, -signal.SIGTERM)
        await expect(ann.locator("#state")).to_contain_text("trying again")
        await expect(ann.locator("#text")).to_be_disabled()
        async with demo(port):
            await expect(ann.locator("#state")).to_have_text("connected", timeout=15_000)
            await expect(bob.locator("#state")).to_have_text("connected", timeout=15_000)
            await members(ann, "Ann (you)", "Bob")
            await say(bob, "after")
            await expect(ann.locator("#messages .text")).to_have_text(["before", "after"])


async def test_the_demo_refuses_what_it_should() -> None:
    async with demo() as (_, port):
        client = await RawClient.connect(port, "/ws")
        for request, complaint in [
            ("nonsense", "malformed"),
            ('{"type": "join", "channel": "a"}', "say hello first"),
            ('{"type": "hello", "name": "  "}', "a name has 1 to 30 characters"),
            ('{"type": "hello", "name": "' + "x" * 31 + '"}', "a name has 1 to 30 characters"),
        ]:
            client.text(request)
            answer = json.loads(str(await client.read()))
            assert answer["type"] == "error"
            assert complaint in answer["text"]
        client.text('{"type": "hello", "name": "Eve"}')
        assert json.loads(str(await client.read()))["type"] == "welcome"
        client.text('{"type": "say", "text": "hi", "to": "private"}')
        while (answer := json.loads(str(await client.read())))["type"] == "counts":
            pass
        assert answer == {"type": "error", "text": "you are not in #private"}
        await client.close()
