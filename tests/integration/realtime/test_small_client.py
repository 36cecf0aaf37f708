"""`client.js`, which mounts bring along, does what the published library does with tokens, refusals and questions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Mount, Route

from hubbub.realtime import Client, History, Namespace, Realtime, Tokens
from support.asgi_servers import uvicorn_serving
from support.browser import chromium, needs_chromium

pytestmark = pytest.mark.browser
SCRIPT = """async () => {
    const log = [];
    const note = (word) => ({ code, error, data }) => log.push(`${word} ${code ?? error?.code ?? data?.n ?? ""}`);
    const getToken = async () => (await fetch("/token")).text();
    const client = new Centrifuge(location.origin.replace("http", "ws") + "/connection/websocket", { getToken });
    const until = async (text) => {
        while (!log.includes(text)) await new Promise((resolve) => setTimeout(resolve, 10));
    };
    for (const event of ["connecting", "connected", "disconnected", "error"]) client.on(event, note(event));
    const news = client.newSubscription("news"), closed = client.newSubscription("closed:x");
    for (const event of ["subscribed", "publication"]) news.on(event, note(event));
    closed.on("unsubscribed", note("refused")).subscribe();
    news.subscribe();
    client.connect();
    await until("subscribed ");
    await until("refused 103");
    await news.publish({ n: 1 });
    await until("publication 1");
    log.push(`rpc ${(await client.rpc("add", [1, 2])).data}`);
    log.push(`here ${Object.keys((await news.presence()).clients).length}, ${(await news.presenceStats()).numUsers}`);
    log.push(`kept ${(await news.history({ limit: 5 })).publications.length}`);
    await client.rpc("refreshed", null);
    const before = client.state;
    await client.rpc("leave", null).catch(() => {});
    await until("disconnected 3503");
    return [log, before, client.state];
}"""


@needs_chromium
async def test_tokens_are_renewed_and_refusals_told() -> None:
    tokens, given = Tokens(hmac="a secret of 32 random bytes or more"), list[int]()
    rooms = Namespace(
        allow_subscribe_for_client=True, allow_publish_for_client=True, history=History(10, ttl=60),
        presence=True, allow_presence_for_client=True, allow_history_for_client=True,
    )  # fmt: skip
    rt = Realtime(tokens=tokens, namespaces={"": rooms, "closed": Namespace()})

    @rt.rpc("add")
    def add(client: Client, numbers: list[int]) -> int:
        return sum(numbers)

    @rt.rpc("refreshed")
    async def refreshed(client: Client, _: Any) -> None:
        """Answers when another token has come, over the connection as it is."""
        while len(given) < 3:
            await asyncio.sleep(0.02)

    @rt.rpc("leave")
    def leave(client: Client, _: Any) -> None:
        client.disconnect()

    async def token(request: Request) -> PlainTextResponse:
        given.append(2 if given else -5)  # the first one has expired already
        return PlainTextResponse(tokens.make("ann", ttl=given[-1]))

    async def page(request: Request) -> HTMLResponse:
        return HTMLResponse('<script src="/connection/client.js"></script>')

    app = Starlette(routes=[Mount("/connection", rt.asgi()), Route("/token", token), Route("/", page)])
    async with uvicorn_serving(app) as (port, _), chromium() as browser:
        opened = await browser.new_page()
        await opened.goto(f"http://127.0.0.1:{port}/")
        log, before, after = await opened.evaluate(SCRIPT)
    await rt.close()
    assert log[:3] == ["connecting 0", "error 109", "connecting 1005"]
    assert sorted(log[3:6]) == ["connected ", "refused 103", "subscribed "]
    assert log[6:] == ["publication 1", "rpc 3", "here 1, 1", "kept 1", "disconnected 3503"]
    assert (before, after) == ("connected", "disconnected")
