"""Every example runs, and is short."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import httpx
import pytest

import hubbub
from support.asgi_servers import uvicorn_serving
from support.client import RawClient
from support.processes import running
from support.serving import serving, until
from support.session_client import Peer, PeerClosed

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"examples.{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_has_a_test(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 60
    assert path.stem in Path(__file__).read_text()


async def test_chat() -> None:
    chat = load("chat")
    async with serving(chat.Chat, hub=chat.hub) as server:
        ann, bob = await RawClient.connect(server.port), await RawClient.connect(server.port)
        for client in (ann, bob):
            client.text('{"join": "lobby"}')
        await until(lambda: chat.hub.count("lobby") == 2)
        ann.text('{"say": "hello", "to": "lobby"}')
        assert (await ann.read(), await bob.read()) == ("hello", "hello")
        bob.text('{"leave": "lobby"}')
        await until(lambda: chat.hub.count("lobby") == 1)
        bob.text('{"say": "not a member", "to": "lobby"}')
        assert await bob.read_close() == (3000, "invalid payload")


async def test_realtime_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBUB_BROKER", "memory:")
    monkeypatch.setenv("CHAT_SECRET", "a secret of 32 random bytes or more")
    example = load("realtime_chat")
    async with (
        uvicorn_serving(example.app) as (port, _),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        ann, bob = (Peer(f"ws://127.0.0.1:{port}/connection/websocket") for _ in range(2))
        for peer, name in (ann, "ann"), (bob, "bob"):
            await peer.connect(token=(await http.get("/token", params={"name": name})).text)
            await peer.subscribe("chat:lobby")
        assert "publish" in await ann.ask(publish={"channel": "chat:lobby", "data": {"text": " hello "}})
        await bob.until(lambda: bob.bodies("chat:lobby") == [{"text": "hello"}])
        assert bob.got["chat:lobby"][0]["info"]["user"] == "ann"
        here = (await bob.ask(presence={"channel": "chat:lobby"}))["presence"]["presence"]
        assert sorted(one["user"] for one in here.values()) == ["ann", "bob"]
        refused = await ann.ask(publish={"channel": "chat:lobby", "data": {"text": 7}})
        assert refused["error"]["code"] == 107
        nobody = Peer(ann.url)
        await nobody.open()
        with pytest.raises(PeerClosed):
            await nobody.ask(connect={"token": "forged"})
        assert nobody.code == 3500
        assert "centrifuge.js" in (await http.get("/")).text
        for peer in (ann, bob, nobody):
            await peer.close()
        await example.rt.close()


async def test_fastapi_chat() -> None:
    example = load("fastapi_chat")
    async with (
        uvicorn_serving(example.app) as (port, _),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        ann = await RawClient.connect(port, "/rooms/lobby?name=ann")
        await until(lambda: example.hub.count("lobby") == 1)
        bob = await RawClient.connect(port, "/rooms/lobby?name=bob")
        assert await ann.read() == "bob came"
        bob.text("hi")
        assert (await ann.read(), await bob.read()) == ("bob: hi", "bob: hi")
        assert sorted((await http.get("/rooms/lobby")).json()) == ["ann", "bob"]
        assert (await http.post("/rooms/lobby?text=news")).json() == {"handed_to": 2}
        assert (await ann.read(), await bob.read()) == ("news", "news")
        await bob.close()
        assert await ann.read() == "bob left"


async def test_django_chat() -> None:
    example = load("django_chat")
    async with uvicorn_serving(example.application) as (port, _):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            ann, bob = await RawClient.connect(port, "/rooms/lobby"), await RawClient.connect(port, "/rooms/lobby")
            await until(lambda: example.hub.count("lobby") == 2)
            ann.text("hi")
            assert (await ann.read(), await bob.read()) == ("hi", "hi")
            assert (await http.post("/rooms/lobby", content="news")).json() == {"handed_to": 2}
            assert (await ann.read(), await bob.read()) == ("news", "news")
            assert (await http.get("/rooms/lobby")).json() == {"members": 2}


async def test_celery_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real worker, which forks; what it is asked for lies in a folder."""
    pytest.importorskip("celery", reason="pip install celery")
    (tmp_path / "celeryconfig.py").write_text(
        f"""broker_url = "filesystem://"
broker_transport_options = dict.fromkeys(
    ["data_folder_in", "data_folder_out", "control_folder"], {str(tmp_path)!r}
)"""
    )
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("HUBBUB_BROKER", "local:")
    monkeypatch.setenv("PYTHONPATH", f"{EXAMPLES}:{tmp_path}")
    hub = hubbub.Hub()

    class Member(hubbub.Handler):
        def opened(self) -> None:
            hub.join("lobby", self.socket)

    ask = "[t.announce.apply_async(('lobby', text), task_id=text) for text in ('news', 'news', 'the end')]"
    prepare = "import celery_tasks as t; t.app.config_from_object('celeryconfig')\n"
    worker = [sys.executable, "-c", f"{prepare}t.app.worker_main(['worker', '-c', '1', '-l', 'warning'])"]
    async with serving(Member, hub=hub) as server, running(worker, cwd=tmp_path):
        client = await RawClient.connect(server.port)
        async with running([sys.executable, "-c", prepare + ask], cwd=tmp_path) as publisher:
            assert await publisher.wait() == 0
        await until(lambda: hub.statistics().broker.received == 2, 20)  # type: ignore[union-attr]
        # The same task published once. A folder as Celery's broker keeps no order.
        assert {await client.read(), await client.read()} == {"news", "the end"}
    await hub.close()


async def test_ticker() -> None:
    code = "import asyncio, examples.ticker as t; asyncio.run(t.main(port=0))"
    async with running([sys.executable, "-u", "-c", code], cwd=EXAMPLES.parent) as process:
        assert process.stdout is not None
        found = re.search(rb":(\d+)", await process.stdout.readline())
        assert found is not None
        client = await RawClient.connect(int(found[1]))
        first = await client.read()
        assert isinstance(first, str)
        assert re.fullmatch(r"tick \d+", first)
        client.kill()
