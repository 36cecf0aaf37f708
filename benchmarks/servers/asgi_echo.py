"""Echo under uvicorn, by a raw ASGI application (/raw) and by a Starlette endpoint (/starlette).

IMPLEMENTATION is what uvicorn speaks WebSocket with: hubbub, or one of its own. LOOP is its event loop.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import stall
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

Event = dict[str, Any]
Receive, Send = Callable[[], Awaitable[Event]], Callable[[Event], Awaitable[None]]


async def raw(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


async def endpoint(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


starlette = Starlette(routes=[WebSocketRoute("/starlette", endpoint)])


async def app(scope: Event, receive: Receive, send: Send) -> None:
    stall.watch()
    if scope.get("path") == "/raw":
        await raw(receive, send)
    else:
        await starlette(scope, receive, send)


def implementation() -> Any:
    name = os.environ["IMPLEMENTATION"]
    if name != "hubbub":
        return name
    import hubbub.asgi

    return hubbub.asgi.WebSocketProtocol


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        loop=os.environ["LOOP"],
        ws=implementation(),
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        log_level="critical",
        backlog=4096,
    )
