"""The same room as Starlette's documentation would have it: a set of connections and a loop of `await send`."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

members: set[WebSocket] = set()


async def room(websocket: WebSocket) -> None:
    await websocket.accept()
    members.add(websocket)
    try:
        async for data in websocket.iter_bytes():
            for member in list(members):
                await member.send_bytes(data)
    finally:
        members.discard(websocket)


app = Starlette(routes=[WebSocketRoute("/", room)])

if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        log_level="critical",
        backlog=4096,
    )
