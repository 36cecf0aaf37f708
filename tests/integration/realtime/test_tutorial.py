"""The tutorial on sessions, step by step, up to the example that it promises."""

from __future__ import annotations

import ast
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

import hubbub
from hubbub.realtime import Realtime
from support.asgi_servers import uvicorn_serving
from support.pages import DOCS, Page, merged
from support.session_client import Peer

TUTORIAL = DOCS / "realtime.md"
EXAMPLE = DOCS.parent / "examples" / "realtime_chat.py"
STEPS = Page("realtime.md").left


class Chat:
    """A program of the tutorial, served."""

    def __init__(self, port: int, http: httpx.AsyncClient) -> None:
        self.port, self.http = port, http

    async def join(self, name: str, **wishes: Any) -> tuple[Peer, dict[str, Any]]:
        peer = Peer(f"ws://127.0.0.1:{self.port}/connection/websocket")
        await peer.connect(token=(await self.http.get("/token", params={"name": name})).text)
        return peer, await peer.subscribe("chat:lobby", **wishes)


@asynccontextmanager
async def running(program: str) -> AsyncIterator[Chat]:
    names: dict[str, Any] = {"__name__": "chat"}
    exec(compile(program, "chat.py", "exec", 0, True), names)
    async with (
        uvicorn_serving(names["app"]) as (port, _),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        yield Chat(port, http)
        await names["rt"].close()


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBUB_BROKER", "memory:")
    monkeypatch.setenv("CHAT_SECRET", "a secret of 32 random bytes or more")


async def test_each_step_does_what_the_tutorial_says(monkeypatch: pytest.MonkeyPatch) -> None:
    names, room, here, before, whole, announce, alone = STEPS
    async with running(names) as chat:
        ann, reply = await chat.join("ann")
        assert ann.id
        assert reply["error"]["code"] == 102
        await ann.close()
    program = merged(names, room)
    async with running(program) as chat:
        (ann, _), (bob, _) = await chat.join("ann"), await chat.join("bob")
        assert "publish" in await ann.ask(publish={"channel": "chat:lobby", "data": {"text": " hi "}})
        await bob.until(lambda: bob.bodies("chat:lobby") == [{"text": "hi"}])
        assert (await bob.ask(presence={"channel": "chat:lobby"}))["error"]["code"] == 108
        await ann.close()
        await bob.close()
    program = merged(program, here)
    async with running(program) as chat:
        (ann, _), (bob, _) = await chat.join("ann"), await chat.join("bob")
        present = (await bob.ask(presence={"channel": "chat:lobby"}))["presence"]["presence"]
        assert sorted(one["user"] for one in present.values()) == ["ann", "bob"]
        await ann.close()
        await bob.until(lambda: any("leave" in push for push in bob.pushes))
        await bob.close()
    program = merged(program, before)
    for last in (program, whole):
        async with running(merged(last, announce)) as chat:
            said = await chat.http.post("/announce", params={"text": "welcome"})
            assert said.json() == {"offset": 1, "sessions": 0}
            ann, reply = await chat.join("ann")
            assert reply["subscribe"]["recoverable"]
            history = (await ann.ask(history={"channel": "chat:lobby", "limit": 100}))["history"]
            assert [publication["data"] for publication in history["publications"]] == [{"text": "welcome"}]
            await ann.close()
    served: list[dict[str, Any]] = []
    monkeypatch.setattr("hubbub.run", lambda handler, **settings: served.append({"handler": handler, **settings}))
    rt = Realtime()
    exec(alone, {"rt": rt})
    assert served == [{"handler": rt.handler, "hub": rt.hub, "port": 8000}]
    hubbub.serve(rt.handler, hub=rt.hub, port=0)  # which takes the same


def test_it_builds_up_to_the_example_and_shows_it() -> None:
    names, *steps, whole, _, _ = STEPS
    assert whole == EXAMPLE.read_text()
    program = names
    for step in steps:
        program = merged(program, step)
    built, shown = (statements(text) for text in (program, whole))
    assert built == shown


def statements(program: str) -> set[str]:
    """All but imports, and the page."""
    return {
        ast.unparse(node)
        for node in ast.parse(program).body
        if not isinstance(node, ast.Import | ast.ImportFrom | ast.Expr) or "mount" in ast.unparse(node)
        if getattr(node, "name", "") != "page"
    }


def test_its_page_is_built_up_to_that_of_the_example() -> None:
    scripts = re.findall(r"^```js\n(.*?)^```", TUTORIAL.read_text(), re.DOTALL | re.MULTILINE)
    (temporary,) = [line for line in STEPS[0].splitlines() if '"Connected"' in line]
    lines = {line for text in (STEPS[0], *scripts) for line in page_of(text)} - {temporary}
    assert lines == set(page_of(EXAMPLE.read_text()))


def page_of(text: str) -> list[str]:
    return (text.partition('HTMLResponse(r"""')[2] or text).splitlines()
