"""Take the picture of the demo that the README shows: `.venv/bin/python tools/picture.py`, with Chromium installed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from playwright.async_api import expect  # noqa: E402

from support.browser import chromium  # noqa: E402
from support.demo import Guest, demo, enter, say  # noqa: E402

PICTURE = ROOT / "docs" / "assets" / "demo.png"
SIZE = {"width": 1080, "height": 640}
TALK = [
    ("Mina", "The deploy is through: four workers, one room."),
    ("Mina", "Anybody still on the old one?"),
    ("Jonas", "No. I lost the train's Wi-Fi in the tunnel, and got what I missed by itself."),
    ("سلمى", "وصلتني كل الرسائل بالترتيب، شكرًا!"),
    ("Sam", "Same here: 31 messages, in order, none twice."),
]
QUIET = ["Ben", "Chiara", "Dora", "Eli", "Noor", "Pia", "Tomás", "Yuki"]


async def main() -> None:
    async with chromium() as browser, demo() as (_, port):
        guests = {name: await Guest.enter(port, name, "lobby") for name in ["Mina", "Jonas", "سلمى", *QUIET]}
        guests["Sam"] = await Guest.enter(port, "Sam", "lobby")
        others = [await Guest.enter(port, name, room) for room in ("help", "español") for name in QUIET[:5]]
        for name, text in TALK[:2]:
            guests[name].say(text)
            await guests[name].was_heard()
        page = await enter(browser, port, "Sam", "lobby", "releases", viewport=SIZE, device_scale_factor=1.5)
        for name, text in TALK[2:]:
            guests[name].say(text)
            await guests[name].was_heard()
        for name in QUIET[:3]:
            guests[name].go()
        others += [await Guest.enter(port, "Jonas", "releases"), await Guest.enter(port, "Zoë", "lobby")]
        others[-2].say("0.1.0 is tagged.", "Wheels follow.")
        await say(page, "Then I close the incident. Thank you all!")
        await expect(page.locator("#messages .text").last).to_contain_text("incident")
        await expect(page.locator("#others li")).to_have_count(2)
        await expect(page.locator("#gone li")).to_have_count(3, timeout=10_000)
        guests["Jonas"].type()
        await expect(page.locator("#typing")).to_contain_text("Jonas")
        await page.screenshot(path=PICTURE)
        print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    asyncio.run(main())
