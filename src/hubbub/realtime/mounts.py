"""Where sessions come from: our own server's connections, and WebSockets of ASGI applications."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hubbub import asgi
from hubbub.errors import Disconnected, Reject
from hubbub.realtime.protocol import JSON, PROTOBUF, Dialect
from hubbub.realtime.session import Session
from hubbub.server import Closed, Handler
from hubbub.wire import Headers, Request, Values, query_of

if TYPE_CHECKING:
    from hubbub.realtime.service import Service

__all__ = ["SMALL_CLIENT", "Application", "SessionHandler"]

SMALL_CLIENT = Path(__file__).parent / "static" / "client.js"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Manner(NamedTuple):
    """How a client wants to be spoken to."""

    dialect: Dialect = JSON
    pings: bool = True
    """In the dialect, and not by WebSocket alone: that is for people with a command line tool."""


def manner_of(asked: Values, subprotocols: Iterable[str]) -> tuple[Manner, str | None]:
    """That, and the subprotocol to choose, if any."""
    offers = list(subprotocols)
    pings = "true" not in asked.get_all("cf_ws_frame_ping_pong")
    if PROTOBUF.subprotocol in offers:
        return Manner(PROTOBUF, pings), PROTOBUF.subprotocol
    binary = "protobuf" in (*asked.get_all("format"), *asked.get_all("cf_protocol"))
    return Manner(PROTOBUF if binary else JSON, pings), JSON.subprotocol if JSON.subprotocol in offers else None


class SessionHandler(Handler):
    """One of our own server's connections."""

    __slots__ = ("_headers", "_manner", "_service", "_session")

    def __init__(self, service: Service) -> None:
        self._service = service
        self._manner = Manner()
        self._headers: Mapping[str, str] = {}
        self._session: Session | None = None

    def handshake(self, request: Request) -> str | None:
        self._headers = headers = request.headers
        if not self._service.lets_in(headers):
            raise Reject("this origin is not allowed", status=403)
        self._manner, chosen = manner_of(request.query, request.subprotocols)
        return chosen

    def opened(self) -> None:
        self._session = Session(self._service, self.socket, *self._manner, self._headers)
        self._headers = {}
        self.socket._tell_dropped = self._session.dropped

    def message(self, data: Any) -> Awaitable[None] | None:
        assert self._session is not None
        return self._session.receive(data)

    def closed(self, reason: Closed) -> Awaitable[None] | None:
        return None if self._session is None else self._session.ended()


async def _answer(scope: Scope, send: Send) -> None:
    """What is no WebSocket: a small client for pages that bring none, and elsewhere a sentence."""
    if scope["path"].endswith("/client.js") and scope["method"] in ("GET", "HEAD"):
        status, kind, more, body = 200, b"text/javascript", (b"cache-control", b"no-cache"), _small_client()
    else:
        status, kind, more = 426, b"text/plain", (b"upgrade", b"websocket")
        body = b"This is for WebSocket connections of Centrifuge clients.\n"
    headers = [(b"content-type", kind + b"; charset=utf-8"), (b"content-length", b"%d" % len(body)), more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


@cache
def _small_client() -> bytes:
    return SMALL_CLIENT.read_bytes()


class Application:
    """An ASGI application whose WebSockets are sessions; to be mounted at any path."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _answer(scope, send)
        elif scope["type"] == "websocket":
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]])
        if not self._service.lets_in(headers):
            return await send({"type": "websocket.close", "code": 1008})
        query: bytes = scope.get("query_string", b"")
        manner, chosen = manner_of(query_of(query.decode("latin-1")), scope.get("subprotocols", ()))
        await send({"type": "websocket.accept", "subprotocol": chosen})
        socket = asgi.socket(scope, send)
        session = Session(self._service, socket, *manner, headers)
        socket._tell_dropped = session.dropped
        try:
            while (event := await receive())["type"] == "websocket.receive":
                data = event.get("text")
                waits = session.receive(event.get("bytes") or b"" if data is None else data)
                if waits is not None:
                    await waits
        except Disconnected:
            pass
        finally:
            if (waits := session.ended()) is not None:
                await waits
