"""What a server says to those who come with something else than an upgrade, or from a page that may not connect."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

import hubbub
import hubbub.asgi
from support.asgi_servers import uvicorn_serving
from support.client import RawClient
from support.serving import Echo, serving, until

BOTH_LOOPS = True

BROWSER = "GET {path} HTTP/1.1\r\nHost: test\r\nAccept: text/html,*/*;q=0.8\r\nConnection: keep-alive\r\n\r\n"


async def get(client: RawClient, path: str = "/") -> str:
    """What a browser shows, or a load balancer gets."""
    client.send(BROWSER.format(path=path).encode())
    await client.read_answer()
    async with asyncio.timeout(5):
        body = await client.reader.readexactly(int(client.headers["content-length"]))
    assert await client.at_end()
    return body.decode()


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of the server and of clients."""
    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    authority.configure_trust(theirs)
    return ours, theirs


@pytest.fixture(params=["plain", "tls", "unix"])
async def dial(
    request: pytest.FixtureRequest, contexts: tuple[ssl.SSLContext, ssl.SSLContext], tmp_path: Path
) -> AsyncIterator[tuple[hubbub.Server, dict[str, object]]]:
    """A server, and how to reach it."""
    handler, path = Echo.fresh(), str(tmp_path / "x.sock")
    settings = {"plain": {}, "tls": {"ssl": contexts[0]}, "unix": {"uds": path}}[request.param]
    async with serving(handler, **settings) as server:
        reached = {"plain": {}, "tls": {"ssl": contexts[1]}, "unix": {"uds": path}}[request.param]
        yield server, reached if request.param == "unix" else {"port": server.port, **reached}
        assert not handler.everyone, "nobody's handler hears of any of this"


async def test_a_browser_is_told_what_this_is(dial: tuple[hubbub.Server, dict[str, object]]) -> None:
    server, where = dial
    client = await RawClient.dial(**where)  # type: ignore[arg-type]
    assert (await get(client)).startswith("This is a WebSocket server: open it with a WebSocket client")
    assert (client.status, client.headers["upgrade"]) == (426, "websocket")
    assert client.headers["content-type"] == "text/plain; charset=utf-8"
    assert server.statistics().refused == {"upgrade": 1}


async def test_a_load_balancer_is_told_that_the_server_works(dial: tuple[hubbub.Server, dict[str, object]]) -> None:
    server, where = dial
    for path in ("/health", "/health?from=balancer"):
        client = await RawClient.dial(**where)  # type: ignore[arg-type]
        assert await get(client, path) == "ok\n"
        assert (client.status, "error" in client.headers) == (200, False)
    assert server.statistics().refused == {}


async def test_the_path_of_health_is_the_programs_to_choose_and_its_websockets_are_its_own() -> None:
    async with serving(Echo.fresh()) as server:
        client = await RawClient.connect(server.port, "/health")
        client.text("hello")
        assert await client.read() == "hello"
    for health, answers in (("/live", {"/live": 200, "/health": 426}), (None, {"/health": 426, "/": 426})):
        async with serving(Echo.fresh(), health=health) as server:
            for path, status in answers.items():
                client = await RawClient.dial(server.port)
                await get(client, path)
                assert client.status == status


async def test_a_server_that_takes_nobody_more_says_so_of_its_health() -> None:
    async with serving(Echo.fresh(), limits=hubbub.Limits(max_connections=1)) as server:
        first = await RawClient.connect(server.port)
        assert first.status == 101
        client = await RawClient.dial(server.port)
        await get(client, "/health")
        assert (client.status, client.headers["error"]) == (503, "capacity")


PAGES = {"https://good.example": 101, "https://sub.good.example": 403, "https://evil.example": 403, "null": 403}


@pytest.mark.parametrize("origin", [None, *PAGES])
async def test_only_pages_of_the_listed_origins_may_connect(origin: str | None) -> None:
    handler = Echo.fresh()
    async with serving(handler, allowed_origins=["https://good.example"]) as server:
        client = await RawClient.connect(server.port, headers=f"Origin: {origin}\r\n" if origin else "")
        expected = PAGES.get(origin or "", 101)
        assert (client.status, client.headers.get("error")) == (expected, None if expected == 101 else "origin")
        assert len(handler.everyone) == (expected == 101)
        assert server.statistics().refused == ({} if expected == 101 else {"origin": 1})


async def test_without_a_list_all_pages_may() -> None:
    async with serving(Echo.fresh()) as server:
        assert (await RawClient.connect(server.port, headers="Origin: https://any.example\r\n")).status == 101


async def test_a_list_holds_for_an_application_on_uvicorn_as_well() -> None:
    class Protocol(hubbub.asgi.WebSocketProtocol):
        allowed_origins = ("https://good.example",)

    asked = []

    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        asked.append(scope["path"])
        await send({"type": "websocket.accept"})  # type: ignore[operator]
        await receive()  # type: ignore[operator]

    async with uvicorn_serving(app, ws=Protocol) as (port, _):
        for path, origin in (("/good", "https://good.example"), ("/evil", "https://evil.example")):
            client = await RawClient.connect(port, path, headers=f"Origin: {origin}\r\n")
            assert client.status == (101 if path == "/good" else 403)
        await until(lambda: asked == ["/good"])
