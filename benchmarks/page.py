"""How busy a page of the demo is in a room of 200: the share of its main thread's time, at several rates.

Run: .venv/bin/python benchmarks/page.py [messages a second ...]
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from playwright.async_api import CDPSession

from support.browser import chromium
from support.demo import DESKTOP, PHONE, Guest, demo, enter

MEMBERS, SECONDS = 200, 5.0
PARTS = {"TaskDuration": "all", "ScriptDuration": "script", "LayoutDuration": "layout", "RecalcStyleDuration": "style"}


async def talk(guests: list[Guest], rate: float, seconds: float) -> None:
    """One message after the other, in turn, so many a second in all."""
    began = time.monotonic()
    for number in range(int(rate * seconds)):
        guests[number % len(guests)].say(f"message {number} of some words, and not too long")
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))


async def spent(session: CDPSession) -> dict[str, float]:
    found = (await session.send("Performance.getMetrics"))["metrics"]
    return {one["name"]: one["value"] for one in found}


async def measure(rates: list[float]) -> None:
    async with chromium() as browser, demo() as (_, port):
        guests = [await Guest.enter(port, f"Guest {number}", "lobby") for number in range(MEMBERS - 1)]
        for name, size in (("desktop", DESKTOP), ("phone", PHONE)):
            page = await enter(browser, port, "Ann", "lobby", viewport=size)
            session = await page.context.new_cdp_session(page)
            await session.send("Performance.enable")
            for rate in rates:
                await talk(guests, rate, 1.0)
                before = await spent(session)
                await talk(guests, rate, SECONDS)
                after = await spent(session)
                took = after["Timestamp"] - before["Timestamp"]
                shares = [f"{what} {(after[part] - before[part]) / took:5.1%}" for part, what in PARTS.items()]
                said = await page.inner_text("#rate")
                print(f"{name:8} {rate:6g} messages/s, {said:>6} in the page: {', '.join(shares)}", flush=True)
            await page.context.close()


if __name__ == "__main__":
    asyncio.run(measure([float(rate) for rate in sys.argv[1:]] or [20.0, 100.0, 300.0]))
