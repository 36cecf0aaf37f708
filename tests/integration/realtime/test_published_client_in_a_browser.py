"""The chat of examples/realtime_chat.py with the published library, in a browser: stopped and started again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from support.browser import chromium, needs_chromium
from support.pages import DOCS
from support.processes import running

pytestmark = pytest.mark.browser
EXAMPLE = DOCS.parent / "examples" / "realtime_chat.py"


@contextlib.asynccontextmanager
async def served(folder: Path, port: int) -> AsyncIterator[None]:
    """Until Ctrl+C."""
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "chat:app",
        "--ws",
        "hubbub.asgi:WebSocketProtocol",
        "--port",
        str(port),
    ]
    async with running([*command, "--log-level", "warning"], cwd=folder) as process:
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                await asyncio.sleep(0.05)
        yield
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            await process.wait()


async def enter(browser: Browser, port: int, name: str) -> Page:
    page = await browser.new_page()
    await page.goto(f"http://127.0.0.1:{port}/?name={name}")
    return page


async def say(page: Page, text: str) -> None:
    await page.fill("input", text)
    await page.press("input", "Enter")


async def reads(page: Page, here: str, *lines: str) -> None:
    """Wait until it does."""
    shown = "\n".join(lines)
    await page.wait_for_function(
        "([here, shown]) => document.querySelector('p').innerText === here"
        " && document.querySelector('pre').innerText === shown",
        arg=[f"Here: {here}", shown],
        timeout=20_000,
    )


@needs_chromium
async def test_what_was_said_is_there_once_when_the_server_is_back(
    tmp_path: Path, centrifuge_js: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT_SECRET", "a secret of 32 random bytes or more")
    monkeypatch.setenv("HUBBUB_BROKER", f"sqlite:{tmp_path / 'chat.db'}")
    (tmp_path / "chat.py").write_text(EXAMPLE.read_text())
    dist = tmp_path / "node_modules" / "centrifuge" / "dist"
    dist.mkdir(parents=True)
    (dist / "centrifuge.js").write_text(centrifuge_js.read_text())
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    async with chromium() as browser:
        async with served(tmp_path, port):
            ann, bob = await enter(browser, port, "Ann"), await enter(browser, port, "Bob")
            for page in ann, bob:
                await reads(page, "Ann, Bob", "")
            await say(ann, " hello ")
            for page in ann, bob:
                await reads(page, "Ann, Bob", "Ann: hello")
        async with served(tmp_path, port):
            for page in ann, bob:
                await page.wait_for_function("room.state === 'subscribed'", timeout=20_000)
            await say(bob, "still here")
            for page in ann, bob:
                await reads(page, "Ann, Bob", "Ann: hello", "Bob: still here")
            cid = await enter(browser, port, "Cid")
            await reads(cid, "Ann, Bob, Cid", "Ann: hello", "Bob: still here")
            await ann.close()
            await reads(bob, "Bob, Cid", "Ann: hello", "Bob: still here")
