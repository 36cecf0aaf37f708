"""What `hubbub.asgi.socket` takes for a connection of which framework, and what becomes of a `send` that raises."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import fastapi
import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

import hubbub
import hubbub.asgi
from hubbub.asgi.sender import says_gone
from support.asgi_servers import uvicorn_serving
from support.client import RawClient
from support.serving import until

BOTH_LOOPS = True
OURS_AND_ANOTHER = pytest.mark.parametrize("ws", [hubbub.asgi.WebSocketProtocol, "wsproto"], ids=["hubbub", "wsproto"])

SCOPE = {"type": "websocket", "path": "/", "client": None}


class Rooms:
    """A hub, and what endpoints have seen."""

    def __init__(self) -> None:
        self.hub = hubbub.Hub()
        self.seen: list[Any] = []

    def join(self, *target: Any) -> hubbub.Socket:
        socket = hubbub.asgi.socket(*target)
        self.hub.join("room", socket)
        return socket

    def see_the_end_of(self, socket: hubbub.Socket) -> None:
        self.seen.append((socket.is_open, self.hub.channels_of(socket), socket.left))

    async def test(self, app: Any, ws: Any, path: str = "/") -> None:
        """One client hears a broadcast and breaks off; the endpoint has seen that it had left."""
        async with uvicorn_serving(app, ws=ws) as (port, _):
            client = await RawClient.connect(port, path)
            await until(lambda: self.hub.count("room") == 1)
            self.hub.broadcast("room", "hello")
            assert await client.read() == "hello"
            client.kill()
            await until(lambda: self.seen)
        assert self.seen == [(False, [], ("room",))]


@OURS_AND_ANOTHER
async def test_starlettes_websocket(ws: Any) -> None:
    rooms = Rooms()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        socket = rooms.join(websocket)
        try:
            await websocket.receive_text()
        finally:
            rooms.see_the_end_of(socket)

    await rooms.test(Starlette(routes=[WebSocketRoute("/", endpoint)]), ws)


@OURS_AND_ANOTHER
async def test_fastapis_websocket_in_a_dependency_and_the_endpoint(ws: Any) -> None:
    rooms, app = Rooms(), fastapi.FastAPI()

    async def joined(websocket: fastapi.WebSocket) -> Any:
        await websocket.accept()
        socket = rooms.join(websocket)
        yield socket
        rooms.see_the_end_of(socket)

    @app.websocket("/")
    async def endpoint(websocket: fastapi.WebSocket, socket: Any = fastapi.Depends(joined)) -> None:  # noqa: B008
        assert hubbub.asgi.socket(websocket) is socket
        async for _ in websocket.iter_text():
            pass

    await rooms.test(app, ws)


@OURS_AND_ANOTHER
async def test_litestars_websocket(ws: Any) -> None:
    litestar = pytest.importorskip("litestar")
    rooms = Rooms()

    async def endpoint(socket: Any) -> None:
        await socket.accept()
        joined = rooms.join(socket)
        try:
            await socket.receive_text()
        finally:
            rooms.see_the_end_of(joined)

    endpoint.__annotations__.update({"socket": litestar.WebSocket, "return": None})
    await rooms.test(litestar.Litestar([litestar.websocket("/")(endpoint)], logging_config=None), ws)


@OURS_AND_ANOTHER
async def test_an_asynchronous_consumer_of_channels(ws: Any) -> None:
    pytest.importorskip("channels")
    from django.conf import settings

    if not settings.configured:  # as the example does, which may be run in the same process
        settings.configure(ROOT_URLCONF="examples.django_chat", SECRET_KEY="none", ALLOWED_HOSTS=["*"])
    from channels.generic.websocket import AsyncWebsocketConsumer

    rooms = Rooms()

    class Consumer(AsyncWebsocketConsumer):  # type: ignore[misc]
        async def connect(self) -> None:
            await self.accept()
            self.socket = rooms.join(self)

        async def disconnect(self, code: int) -> None:
            rooms.see_the_end_of(self.socket)

    await rooms.test(Consumer.as_asgi(), ws)


async def test_quarts_websocket_is_known_on_our_own_server_and_refused_on_another() -> None:
    quart = pytest.importorskip("quart")
    rooms, refused, app = Rooms(), [], quart.Quart(__name__)

    @app.websocket("/")
    async def endpoint() -> None:
        await quart.websocket.accept()
        try:
            socket = rooms.join(quart.websocket)
        except hubbub.Misuse as misuse:
            refused.append(str(misuse))
            return
        try:
            await quart.websocket.receive()
        finally:
            rooms.see_the_end_of(socket)

    await rooms.test(app, hubbub.asgi.WebSocketProtocol)
    async with uvicorn_serving(app, ws="wsproto") as (port, _):
        await RawClient.connect(port)
        await until(lambda: refused)
    assert "has no `send` that is known to take ASGI messages: pass" in refused[0]


class HighLevel:
    """A framework's WebSocket whose `send` takes a text."""

    def __init__(self, scope: Any) -> None:
        self.scope = scope

    async def send(self, text: str) -> None:
        raise AssertionError("nobody knows what it takes")


async def test_what_has_a_send_of_its_own_meaning_is_refused_before_anything_is_lost() -> None:
    with pytest.raises(
        hubbub.Misuse, match=r"HighLevel has no `send` that is known .*hubbub\.asgi\.socket\(scope, send"
    ):
        hubbub.asgi.socket(HighLevel(dict(SCOPE)))


