"""hubbub as uvicorn's WebSocket implementation: the application's ASGI WebSocket works unchanged.

uvicorn makes one object per upgraded connection, hands over the transport, replays the request, and calls `shutdown`
when it stops. Nothing else of it is used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, MutableMapping
from typing import Any, ClassVar, cast
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from hubbub import native
from hubbub.asgi import conversation
from hubbub.asgi.conversation import CLOSE, Stage, advance
from hubbub.errors import Disconnected, Misuse
from hubbub.hub import Hub
from hubbub.limits import Limits
from hubbub.server import Cause, Closed, Connection, Context, Inbox, Phase
from hubbub.wire import Deflate, Request

__all__ = ["SOCKET", "WebSocketProtocol"]

native.active()  # or refuse to start: uvicorn imports this module when it does

SOCKET = "hubbub.socket"  # key of the Socket in the scope's extensions
NEVER = 1e9  # seconds: what stands for "no pings" in a field that is always a number

Message = MutableMapping[str, Any]


class WebSocketProtocol(Connection):
    """For uvicorn's `ws` setting: `uvicorn app:app --ws hubbub.asgi:WebSocketProtocol`, or `uvicorn.run(..., ws=...)`.

    uvicorn's own settings are obeyed: `ws_max_size`, `ws_max_queue`, `ws_ping_interval`, `ws_ping_timeout` and
    `ws_per_message_deflate`. For other bounds make a subclass and set `limits`, which then stand for all of them.
    """

    __slots__ = (
        "_body",
        "_config",
        "_drained",
        "_inbox",
        "_response",
        "_server_state",
        "_stage",
        "_state",
        "_waiter",
    )

    limits: ClassVar[Limits | None] = None
    """The bounds; None for the defaults and uvicorn's settings."""
    compression: ClassVar[Deflate | None] = Deflate()
    """How permessage-deflate is negotiated, if uvicorn's `ws_per_message_deflate` is on, as it is by default."""
    hub: ClassVar[Hub | None] = None
    """A hub whose statistics count all connections, not only those that have joined a channel."""

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(_context(type(self), config, server_state))
        self._config = config
        self._server_state = server_state
        self._state = app_state
        self._stage = Stage.CONNECTING
        self._inbox: Inbox[Message] = Inbox(self, self.context.limits)
        self._waiter: asyncio.Future[None] | None = None  # of `receive`
        self._drained: asyncio.Event | None = None  # of `send`
        self._response: Message | None = None  # how the application denies the connection
        self._body = b""

    # uvicorn's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._server_state.connections.add(self)
        self.context.start()
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server_state.connections.discard(self)
        super().connection_lost(exc)
        self._wake()
        if not self.context.connections:
            self.context.stop()

    def shutdown(self) -> None:
        """uvicorn stops."""
        if self.phase is Phase.OPEN:
            self.socket.end(Closed(Cause.SHUTDOWN, 1001, "the server stops"))
        else:
            self.refuse(503, "shutdown")

    # Connection's calls

    def requested(self, request: Request) -> None:
        scope = self._scope(request)
        self._put({"type": "websocket.connect"})
        task = self.context.loop.create_task(self._run(scope, request))
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    def message(self, data: str | bytes) -> None:
        kind = "text" if isinstance(data, str) else "bytes"
        self._put({"type": "websocket.receive", kind: data}, len(data))

    def ended(self, closed: Closed) -> None:
        code = closed.code if closed.code >= 1000 else 1006  # what was never upgraded ended with an HTTP status
        self._put({"type": "websocket.disconnect", "code": code, "reason": closed.text})

    def drained(self) -> None:
        self._wake()

    # The application

    async def _run(self, scope: dict[str, Any], request: Request) -> None:
        async def send(message: Message) -> None:
            await self._send(message, request)

        try:
            await self._config.loaded_app(scope, self._receive, send)
        except Disconnected:
            pass  # the client left while the application was sending
        except Exception as error:
            self.context.log.failure("the ASGI application raised", error)
            self._fail_application()
        except asyncio.CancelledError:
            self._fail_application()
            raise
        else:
            if self._stage is Stage.OPEN:
                self.socket.end(Closed(Cause.SERVER, 1000, ""))
            elif self.phase is Phase.DECIDING:
                self.context.log.failure(
                    "refused a connection", Misuse("the ASGI application returned without an answer to the handshake")
                )
                self._fail_application()

    def _fail_application(self) -> None:
        if self.phase is Phase.DECIDING:
            self.because(Closed(Cause.HANDLER_ERROR, 500, "the application failed"))
            self.refuse(500, "application")
        elif self.phase is Phase.OPEN:
            self.socket.end(Closed(Cause.HANDLER_ERROR, 1011, "internal error"))

    async def _receive(self) -> Message:
        while not self._inbox:
            if self.phase is Phase.LOST:
                raise Disconnected("the client is gone, and the application was told")  # or it would wait for ever
            waiter = self._waiter
            if waiter is None or waiter.done():
                waiter = self._waiter = self.context.loop.create_future()
            await asyncio.shield(waiter)
        return self._inbox.take()

    async def _send(self, message: Message, request: Request) -> None:
        stage = advance(self._stage, message["type"])
        if self.phase is not Phase.DECIDING and not self.socket.is_open:
            if message["type"] == CLOSE:
                return
            raise Disconnected("the client is gone")
        match message["type"]:
            case conversation.ACCEPT:
                self._accept(message, request)
            case conversation.SEND:
                await self._write(message)
            case conversation.CLOSE:
                self._close(message)
            case conversation.RESPONSE:
                self._response = message
            case _:
                self._body += message.get("body", b"")
                if not message.get("more_body", False):
                    self._deny()
                    stage = Stage.CLOSED
        self._stage = stage

    def _accept(self, message: Message, request: Request) -> None:
        headers = [*self._server_state.default_headers, *message.get("headers", ())]
        self.accept(request, message.get("subprotocol"), _texts(headers))
        self._stage = Stage.OPEN
        self.begin()

    async def _write(self, message: Message) -> None:
        text: str | None = message.get("text")
        data: bytes | None = message.get("bytes")
        if (text is None) == (data is None):
            raise Misuse("websocket.send takes either text or bytes")
        while self.outlet.tell_when_drained():  # backpressure: the client has not read what was sent before
            if self._drained is None:
                self._drained = asyncio.Event()
            await self._drained.wait()
        if not self.socket.is_open:
            raise Disconnected("the client is gone")
        self.socket.write(text if text is not None else data or b"")

    def _close(self, message: Message) -> None:
        if self.phase is Phase.DECIDING:
            self.deny(403, "rejected", _texts(self._server_state.default_headers), b"")
        else:
            self.socket.close(message.get("code") or 1000, message.get("reason") or "")

    def _deny(self) -> None:
        assert self._response is not None
        status = self._response["status"]
        if not 200 <= status <= 599:
            raise Misuse(f"a handshake is denied with a status from 200 to 599, not {status}")
        headers = [*self._server_state.default_headers, *self._response.get("headers", ())]
        self.deny(status, "rejected", _texts(headers), self._body)

    def _put(self, message: Message, size: int = 0) -> None:
        self._inbox.put(message, size)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _wake(self) -> None:
        """Let `send` go on: there is room again, or no client any more."""
        if self._drained is not None:
            self._drained.set()
            self._drained = None

    def _scope(self, request: Request) -> dict[str, Any]:
        root = self._config.root_path
        raw = request.path.encode("ascii")
        tls = self.transport.get_extra_info("sslcontext") is not None
        return {
            "type": "websocket",
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if tls else "ws",
            "server": _address(self.transport.get_extra_info("sockname")),
            "client": _address(request.peer),
            "root_path": root,
            "path": root + unquote(request.path),
            "raw_path": root.encode("ascii") + raw,
            "query_string": request.query.encode("ascii"),
            "headers": [(name.encode("ascii"), value.encode("latin-1")) for name, value in request.headers.pairs()],
            "subprotocols": request.subprotocols,
            "state": self._state.copy(),
            "extensions": {"websocket.http.response": {}, SOCKET: {"socket": self.socket}},
        }


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in headers]


def _address(address: Any) -> tuple[str, int | None] | None:
    """As ASGI wants it: host and port, or the path of a Unix socket and None."""
    if isinstance(address, tuple):
        host, port, *_ = cast("tuple[Any, ...]", address)
        return str(host), int(port)
    return (str(address), None) if address else None


# What the connections of one uvicorn server share

_contexts: WeakKeyDictionary[Any, Context] = WeakKeyDictionary()


def _context(kind: type[WebSocketProtocol], config: Any, server_state: Any) -> Context:
    context = _contexts.get(server_state)
    loop = asyncio.get_running_loop()
    if context is None or context.loop is not loop:
        compression = kind.compression if config.ws_per_message_deflate else None
        limits = kind.limits or _limits(config)
        context = _contexts[server_state] = Context(hub=kind.hub, limits=limits, compression=compression, loop=loop)
    return context


def _limits(config: Any) -> Limits:
    return Limits(
        max_message_size=config.ws_max_size,
        max_inbox=config.ws_max_queue,
        max_inbox_size=config.ws_max_size,
        ping_interval=config.ws_ping_interval or NEVER,
        pong_timeout=config.ws_ping_timeout or NEVER,
    )
