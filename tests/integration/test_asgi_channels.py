"""`hubbub.asgi.socket`: endpoints' connections in channels, on uvicorn with hubbub and on other servers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

import hubbub
import hubbub.asgi
from support.asgi_servers import hypercorn_serving, uvicorn_serving
from support.client import RawClient
from support.serving import until

BOTH_LOOPS = True

SERVERS = ["hubbub", "websockets-sansio", "wsproto", "hypercorn"]


@contextlib.asynccontextmanager
async def any_server(name: str, app: Any) -> AsyncIterator[int]:
    if name == "hypercorn":
        async with hypercorn_serving(app) as port:
            yield port
    else:
        ws = hubbub.asgi.WebSocketProtocol if name == "hubbub" else name
        async with uvicorn_serving(app, ws=ws) as (port, _):
            yield port


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("raw", [False, True], ids=["starlette", "raw scope"])
async def test_endpoints_join_channels_and_leave_them_when_they_end(server: str, raw: bool) -> None:
    hub = hubbub.Hub()

    async def starlette_room(websocket: WebSocket) -> None:
        await websocket.accept()
        socket = hubbub.asgi.socket(websocket)
        assert hubbub.asgi.socket(websocket) is socket
        hub.join("room", socket, websocket.query_params["name"])
        async for text in websocket.iter_text():
            hub.broadcast("room", text)

    async def raw_room(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            raise NotImplementedError(scope["type"])
        await receive()
        await send({"type": "websocket.accept"})
        hub.join("room", hubbub.asgi.socket(scope, send), scope["query_string"].decode().partition("=")[2])
        while (message := await receive())["type"] == "websocket.receive":
            hub.broadcast("room", message["text"])

    app = raw_room if raw else Starlette(routes=[WebSocketRoute("/", starlette_room)])
    async with any_server(server, app) as port:
        ann, bob = await RawClient.connect(port, "/?name=ann"), await RawClient.connect(port, "/?name=bob")
        await until(lambda: hub.count("room") == 2)
        assert sorted(member.meta for member in hub.members("room")) == ["ann", "bob"]
        for number in range(20):
            ann.text(f"message {number}")
        for client in (ann, bob):
            assert [await client.read() for _ in range(20)] == [f"message {number}" for number in range(20)]
        await bob.close()
        await until(lambda: hub.count("room") == 1)
        hub.broadcast("room", b"\x01\x02")
        assert await ann.read() == b"\x01\x02"
        ann.kill()
        await until(lambda: hub.count("room") == 0)
        assert hub.statistics().connections == 0


@pytest.mark.parametrize("server", SERVERS)
async def test_a_socket_closes_with_its_code(server: str) -> None:
    async def room(websocket: WebSocket) -> None:
        await websocket.accept()
        socket = hubbub.asgi.socket(websocket)
        socket.write("last words")
        socket.close(4002, "over")
        assert socket.write("more") is False
        with contextlib.suppress(Exception):
            await websocket.receive_text()

    async with any_server(server, Starlette(routes=[WebSocketRoute("/", room)])) as port:
        client = await RawClient.connect(port)
        assert await client.read() == "last words"
        assert await client.read_close() == (4002, "over")


async def test_a_slow_client_on_another_server_runs_into_its_overflow_policy() -> None:
    hub = hubbub.Hub(overflow="drop-newest", limits=hubbub.Limits(max_backlog=100_000))

    async def room(websocket: WebSocket) -> None:
        await websocket.accept()
        hub.join("room", hubbub.asgi.socket(websocket, limits=hub.limits))
        async for _ in websocket.iter_text():
            pass

    async with any_server("websockets-sansio", Starlette(routes=[WebSocketRoute("/", room)])) as port:
        await RawClient.connect(port, limit=1024)
        await until(lambda: hub.count("room") == 1)

        def flood() -> bool:
            hub.broadcast("room", bytes(50_000))
            return hub.statistics().drops.get("overflow", 0) > 0

        await until(flood)
        assert hub.count("room") == 1


async def test_a_client_that_overflows_on_another_server_leaves_everything() -> None:
    hub = hubbub.Hub(limits=hubbub.Limits(max_backlog=100_000))

    async def room(websocket: WebSocket) -> None:
        await websocket.accept()
        hub.join("room", hubbub.asgi.socket(websocket, limits=hub.limits))
        async for _ in websocket.iter_text():
            pass

    async with any_server("websockets-sansio", Starlette(routes=[WebSocketRoute("/", room)])) as port:
        await RawClient.connect(port, limit=1024)
        await until(lambda: hub.count("room") == 1)

        def flood() -> bool:
            hub.broadcast("room", bytes(50_000))
            return hub.count("room") == 0

        await until(flood)
        assert hub.statistics().drops["overflow"] > 0


async def test_what_is_no_websocket_is_refused_with_advice() -> None:
    with pytest.raises(hubbub.Misuse, match="takes a WebSocket"):
        hubbub.asgi.socket({"type": "http"})
    with pytest.raises(hubbub.Misuse, match="takes a WebSocket"):
        hubbub.asgi.socket(object())
    with pytest.raises(hubbub.Misuse, match="pass the application's `send`"):
        hubbub.asgi.socket({"type": "websocket"})