def test_an_endpoint_without_an_event_loop_is_told() -> None:
    async def send(message: Any) -> None: ...

    with pytest.raises(hubbub.Misuse, match="asynchronous endpoint"):
        hubbub.asgi.socket(dict(SCOPE), send)


@pytest.mark.parametrize("ws", [hubbub.asgi.WebSocketProtocol, "wsproto", "websockets-sansio"])
async def test_a_socket_before_accept_is_refused(ws: Any) -> None:
    told: list[str] = []

    async def endpoint(websocket: WebSocket) -> None:
        with pytest.raises(hubbub.Misuse) as caught:
            hubbub.asgi.socket(websocket)
        told.append(str(caught.value))
        await websocket.accept()
        hubbub.asgi.socket(websocket).write("now")
        await websocket.receive()

    async with uvicorn_serving(Starlette(routes=[WebSocketRoute("/", endpoint)]), ws=ws) as (port, _):
        assert await (await RawClient.connect(port)).read() == "now"
    assert told[0].startswith("accept the connection first")


async def test_a_socket_of_a_connection_that_is_over_is_closed() -> None:
    seen: list[bool] = []

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        with pytest.raises(WebSocketDisconnect):
            await websocket.receive_text()
        socket = hubbub.asgi.socket(websocket)
        seen.append(socket.is_open or hubbub.Hub().join("room", socket))

    async with uvicorn_serving(Starlette(routes=[WebSocketRoute("/", endpoint)]), ws="wsproto") as (port, _):
        (await RawClient.connect(port)).kill()
        await until(lambda: seen)
    assert seen == [False]


class Panic(BaseException):
    """What a compiled extension may raise."""


class Sent:
    """An application's `send` that raises `error` for what is no close."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
        self.messages: list[Any] = []

    async def __call__(self, message: Any) -> None:
        self.messages.append(message)
        if self.error is not None and message["type"] == "websocket.send":
            raise self.error


MISTAKES = [TypeError("unexpected keyword"), RuntimeError("Expected ASGI message 'websocket.accept'"), Panic("boom")]


@pytest.mark.parametrize("error", MISTAKES, ids=lambda error: type(error).__name__)
async def test_a_send_that_fails_is_logged_once_and_counted_and_closes(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    hub, send = hubbub.Hub(), Sent(error)
    socket = hubbub.asgi.socket(dict(SCOPE), send)
    hub.join("room", socket)
    for number in range(3):
        hub.broadcast("room", str(number))
    await until(lambda: len(send.messages) == 2)
    assert not socket.is_open
    assert (hub.count("room"), socket.left) == (0, ("room",))
    assert hub.statistics().drops["error"] == 1
    assert send.messages[1] == {"type": "websocket.close", "code": 1011, "reason": "internal error"}
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[1] is error


GONE = [
    OSError("gone"),
    hubbub.Disconnected("gone"),
    WebSocketDisconnect(1006),
    WebSocketDisconnected('Cannot call "send" once a close message has been sent.'),
    RuntimeError("Unexpected ASGI message 'websocket.send', after sending 'websocket.close'."),
    RuntimeError("Attempt to send on a closed protocol"),
]


@pytest.mark.parametrize("error", GONE, ids=repr)
async def test_a_send_that_says_that_the_client_is_gone_is_no_error(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    hub, send = hubbub.Hub(), Sent(error)
    socket = hubbub.asgi.socket(dict(SCOPE), send)
    hub.join("room", socket)
    hub.broadcast("room", "hello")
    await until(lambda: not socket.is_open)
    assert hub.statistics().drops.get("error", 0) == 0
    assert not caplog.records
    assert says_gone(error)


async def test_a_send_that_never_returns_costs_its_socket_and_is_counted() -> None:
    async def send(message: Any) -> None:
        if message["type"] == "websocket.send":
            await asyncio.Event().wait()
        closes.append(message["code"])

    closes: list[int] = []
    hub = hubbub.Hub()
    socket = hubbub.asgi.socket(dict(SCOPE), send, limits=hubbub.Limits(backlog_timeout=0.05))
    hub.join("room", socket)
    hub.broadcast("room", "hello")
    await until(lambda: closes)
    assert (closes, socket.is_open, hub.count("room")) == ([1008], False, 0)
    assert hub.statistics().drops["overflow"] == 1


async def test_two_connections_in_one_task_are_two_sockets() -> None:
    ann, bob = Sent(None), Sent(None)
    sockets = [hubbub.asgi.socket(dict(SCOPE), send) for send in (ann, bob)]
    assert hubbub.asgi.socket(dict(SCOPE), ann) is sockets[0]
    sockets[1].write("for Bob")
    await until(lambda: bob.messages)
    assert not ann.messages


async def test_a_scope_that_a_server_shares_is_nobodys_name() -> None:
    shared: dict[str, Any] = {**SCOPE, "extensions": {}}
    done = asyncio.Event()

    async def endpoint(send: Sent) -> hubbub.Socket:
        socket = hubbub.asgi.socket(shared, send)
        await done.wait()
        return socket

    ann, bob = Sent(None), Sent(None)
    tasks = [asyncio.create_task(endpoint(send)) for send in (ann, bob)]
    await asyncio.sleep(0)
    done.set()
    first, second = await asyncio.gather(*tasks)
    assert first is not second
