"""What the pages on sessions show works, and is so."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from hubbub.realtime import Realtime, Tokens
from support.asgi_servers import uvicorn_serving
from support.client import RawClient
from support.pages import Page
from support.serving import serving, until
from support.session_client import Peer, PeerClosed
from support.token_keys import forged, jwk


class Site:
    """Serves what a page has made."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.url = ""

    async def serve(self, rt: Realtime) -> None:
        server = await self._stack.enter_async_context(serving(rt.handler, hub=rt.hub))
        self._stack.push_async_callback(rt.close)
        self.url = f"ws://127.0.0.1:{server.port}"

    async def peer(self, cookie: str = "", **connect: Any) -> Peer:
        """A client that is connected."""
        peer = Peer(self.url)
        self._stack.push_async_callback(peer.close)
        await peer.open(additional_headers={"Cookie": cookie} if cookie else {})
        peer.id = (await peer.ask(connect=connect))["connect"]["client"]
        return peer


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        yield Site(stack)


def code(reply: dict[str, Any]) -> int:
    found: int = reply["error"]["code"]
    return found


async def test_permissions(site: Site) -> None:
    page = Page("how-to/permissions.md")
    await page.run(5)
    assert not page.left
    await site.serve(page.rt)
    nobody, ann, eve = await site.peer(), await site.peer("session=ann"), Peer(site.url)
    await eve.open(additional_headers={"Cookie": "session=eve"})
    assert code(await eve.ask(connect={})) == 403
    await eve.close()
    assert "subscribe" in await nobody.subscribe("news:all")
    assert code(await ann.subscribe("news:all")) == 105  # the server has subscribed her
    assert code(await nobody.subscribe("team:general")) == 103
    reply = (await ann.subscribe("team:general"))["subscribe"]
    assert reply["data"] == {"topic": "About general"}
    assert code(await ann.subscribe("nowhere:x")) == 102
    assert "subscribe" in await ann.subscribe("talk:room#ann,bob")
    assert code(await nobody.subscribe("talk:room#ann,bob")) == 103
    assert code(await ann.subscribe("$team:general")) == 103
    assert "publish" in await ann.ask(publish={"channel": "team:general", "data": {"text": "hi"}})
    await until(lambda: ann.bodies("team:general") == [{"text": "hi", "urgent": False}])
    info = ann.got["team:general"][0]["info"]
    assert (info["conn_info"], info["chan_info"]) == ({"name": "Ann"}, {"role": "member"})
    assert code(await ann.ask(publish={"channel": "team:general", "data": {"text": 7}})) == 107
    assert code(await nobody.ask(publish={"channel": "team:general", "data": {"text": "hi"}})) == 103
    assert code(await nobody.ask(publish={"channel": "news:all", "data": 1})) == 103
    assert code(await ann.ask(history={"channel": "team:general"})) == 103
    assert code(await ann.ask(presence={"channel": "news:all"})) == 108
    assert list((await ann.ask(presence={"channel": "team:general"}))["presence"]["presence"]) == [ann.id]
    assert (await ann.ask(rpc={"method": "add", "data": [1, 2]}))["rpc"]["data"] == 3
    assert code(await ann.ask(rpc={"method": "subtract", "data": [1, 2]})) == 104
    await ann.send({"send": {"data": {"a": "b"}}})
    await until(lambda: {"message": {"data": {"you said": {"a": "b"}}}} in ann.pushes)


