"""What the pages on moving show before and after does the same to its clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.asgi_servers import uvicorn_serving
from support.client import RawClient
from support.modules import from_page
from support.pages import Page
from support.scripts import node
from support.session_client import Peer


@pytest.fixture
def channels_settings() -> Iterator[None]:
    pytest.importorskip("channels", reason="pip install channels")
    from django.conf import settings
    from django.utils.functional import empty

    before, settings._wrapped = settings._wrapped, empty
    settings.configure(CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}})
    yield
    settings._wrapped = before


@pytest.mark.usefixtures("channels_settings")
@pytest.mark.parametrize("title", ["before.py", "after.py"])
async def test_a_consumer_does_the_same_with_a_hub(title: str, tmp_path: Path) -> None:
    made = from_page("how-to/from-channels.md", title, tmp_path)
    async with uvicorn_serving(made.application) as (port, _):
        ann, bob, cid = [await RawClient.connect(port, f"/rooms/{room}") for room in ("lobby", "lobby", "other")]
        cid.text('{"text": "is cid there"}')
        assert json.loads(await cid.read()) == {"text": "is cid there"}
        for speaker, text in (bob, "is bob there"), (ann, "one"), (bob, "two"):
            speaker.text(json.dumps({"text": text}))
            assert [json.loads(await one.read()) for one in (ann, bob)] == [{"text": text}] * 2
        await bob.close()
        ann.text('{"text": "alone"}')
        assert json.loads(await ann.read()) == {"text": "alone"}


async def test_the_server_with_socketio_says_what_the_page_says(tmp_path: Path) -> None:
    socketio = pytest.importorskip("socketio", reason="pip install python-socketio")
    made = from_page("how-to/from-socketio.md", "before.py", tmp_path)
    heard: asyncio.Queue[Any] = asyncio.Queue()
    async with uvicorn_serving(made.app) as (port, _):
        ann = socketio.AsyncClient()
        ann.on("said", heard.put)
        await ann.connect(f"http://127.0.0.1:{port}", auth={"token": "token-of-ann"}, transports=["websocket"])
        await ann.call("join", "lobby")
        await ann.emit("say", {"room": "lobby", "text": "hi"})
        assert await asyncio.wait_for(heard.get(), 5) == {"user": "ann", "text": "hi"}
        assert await ann.call("add", [1, 2]) == 3
        await ann.disconnect()
        with pytest.raises(socketio.exceptions.ConnectionError):
            await socketio.AsyncClient().connect(f"http://127.0.0.1:{port}", transports=["websocket"], retry=False)


async def test_the_server_with_sessions_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, centrifuge_js: Path
) -> None:
    monkeypatch.setenv("CHAT_SECRET", "a secret of 32 random bytes or more")
    monkeypatch.delenv("HUBBUB_BROKER", raising=False)
    made = from_page("how-to/from-socketio.md", "after.py", tmp_path)
    async with uvicorn_serving(made.app) as (port, _):
        ann = Peer(f"ws://127.0.0.1:{port}/connection/websocket")
        await ann.connect(token=made.tokens.make("ann", ttl=60))
        assert (await ann.subscribe("chat:lobby"))["subscribe"]["recoverable"]
        await ann.ask(publish={"channel": "chat:lobby", "data": {"text": "hi"}})
        (said,) = ann.got["chat:lobby"]
        assert (said["info"]["user"], said["data"]) == ("ann", {"text": "hi"})
        assert (await ann.ask(rpc={"method": "add", "data": [1, 2]}))["rpc"]["data"] == 3
        assert (await ann.ask(publish={"channel": "chat:lobby", "data": {"text": 7}}))["error"]["code"] == 107
        await ann.close()
        page = [block.text for block in Page("how-to/from-socketio.md").blocks if block.language == "js"][-1]
        script = page.replace("wss://chat.example.com", f"ws://127.0.0.1:{port}").replace(
            "{ token }", "{ token: TOKEN }"
        )
        print_them = "const say = console.log; console.log = (...what) => say(JSON.stringify(what));\n"
        (tmp_path / "node_modules").symlink_to(centrifuge_js.parents[2])
        main = script.replace(
            ";\n", f";\n{print_them}const TOKEN = {json.dumps(made.tokens.make('bob', ttl=60))};\n", 1
        )
        async with node(tmp_path, main=f"{main}console.log(total);") as (_, told):
            assert await told() == ["bob", "hi"]
            assert await told() == [3]
        await made.rt.close()
