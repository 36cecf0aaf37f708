"""The same room inside Starlette, on uvicorn with hubbub as its WebSocket implementation."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

import hubbub
import hubbub.asgi

hub = hubbub.Hub()


async def room(websocket: WebSocket) -> None:
    await websocket.accept()
    hub.join("room", hubbub.asgi.socket(websocket))
    async for data in websocket.iter_bytes():
        hub.broadcast("room", data)


app = Starlette(routes=[WebSocketRoute("/", room)])

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), ws=hubbub.asgi.WebSocketProtocol, log_level="critical", backlog=4096)