async def test_tokens(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("jwks.json").write_text(json.dumps({"keys": [jwk("ES256", "one")]}))
    page = Page("how-to/tokens.md")
    await page.run(2)
    await site.serve(page.rt)
    ann = await site.peer(token=page.to_connect)
    assert "subscribe" in await ann.subscribe("team:general", token=page.to_subscribe)
    private = page.tokens.make("ann", ttl=60, channel="$team:general")
    assert "subscribe" in await ann.subscribe("$team:general", token=private)
    late = page.tokens.make("ann", ttl=-1, channel="team:other")
    assert code(await ann.subscribe("team:other", token=late)) == 109
    assert code(await ann.subscribe("team:other", token=forged({"alg": "none"}, {"channel": "team:other"}))) == 103
    assert code(await ann.subscribe("team:other", token=page.to_connect)) == 103
    for token, expected in [
        (page.tokens.make("ann", ttl=-1), 109),
        (page.to_subscribe, 3500),
        (forged({"alg": "HS256"}, {"sub": "ann"}, page.SECRET), 3500),  # no exp
        ("", 3501),
    ]:
        assert await refused(site, token) == expected
    with pytest.raises(PeerClosed):
        await ann.subscribe("team:other", token=page.to_subscribe)
    assert ann.code == 3500
    assert page.rt.statistics().disconnects[3500] == 3
    assert page.rt.statistics().errors[103] == 2
    server_side = page.tokens.make("cid", ttl=60, channels=["news:all"], meta={"id": 7})
    cid, bob = await site.peer(token=server_side), await site.peer(token=page.tokens.make("bob", ttl=60))
    assert "subscribe" in await bob.subscribe("team:x", token=page.tokens.make("bob", ttl=60, channel="team:x"))
    ann = await site.peer(token=page.to_connect)
    await page.run(4)
    assert not page.left
    soon = await site.peer(token=page.tokens.make("dan", ttl=None, exp=time.time() + 0.1))
    eve = await site.peer(token=page.tokens.make("eve", ttl=None, exp=time.time() + 0.1))
    await until(lambda: eve.code == 3005)
    assert not soon.code
    await until(lambda: (ann.code, bob.code) == (3503, 3005))
    assert not cid.code
    assert page.both.connection(page.to_connect).user == "ann"
    page.take({"keys": [jwk("EdDSA", "two")]})


async def refused(site: Site, token: str) -> int:
    peer = await Peer(site.url).open()
    try:
        return code(await peer.ask(connect={"token": token}))
    except PeerClosed:
        return peer.code
    finally:
        await peer.close()


async def test_presence(site: Site) -> None:
    page = Page("how-to/presence.md")
    await page.run(2)
    await site.serve(page.rt)
    ann, bob = await site.peer(), await site.peer()
    await ann.subscribe("room:lobby")
    await bob.subscribe("room:lobby")
    await until(lambda: [push for push in ann.pushes if "join" in push][1:])
    await page.run(3)
    assert not page.left
    assert set(page.here) == {ann.id, bob.id}
    assert (page.clients, page.different_users, page.users) == (2, 1, [""])
    await bob.ask(unsubscribe={"channel": "room:lobby"})
    await until(lambda: any("leave" in push for push in ann.pushes))
    assert page.seen == [("", "room:lobby", True)] * 2 + [("", "room:lobby", False)]


async def test_presence_without_sessions() -> None:
    page = Page("how-to/presence.md")
    page.left = [text for text in page.left if "class Room" in text]
    await page.run(1)
    async with serving(page.Room, hub=page.hub) as server:
        ann, bob = [await RawClient.connect(server.port) for _ in range(2)]
        ann.text("Ann")
        assert json.loads(await ann.read()) == {"here": ["Ann"]}
        bob.text("Bob")
        assert json.loads(await ann.read()) == {"here": ["Ann", "Bob"]}
        bob.text("hi")
        assert json.loads(await ann.read()) == {"said": "hi"}
        await bob.close()
        assert json.loads(await ann.read()) == {"here": ["Ann"]}


async def test_recovery(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    page = Page("how-to/recovery.md")
    page.left[0] = page.left[0].replace('"sqlite:chat.db"', '"memory:"')
    await page.run(1)
    assert page.published.offset == 1
    await site.serve(page.rt)
    wishes = [
        {"channel": "chat:lobby", "recover": True},
        {"channel": "score:1", "delta": "fossil"},
        {"channel": "order:all", "tf": {"key": "total", "cmp": "gte", "val": "100"}},
        {"channel": "price:ant"},
    ]
    ann = await site.peer()
    replies = [(await ann.ask(subscribe=wish))["subscribe"] for wish in wishes]
    assert [publication["data"] for publication in replies[0]["publications"]] == [{"text": "hello"}]
    await page.run(4)
    assert not page.left
    await until(lambda: len(ann.got["score:1"]) == 2 and ann.got["order:all"] and len(ann.got["chat:lobby"]) == 2)
    whole, patch = ann.got["score:1"]
    assert patch["delta"]
    assert len(patch["data"]) < 60
    patched = _applied(whole["data"].encode(), patch["data"].encode())
    assert json.loads(patched) == {**page.score, "goals": [1, 0]}
    assert page.again.suppressed == "repeated"
    assert page.again.offset == page.first.offset
    assert page.late.suppressed == "older"
    assert page.texts == ["paid", "hello"]
    late = await site.peer()
    latest = (await late.subscribe("price:ant"))["subscribe"]
    assert latest["recovered"]
    assert [publication["data"] for publication in latest["publications"]] == [{"eur": 3}]


def _applied(before: bytes, patch: bytes) -> bytes:
    theirs = pytest.importorskip("centrifuge.fossil", reason="pip install centrifuge-python")
    done: bytes = theirs.apply_delta(before, patch)
    return done


async def test_what_the_readme_and_the_page_on_deployment_show() -> None:
    def may_see(user: str, channel: str) -> bool:
        return user == "ann"

    secret, app = "a secret of 32 random bytes or more", Starlette()
    page = Page("../README.md", SECRET=secret, app=app, may_see=may_see)
    page.left = [block for block in page.left if "hubbub.realtime" in block]
    await page.run(1)
    assert not page.left
    tokens = Tokens(hmac=secret)
    async with uvicorn_serving(app) as (port, _):
        peers = [Peer(f"ws://127.0.0.1:{port}/connection/websocket") for _ in range(2)]
        for peer, user in zip(peers, ("ann", "bob"), strict=True):
            await peer.connect(token=tokens.make(user, ttl=60))
        ann, bob = peers
        assert (await ann.subscribe("chat:lobby"))["subscribe"]["recoverable"]
        assert (await bob.subscribe("chat:lobby"))["error"]["message"] == "not a member of this room"
        for peer in peers:
            await peer.close()
        await page.rt.close()
    deploy = Page("how-to/deploy.md", Realtime=Realtime, tokens=tokens, namespaces={})
    deploy.left = [block for block in deploy.left if "Realtime" in block]
    await deploy.run(1)
    assert not deploy.left
