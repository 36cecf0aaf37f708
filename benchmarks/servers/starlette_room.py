"""Rooms as Starlette's documentation would have them: a set of connections and a loop of `await send`."""

from __future__ import annotations

import os
import sys
from collections import defaultdict

import stall
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

rooms: defaultdict[str, set[WebSocket]] = defaultdict(set)


async def room(websocket: WebSocket) -> None:
    stall.watch()
    await websocket.accept()
    members = rooms[websocket.path_params["room"]]
    members.add(websocket)
    try:
        async for data in websocket.iter_bytes():
            for member in list(members):
                try:
                    await member.send_bytes(data)
                except WebSocketDisconnect:
                    members.discard(member)
    finally:
        members.discard(websocket)


async def echo(websocket: WebSocket) -> None:
    stall.watch()
    await websocket.accept()
    async for data in websocket.iter_bytes():
        await websocket.send_bytes(data)


app = Starlette(routes=[WebSocketRoute("/room/{room}", room), WebSocketRoute("/echo", echo)])

if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        ws="websockets-sansio",
        ws_per_message_deflate=bool(os.environ.get("DEFLATE")),
        ws_ping_interval=None,
        log_level="critical",
        backlog=4096,
    )
