"""The same rooms inside Starlette, on uvicorn with hubbub as its WebSocket implementation."""

from __future__ import annotations

import sys

import stall
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

import hubbub
import hubbub.asgi

hub = hubbub.Hub()


async def room(websocket: WebSocket) -> None:
    stall.watch()
    await websocket.accept()
    name = websocket.path_params["room"]
    hub.join(name, hubbub.asgi.socket(websocket))
    async for data in websocket.iter_bytes():
        hub.broadcast(name, data)


async def echo(websocket: WebSocket) -> None:
    stall.watch()
    await websocket.accept()
    async for data in websocket.iter_bytes():
        await websocket.send_bytes(data)


app = Starlette(routes=[WebSocketRoute("/room/{room}", room), WebSocketRoute("/echo", echo)])

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), ws=hubbub.asgi.WebSocketProtocol, log_level="critical", backlog=4096)
