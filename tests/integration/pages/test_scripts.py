"""The browser's parts of the pages on sessions, run by Node with the published client library."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hubbub.realtime import History, Namespace, Realtime
from support.pages import Page
from support.scripts import node
from support.serving import serving
from support.session_client import Peer

KEPT = History(2, ttl=3600)
TOLD = """
import { Centrifuge } from "centrifuge";
const say = console.log; console.log = (...what) => say(JSON.stringify(what));
"""


def scripts(name: str) -> list[str]:
    return [block.text for block in Page(name).blocks if block.language == "js"]


@asynccontextmanager
async def shown(
    rt: Realtime, folder: Path, centrifuge_js: Path, *parts: str, **stubs: Any
) -> AsyncIterator[tuple[str, Any]]:
    """A page that consists of these, and a function that reads what it logs next. Yields the server's URL as well."""
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(centrifuge_js.parents[2])
    async with serving(rt.handler, hub=rt.hub) as server:
        url = f"ws://127.0.0.1:{server.port}/"
        replies = f"globalThis.fetch = async (path) => ({{ text: async () => ({json.dumps(stubs)})[path] }});"
        program = re.sub(r'"wss://\S+"', json.dumps(url), "\n".join([TOLD, replies, *parts]))
        if "new Centrifuge(" not in program:
            program = program.replace(TOLD, f"{TOLD}const centrifuge = new Centrifuge({json.dumps(url)});")
        async with node(folder, main=f"{program}\ncentrifuge.connect();\nawait ready();\n") as (_, said):
            yield url, said
        await rt.close()


async def test_the_page_on_recovery(tmp_path: Path, centrifuge_js: Path) -> None:
    rt = Realtime(
        broker="memory:", insecure=True,
        namespaces={
            "chat": Namespace(history=KEPT, force_recovery=True),
            "order": Namespace(history=KEPT, force_recovery=True, allow_tags_filter=True),
        },
    )  # fmt: skip
    chat, filtered = scripts("how-to/recovery.md")
    after = """
globalThis.location = { reload: () => console.log("reload") };
const orders = centrifuge.getSubscription("order:all");
orders.on("publication", ({ data }) => console.log("order", data)).subscribe();
const ready = () => Promise.all([chat.ready(), orders.ready()]).then(() => console.log("ready"));
"""
    async with shown(rt, tmp_path, centrifuge_js, chat, filtered, after) as (_, said):
        assert await said() == ["ready"]
        await rt.publish("order:all", 1, tags={"shop": "paris", "total": "500"})
        await rt.publish("order:all", 2, tags={"shop": "berlin", "total": "100"})
        assert await said() == ["order", 2]
        await rt.disconnect("", code=3011, reason="force reconnect")
        await rt.publish("chat:lobby", {"text": "missed"})
        assert await said() == ["missed"]
        await rt.disconnect("", code=3011, reason="force reconnect")
        for text in "one", "two", "three":
            await rt.publish("chat:lobby", {"text": text})
        assert await said() == ["reload"]


async def test_the_page_on_presence(tmp_path: Path, centrifuge_js: Path) -> None:
    page = Page("how-to/presence.md")
    await page.run(2)
    room, counts = scripts("how-to/presence.md")
    after = f"""
const ready = async () => {{ await room.ready(); {counts} console.log(numClients, numUsers); }};
"""
    async with shown(page.rt, tmp_path, centrifuge_js, room, after) as (url, said):
        told = [await said() for _ in range(3)]
        assert ["", "came"] in told
        assert [1, 1] in told
        other = Peer(url)
        await other.connect()
        await other.subscribe("room:lobby")
        assert await said() == ["", "came"]
        await other.close()
        assert await said() == ["", "went"]


async def test_the_page_on_tokens(tmp_path: Path, centrifuge_js: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = Page("how-to/tokens.md")
    await page.run(2)
    replies = {"/token": page.to_connect, "/token?channel=team%3Ageneral": page.to_subscribe}
    after = """
const ready = () => team.ready().then(() => console.log(team.state));
team.on("publication", ({ data }) => console.log(data)).subscribe();
"""
    async with shown(page.rt, tmp_path, centrifuge_js, *scripts("how-to/tokens.md"), after, **replies) as (_, said):
        assert await said() == ["subscribed"]
        await page.rt.publish("team:general", "hello")
        assert await said() == ["hello"]
