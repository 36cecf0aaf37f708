"""The demo as a program, pages of it in Chromium, and guests without a page."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator
from typing import Any

from playwright.async_api import Browser, Page, expect

from support.client import RawClient
from support.processes import running

__all__ = ["DESKTOP", "PHONE", "Guest", "demo", "enter", "say"]

DESKTOP, PHONE = {"width": 1100, "height": 700}, {"width": 390, "height": 844}
PING = b"\x81\x02{}"  # as a frame
COMMAND = [sys.executable, "-m", "hubbub", "demo", "--broker"]


@contextlib.asynccontextmanager
async def demo(
    broker: str = "memory:", port: int = 0, command: list[str] = COMMAND, **environment: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """The process, and its port."""
    async with running([*command, broker, "--port", str(port)], env=environment) as process:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            found = re.search(rb"http://127.0.0.1:(\d+)", await process.stdout.readline())
        assert found is not None
        yield process, int(found[1])


async def enter(browser: Browser, port: int, name: str, *rooms: str, **settings: Any) -> Page:
    """A tab of somebody's own who has said their name before, in these rooms."""
    context = await browser.new_context(**{"viewport": DESKTOP, **settings})
    known = {"name": name, "rooms": rooms, "current": rooms[0]}
    await context.add_init_script(
        f"try {{ for (const [key, value] of Object.entries({json.dumps(known)}))"
        " if (sessionStorage.getItem(key) === null) sessionStorage.setItem(key, JSON.stringify(value)); } catch {}"
    )
    page = await context.new_page()
    page.set_default_timeout(8000)
    page.on("pageerror", lambda error: complaints.append(f"{name}: {error}"))
    await page.goto(f"http://127.0.0.1:{port}/")
    await expect(page.locator("#state")).to_have_text("connected")
    await expect(page.locator("#tabs li")).to_have_count(len(rooms))
    return page


expect.set_options(timeout=10_000)  # on a machine that does other things as well
complaints: list[str] = []
"""Of all pages: what was raised there and not caught."""


async def say(page: Page, text: str) -> None:
    await page.fill("#text", text)
    await page.press("#text", "Enter")


class Guest:
    """Somebody in one room without a page: a client that speaks the protocol, and only collects what comes."""

    def __init__(self, client: RawClient, room: str) -> None:
        self._client = client
        self._room = room
        self._heard = bytearray()
        self._said = 0
        self._reading = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def enter(cls, port: int, name: str, room: str, secret: str = "") -> Guest:
        client = await RawClient.connect(port, "/connection/websocket")
        commands = [
            {"id": 1, "connect": {"data": {"name": name, "secret": secret or name}}},
            {"id": 2, "subscribe": {"channel": f"room:{room}"}},
        ]
        client.text("\n".join(map(json.dumps, commands)))
        while '"id":2' not in str(await client.read()):
            pass
        return cls(client, room)

    def say(self, *texts: str) -> None:
        """All in one frame."""
        self._said += len(texts)
        self._client.text("\n".join(json.dumps(self._publish("room", {"text": text})) for text in texts))

    async def was_heard(self) -> None:
        """Until the server has said so of all that was said."""
        async with asyncio.timeout(20):
            while self._heard.count(b'"id":3') < self._said:
                await asyncio.sleep(0.02)

    def type(self) -> None:
        commands = [{"id": 4, "subscribe": {"channel": f"typing:{self._room}"}}, self._publish("typing", True)]
        self._client.text("\n".join(map(json.dumps, commands)))

    def send_binary(self, data: bytes) -> None:
        self._client.binary(data)

    def go(self) -> None:
        """Without a word."""
        self._reading.cancel()
        self._client.kill()

    def _publish(self, kind: str, data: Any) -> dict[str, Any]:
        return {"id": 3 if kind == "room" else 5, "publish": {"channel": f"{kind}:{self._room}", "data": data}}

    async def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self._client.reader.read(1 << 16):
                self._heard += data
                if PING in data:
                    self._client.text("{}")
