"""Rooms over `hubbub.asgi.socket`, for ASGI servers in processes of their own: under /raw/NAME and /starlette/NAME."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

import hubbub
import hubbub.asgi

hub = hubbub.Hub()


def enter(name: str, socket: hubbub.Socket) -> None:
    hub.join("room", socket)
    socket.write(f"private for {name}")


def announce(name: str, socket: hubbub.Socket) -> None:
    """Who left, as an endpoint tells it in its `finally`."""
    for channel in socket.left:
        hub.broadcast(channel, f"{name} left {channel}: open {socket.is_open}, in {hub.channels_of(socket)}")


async def in_starlette(websocket: WebSocket) -> None:
    name = websocket.path_params["name"]
    await websocket.accept()
    socket = hubbub.asgi.socket(websocket)
    enter(name, socket)
    try:
        async for text in websocket.iter_text():
            hub.broadcast("room", f"{name}: {text}")
    finally:
        announce(name, socket)


async def in_asgi(scope: Any, receive: Any, send: Any) -> None:
    name = scope["path"].rpartition("/")[2]
    await receive()
    await send({"type": "websocket.accept"})
    socket = hubbub.asgi.socket(scope, send)
    enter(name, socket)
    try:
        while (message := await receive())["type"] == "websocket.receive":
            if message["text"] == "scope":
                socket.write(plain(scope, send, socket))
            else:
                hub.broadcast("room", f"{name}: {message['text']}")
    finally:
        socket.close()  # on a server that is not ours only the endpoint knows that the client is gone
        announce(name, socket)


def plain(scope: Any, send: Any, socket: hubbub.Socket) -> str:
    """Whether the scope is data, and leads to the same socket through copies of it and wrapped around `send`."""

    async def wrapped(message: Any) -> None:
        await send(message)

    data = {key: value for key, value in scope.items() if key != "state"}  # that is the framework's
    copies = [copy.deepcopy(data), pickle.loads(pickle.dumps(data)), dict(data)]
    json.dumps(data, default=lambda value: value.decode("latin-1"))
    same = [hubbub.asgi.socket(scope, send)]
    same += [hubbub.asgi.socket(each, sending) for each in copies for sending in (send, wrapped)]
    return f"plain, and {'the same' if all(each is socket for each in same) else 'another'} socket"


starlette = Starlette(routes=[WebSocketRoute("/starlette/{name}", in_starlette)])


async def app(scope: Any, receive: Any, send: Any) -> None:
    await (in_asgi if scope.get("path", "").startswith("/raw") else starlette)(scope, receive, send)
