"""The browser's part of the page on coming back, run by Node: it comes back, misses nothing, and knows when to stop."""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from pathlib import Path

from hubbub.realtime import History, Namespace, Realtime, Tokens
from support.client import RawClient
from support.pages import Page
from support.scripts import node
from support.serving import serving, until

SCRIPTS = [block.text for block in Page("how-to/reconnect.md").blocks if block.language == "js"]
PLAIN = """
import { connect } from "./room.mjs";
Math.random = () => 0.3; // of half a second
const tell = (what) => console.log(JSON.stringify(what));
const room = connect("ws://127.0.0.1:PORT/", { message: tell, state: (now, code) => tell([now, code ?? 0]) });
process.stdin.on("data", (text) => room.send({ text: text.toString().trim() })).on("end", () => room.close());
"""


async def test_a_page_comes_back_and_gets_what_it_missed(tmp_path: Path) -> None:
    page = Page("how-to/reconnect.md")
    await page.run(len(page.left))
    files = {"room": SCRIPTS[0]}

    def cut(code: int) -> None:
        next(iter(page.hub.members("lobby"))).socket.close(code)

    async with serving(page.Room, hub=page.hub) as server:
        async with node(tmp_path, main=PLAIN.replace("PORT", str(server.port)), **files) as (process, said):
            assert await said() == ["online", 0]
            process.stdin.write(b"one\n")
            assert await said() == {"text": "one"}
            cut(1012)
            ann = await RawClient.connect(server.port)
            for text in "two", "three":
                ann.text(json.dumps({"text": text}))
            assert await said() == ["offline", 1012]
            assert await said() == ["online", 0]
            assert [await said(), await said()] == [{"text": "two"}, {"text": "three"}]
            await ann.close()
            cut(1001)
            await until(lambda: not page.hub.count("lobby"))
            page.names["kept"], page.names["number"] = deque([(9, "")]), 9
            assert [await said() for _ in range(3)] == [["offline", 1001], ["online", 0], {"missed": True}]
            await until(lambda: page.hub.count("lobby"))
            cut(1012)
            await until(lambda: not page.hub.count("lobby"))
            page.kept.clear()
            page.names["number"] = 0  # a server that was started again
            assert [await said() for _ in range(3)] == [["offline", 1012], ["online", 0], {"missed": True}]
            await until(lambda: page.hub.count("lobby"))
            cut(4401)
            assert await said() == ["ended", 4401]
            await asyncio.sleep(0.3)
            assert not page.hub.count("lobby")


async def test_the_client_library_recovers(tmp_path: Path, centrifuge_js: Path) -> None:
    tokens = Tokens(hmac="a secret of 32 random bytes or more")
    namespaces = {
        "chat": Namespace(history=History(300, ttl=3600), force_recovery=True, allow_subscribe_for_client=True)
    }
    rt = Realtime(tokens=tokens, namespaces=namespaces, broker="memory:")
    (tmp_path / "node_modules").symlink_to(centrifuge_js.parents[2])
    async with serving(rt.handler, hub=rt.hub) as server:
        program = re.sub(r'"wss://\S+"', f'"ws://127.0.0.1:{server.port}"', SCRIPTS[-1])
        token = tokens.make("ann", ttl=60)
        main = f"""
const say = console.log; console.log = (...what) => say(JSON.stringify(what));
globalThis.fetch = async (path) => ({{ json: async () => path === "/token" ? "{token}" : null }});
await import("./session.mjs");
"""
        async with node(tmp_path, main=main, session=program) as (_, said):
            assert await said() == ["offline:", 0, "connect called"]
            assert await said() == ["online"]
            await until(lambda: rt.statistics().subscriptions)
            await rt.publish("chat:lobby", {"text": "one"})
            assert await said() == ["one"]
            await rt.disconnect("ann", code=3011, reason="force reconnect")
            await rt.publish("chat:lobby", {"text": "two"})
            assert await said() == ["offline:", 3011, "force reconnect"]
            assert sorted([await said(), await said()]) == [["online"], ["two"]]
            await rt.disconnect("ann")
            assert await said() == ["ended:", 3503]
        await rt.close()
