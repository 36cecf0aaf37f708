"""A server of sessions with a page that uses the published client: PORT BROKER CLIENT-SCRIPT."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Mount, Route

import hubbub.asgi
from hubbub.realtime import Client, Connected, History, Namespace, Realtime

PAGE = """<!doctype html><meta charset="utf-8"><title>room</title>
<script src="/centrifuge.js"></script>
<script>
  const got = [], offsets = [], subscribed = [], came = [], ends = [];
  const centrifuge = new Centrifuge(`ws://${location.host}/connection/websocket`, {
    data: decodeURIComponent(location.hash.slice(1)), minReconnectDelay: 20, maxReconnectDelay: 200,
  });
  const room = centrifuge.newSubscription("room", {minResubscribeDelay: 20, maxResubscribeDelay: 200});
  room.on("publication", (said) => { got.push(said.data); offsets.push(said.offset); });
  room.on("subscribed", (said) => subscribed.push([said.wasRecovering, said.recovered]));
  room.on("join", (said) => came.push(said.info.user));
  centrifuge.on("connecting", (said) => ends.push(said.code));
  room.subscribe();
  centrifuge.connect();
</script>
"""


def main() -> None:
    port, broker, script = sys.argv[1:]
    room = Namespace(
        history=History(10_000, 600), force_recovery=True, presence=True, join_leave=True, force_push_join_leave=True
    )
    rt = Realtime(broker=broker, insecure=True, namespaces={"": room})

    @rt.on_connect
    def connect(client: Client, data: bytes) -> Connected:
        return Connected(user=data.decode().strip('"'))

    async def page(request: Request) -> Response:
        return HTMLResponse(PAGE)

    async def client(request: Request) -> Response:
        return FileResponse(script)

    app = Starlette(routes=[Route("/", page), Route("/centrifuge.js", client), Mount("/connection", rt.asgi())])
    uvicorn.run(app, host="127.0.0.1", port=int(port), ws=hubbub.asgi.WebSocketProtocol, log_config=None)


if __name__ == "__main__":
    main()
