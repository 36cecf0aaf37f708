"""Rooms inside FastAPI: the endpoint is FastAPI's own, the channel is hubbub's, on one port.

Run it: uvicorn examples.fastapi_chat:app --ws hubbub.asgi:WebSocketProtocol
"""

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

import hubbub
import hubbub.asgi

hub = hubbub.Hub()
app = FastAPI()


@app.websocket("/rooms/{room}")
async def talk(websocket: WebSocket, room: str, name: str = "somebody") -> None:
    await websocket.accept()
    socket = hubbub.asgi.socket(websocket)
    hub.join(room, socket, name)
    hub.broadcast(room, f"{name} came", exclude=socket)
    try:
        while True:
            hub.broadcast(room, f"{name}: {await websocket.receive_text()}")
    except WebSocketDisconnect:
        hub.broadcast(room, f"{name} left")


@app.get("/rooms/{room}")
async def who(room: str) -> list[str]:
    return [member.meta for member in hub.members(room)]


@app.post("/rooms/{room}")
def announce(room: str, text: str) -> dict[str, int]:
    """A plain function: FastAPI runs it in a thread, and a hub may be called from any."""
    return {"handed_to": hub.broadcast(room, text)}
