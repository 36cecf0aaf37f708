"""Rooms on python-socketio, on uvicorn with uvloop: an event enters the room, another is emitted to it."""

from __future__ import annotations

import sys

import socketio
import stall
import uvicorn

server = socketio.AsyncServer(
    async_mode="asgi", transports=["websocket"], ping_interval=600, ping_timeout=600, http_compression=False
)


@server.event
async def join(sid: str, room: str) -> None:
    stall.watch()
    await server.enter_room(sid, room)
    await server.save_session(sid, {"room": room})
    await server.emit("joined", to=sid)


@server.event
async def say(sid: str, data: str) -> None:
    session = await server.get_session(sid)
    await server.emit("say", data, room=session["room"])


if __name__ == "__main__":
    uvicorn.run(
        socketio.ASGIApp(server),
        port=int(sys.argv[1]),
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        log_level="critical",
        backlog=4096,
    )
