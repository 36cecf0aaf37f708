"""Rooms on Litestar's channels with the memory backend, on uvicorn with uvloop: a subscription for each connection."""

from __future__ import annotations

import sys

import stall
import uvicorn
from litestar import Litestar, WebSocket, websocket
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.memory import MemoryChannelsBackend
from litestar.exceptions import WebSocketDisconnect

channels = ChannelsPlugin(backend=MemoryChannelsBackend(), arbitrary_channels_allowed=True)


@websocket("/room/{room:str}")
async def room(socket: WebSocket, room: str) -> None:
    stall.watch()
    await socket.accept()
    async with (
        channels.start_subscription([room]) as subscriber,
        subscriber.run_in_background(socket.send_bytes),
    ):
        try:
            while True:
                channels.publish(await socket.receive_bytes(), [room])
        except WebSocketDisconnect:
            pass


@websocket("/echo")
async def echo(socket: WebSocket) -> None:
    stall.watch()
    await socket.accept()
    try:
        while True:
            await socket.send_bytes(await socket.receive_bytes())
    except WebSocketDisconnect:
        pass


app = Litestar([room, echo], plugins=[channels], openapi_config=None)

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
