"""The demo's server: what it needs, and what it refuses, in pure Python and compiled."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

import hubbub
from hubbub.demo import app
from support.client import RawClient
from support.demo import demo

MISSING = ("jwt", "google", "httptools", "prometheus_client", "hiredis", "nkeys")  # extras beyond `serve`
WITHOUT = f"import sys; sys.modules |= dict.fromkeys({MISSING}); from hubbub.__main__ import main; main()"
HELLO = {"id": 1, "connect": {"data": {"name": " Ann  of\tHere ", "secret": "s"}}}


async def ask(client: RawClient, **command: Any) -> dict[str, Any]:
    """What comes next for that command."""
    client.text(json.dumps({"id": 9, **command}))
    while True:
        for line in str(await client.read()).split("\n"):
            said: dict[str, Any] = json.loads(line)
            if said.get("id"):
                return said


@pytest.mark.parametrize("native", ["", "0"], ids=["as built", "pure Python"])
async def test_it_needs_no_more_than_the_extra_serve_and_refuses_in_words(native: str) -> None:
    command = [sys.executable, "-c", WITHOUT, "demo", "--broker"]
    async with demo(command=command, HUBBUB_NATIVE=native) as (_, port):
        for data in ({}, {"name": "Ann"}, {"name": "x" * 31, "secret": "s"}, {"name": "\u200b", "secret": "s"}, "Ann"):
            client = await RawClient.connect(port, "/connection/websocket")
            assert (await ask(client, connect={"data": data}))["error"]["code"] == 400
            client.kill()
        client = await RawClient.connect(port, "/connection/websocket")
        welcomed = (await ask(client, **HELLO))["connect"]
        assert len(welcomed["data"]["user"]) == 16
        for refused, code in [
            ({"subscribe": {"channel": "room:" + "x" * 41}}, 400),
            ({"subscribe": {"channel": "room:"}}, 107),
            ({"subscribe": {"channel": "lobby"}}, 103),
            ({"subscribe": {"channel": "other:lobby"}}, 102),
            ({"publish": {"channel": "news:rooms", "data": 1}}, 103),
            ({"publish": {"channel": "typing:lobby", "data": True}}, 103),
            ({"publish": {"channel": "room:lobby", "data": {"text": " \n "}}}, 400),
            ({"publish": {"channel": "room:lobby", "data": {"text": "x" * 2001}}}, 400),
            ({"publish": {"channel": "room:lobby", "data": "text"}}, 107),
            ({"history": {"channel": "room:lobby", "limit": 1}}, 103),
        ]:
            assert (await ask(client, **refused))["error"]["code"] == code, refused
        assert "subscribe" in await ask(client, subscribe={"channel": "room:كافيه"})
        here = (await ask(client, presence={"channel": "room:كافيه"}))["presence"]["presence"]
        assert [one["conn_info"] for one in here.values()] == [{"name": "Ann of Here"}]
        await client.close()


async def test_the_page_runs_and_loads_nothing_of_others() -> None:
    for file in (Path(hubbub.__file__).parent / "demo" / "static").iterdir():
        assert set(re.findall(r"https?://[^\s\"']+", file.read_text())) <= {"http://www.w3.org/2000/svg"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://demo") as client:
        page = await client.get("/")
        assert page.headers["content-security-policy"].startswith("default-src 'self'; ")
        for name in re.findall(r'(?:src|href)="([^"#]+)"', page.text):
            assert (await client.get(f"/{name}")).status_code == 200


async def test_what_it_keeps_is_in_a_file_of_the_users_own(tmp_path: Path) -> None:
    """Without a word about where."""
    command = [sys.executable, "-m", "hubbub", "demo", "--log-level"]
    async with demo("warning", command=command, XDG_RUNTIME_DIR=str(tmp_path), HUBBUB_BROKER="") as (server, port):
        assert server.stdout is not None
        assert f"in {tmp_path}/hubbub/demo.db" in (await server.stdout.readline()).decode()
        client = await RawClient.connect(port, "/connection/websocket")
        assert "connect" in await ask(client, **HELLO)
        await ask(client, subscribe={"channel": "room:lobby"})
        assert await ask(client, publish={"channel": "room:lobby", "data": {"text": "hi"}}) == {"id": 9, "publish": {}}
        assert (tmp_path / "hubbub").stat().st_mode & 0o077 == 0
        await client.close()
