"""Rooms inside FastAPI: the endpoint is FastAPI's own, the channel is hubbub's, on one port.

Run it: uvicorn examples.fastapi_chat:app --ws hubbub.asgi:WebSocketProtocol
Or in four processes: HUBBUB_BROKER=local: uvicorn ... --workers 4
Then open http://127.0.0.1:8000/?name=Ann in a tab, and another name in another.
"""

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse

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


@app.get("/")
async def page() -> HTMLResponse:
    return HTMLResponse("""<!doctype html>
<title>hubbub</title>
<form><input name="text" placeholder="Say something" autocomplete="off" autofocus></form>
<ul></ul>
<script>
  const url = new URL("/rooms/lobby" + location.search, location).href.replace(/^http/, "ws");
  const show = (text) => document.querySelector("ul").appendChild(document.createElement("li")).append(text);
  let socket;
  (function connect() {
    socket = new WebSocket(url);
    socket.onmessage = (event) => show(event.data);
    socket.onclose = () => setTimeout(connect, 500);  // a worker that is restarted says goodbye
  })();
  document.forms[0].onsubmit = ({ target }) => { socket.send(target.text.value); target.reset(); return false; };
</script>""")
