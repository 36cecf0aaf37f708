"""hubbub as uvicorn's WebSocket implementation: the application's ASGI WebSocket works unchanged.

uvicorn makes one object per upgraded connection, hands over the transport, replays the request, and calls `shutdown`
when it stops. Nothing else of it is used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, MutableMapping, Sequence
from typing import Any, ClassVar

from hubbub import native
from hubbub.asgi import conversation
from hubbub.asgi.conversation import CLOSE, SEND, Stage, advance
from hubbub.asgi.scope import client_of, path_of, scope_of
from hubbub.asgi.settings import LOG, context_of
from hubbub.asgi.sockets import SOCKET, Tickets
from hubbub.errors import Disconnected, Misuse
from hubbub.hub import Hub
from hubbub.limits import Limits
from hubbub.server import PLAIN, Cause, Closed, Connection, Inbox, Phase
from hubbub.wire import Deflate, HandshakeReader, Request

__all__ = ["WebSocketProtocol", "tickets"]

native.active()  # or refuse to start: uvicorn imports this module when it does

WHOLE = 2**31  # bytes and lines of a request: uvicorn has read it already, within bounds of its own
SORRY = b"Internal Server Error"  # the body of a 500

Message = MutableMapping[str, Any]
Scope = dict[str, Any]

tickets: Tickets = Tickets()


class WebSocketProtocol(Connection):
    """For uvicorn's `ws` setting: `uvicorn app:app --ws hubbub.asgi:WebSocketProtocol`, or `uvicorn.run(..., ws=...)`.

    uvicorn's own settings are obeyed: `ws_max_size`, `ws_max_queue`, `ws_ping_interval`, `ws_ping_timeout` and
    `ws_per_message_deflate`. For other bounds make a subclass and set `limits`, which then stand for all of them, but
    for those of the handshake: uvicorn has read the request, and the application may take its time.
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
        "_ticket",
        "_told",
        "_waiters",
    )

    limits: ClassVar[Limits | None] = None
    """The bounds; None for the defaults and uvicorn's settings."""
    compression: ClassVar[Deflate | None] = Deflate()
    """How permessage-deflate is negotiated, if uvicorn's `ws_per_message_deflate` is on, as it is by default."""
    hub: ClassVar[Hub | None] = None
    """A hub whose statistics count all connections, not only those that have joined a channel."""
    allowed_origins: ClassVar[Sequence[str] | None] = None
    """Of pages that may connect, as of `hubbub.serve`; None: all may."""
    _tells_of_each: ClassVar[bool] = True

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        kind = type(self)
        context = context_of(
            config,
            server_state,
            hub=kind.hub,
            limits=kind.limits,
            compression=kind.compression,
            allowed_origins=kind.allowed_origins,
        )
        super().__init__(context)
        self._config = config
        self._server_state = server_state
        self._state = app_state
        self._stage = Stage.CONNECTING
        self._ticket = Tickets.issue()
        self._inbox: Inbox[Message] = Inbox(self, self.context.limits)
        self._told = False  # that the client is gone, or that the end has begun
        self._waiters: list[asyncio.Future[None]] = []  # of `receive`: one, or none, unless several tasks call it
        self._drained: asyncio.Event | None = None  # of `send`
        self._response: Message | None = None  # how the application denies the connection
        self._body: list[bytes] = []

    # uvicorn's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._server_state.connections.add(self)
        self.context.start()
        super().connection_made(transport)
        self._reader = HandshakeReader(WHOLE, WHOLE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server_state.connections.discard(self)
        upgraded = self._wire is not None
        super().connection_lost(exc)
        if upgraded:
            self._tell_of_it("connection closed")
        self._wake()
        if not self.context.connections:
            self.context.stop()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._wake()

    def shutdown(self) -> None:
        """uvicorn stops."""
        if self.phase is Phase.OPEN:
            self.socket._end(Closed(Cause.SHUTDOWN, 1012, ""))
        elif self.phase is Phase.CLOSING and not self.outlet.clogged:
            self.transport.close()  # our close frame is out, and there is no time for the client's
        else:
            self.refuse(503, "shutdown")

    # Connection's calls

    def requested(self, request: Request) -> None:
        extensions = {SOCKET: {"id": self._ticket}}
        scope = scope_of(request, self._config, self.transport, self._state, extensions)
        self._put({"type": "websocket.connect"})
        task = self.context.loop.create_task(self._run(scope, request))
        self._server_state.tasks.add(task)
        task.add_done_callback(self._server_state.tasks.discard)

    def message(self, data: str | bytes) -> None:
        kind = "text" if isinstance(data, str) else "bytes"
        self._put({"type": "websocket.receive", kind: data}, len(data))

    def ending(self, closed: Closed) -> None:
        self._tell(closed)

    def ended(self, closed: Closed) -> None:
        self._tell(closed)

    def drained(self) -> None:
        self._wake()

    def check(self, now: float) -> float | None:
        if self.phase is Phase.DECIDING:
            return None  # the application may take its time
        return super().check(now)

    # The application

    async def _run(self, scope: Scope, request: Request) -> None:
        async def send(message: Message) -> None:
            if message["type"] == SEND and self._stage is Stage.OPEN and not self.outlet.tell_when_drained():
                data: Any = message.get("bytes")
                if data is None:
                    data = message.get("text")
                if data is not None and (self.socket.write(data) or self.socket.is_open):  # or it was dropped
                    return
            await self._send(message, scope, request)

        try:
            result = await self._config.loaded_app(scope, self._receive, send)
        except BaseException as error:  # a panic too must not leave a connection without an answer
            self._raised(error)
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            self._returned(result)

    def _raised(self, error: BaseException) -> None:
        if isinstance(error, Disconnected) and self.phase is not Phase.DECIDING and not self.socket.is_open:
            return  # the client left while the application was sending
        self.context.log.failure("Exception in ASGI application", error)
        self._fail_application()

    def _returned(self, result: Any) -> None:
        if self.phase is Phase.DECIDING:
            LOG.error("ASGI callable returned without completing handshake.")
            self._fail_application()
        elif result is not None:
            LOG.error("ASGI callable should return None, but returned '%s'.", result)
        if self._stage is Stage.OPEN:
            self.socket._end(Closed(Cause.SERVER, 1000, ""))

    def _fail_application(self) -> None:
        if self.phase is Phase.DECIDING:
            self.because(Closed(Cause.HANDLER_ERROR, 500, "the application failed"))
            if self._response is not None:  # it has said with which status, and that is all there will be
                self.deny(self._response["status"], "rejected", (), b"")
            else:
                self.refuse(500, "application", PLAIN, SORRY)
        elif self.phase is Phase.OPEN:
            self.socket._end(Closed(Cause.HANDLER_ERROR, 1011, "internal error"))

    async def _receive(self) -> Message:
        while not self._inbox:
            if self._told:  # who overlooks that would wait for ever; but a receiver that is left over disturbs nobody
                await asyncio.sleep(self.context.limits.close_timeout)
                raise Disconnected("the client is gone, and the application was told")
            waiter: asyncio.Future[None] = self.context.loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:  # what came meanwhile is in the inbox, for the next who asks
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                raise
        return self._inbox.take()

    async def _send(self, message: Message, scope: Scope, request: Request) -> None:
        stage = advance(self._stage, message["type"])
        if self.phase is not Phase.DECIDING and not self.socket.is_open:
            if message["type"] == CLOSE:
                return
            raise Disconnected("the client is gone")
        match message["type"]:
            case conversation.ACCEPT:
                await self._accept(message, scope, request)
            case conversation.SEND:
                await self._write(message)
            case conversation.CLOSE:
                self._close(message, scope)
            case conversation.RESPONSE:
                self._respond(message, scope)
            case _:
                self._body.append(bytes(message.get("body", b"")))
                if not message.get("more_body", False):
                    self._deny()
                    stage = Stage.CLOSED
        self._stage = stage

    def _tell_of_it(self, line: str, *of: object) -> None:
        """A line for each connection, as uvicorn's own implementations write them."""
        if self._tells_of_each:
            LOG.info(line, *of)

    async def _accept(self, message: Message, scope: Scope, request: Request) -> None:
        await self._empty()
        headers = [*self._server_state.default_headers, *message.get("headers", ())]
        self.accept(request, message.get("subprotocol") or None, _texts(headers))
        tickets.fill(self._ticket, self.socket)
        self._tell_of_it('%s - "WebSocket %s" [accepted]', client_of(scope), path_of(scope))
        self._tell_of_it("connection open")
        self._stage = Stage.OPEN
        self.begin()

    async def _empty(self) -> None:
        """Wait until the transport has sent what uvicorn answered before on this connection: an outlet that writes to
        the descriptor itself must not overtake it."""
        while left := self.transport.get_write_buffer_size():
            self.transport.set_write_buffer_limits(high=0)  # or we do not hear when it is empty
            try:
                async with asyncio.timeout(self.context.limits.backlog_timeout):
                    await self._room()
            except TimeoutError:
                if self.transport.get_write_buffer_size() >= left:
                    self.cut("stalled")
        if self.phase is not Phase.DECIDING or self.transport.is_closing():
            raise Disconnected("the client is gone")

    async def _write(self, message: Message) -> None:
        text: str | None = message.get("text")
        data: bytes | None = message.get("bytes")
        if text is None and data is None:
            raise Misuse("websocket.send takes text or bytes")
        while self.socket.is_open and self.outlet.tell_when_drained():  # the client has not read what was sent before
            await self._room()
        if not self.socket.is_open:
            raise Disconnected("the client is gone")
        self.socket.write(data if data is not None else text or "")

    def _close(self, message: Message, scope: Scope) -> None:
        if self.phase is Phase.DECIDING:
            self._tell_of_it('%s - "WebSocket %s" 403', client_of(scope), path_of(scope))
            self.deny(403, "rejected", _texts(self._server_state.default_headers), b"")
        else:
            self.socket.close(message.get("code") or 1000, message.get("reason") or "")

    def _respond(self, message: Message, scope: Scope) -> None:
        status = message["status"]
        if not 200 <= status <= 599:
            raise Misuse(f"a handshake is denied with a status from 200 to 599, not {status}")
        self._tell_of_it('%s - "WebSocket %s" %d', client_of(scope), path_of(scope), status)
        self._response = message

    def _deny(self) -> None:
        assert self._response is not None
        headers = [*self._server_state.default_headers, *self._response.get("headers", ())]
        self.deny(self._response["status"], "rejected", _texts(headers), b"".join(self._body))

    # What wakes it

    def _tell(self, closed: Closed) -> None:
        """Let the application know of the end, once, as soon as it has begun."""
        if self._told:
            return
        self._told = True
        upgraded = closed.code >= 1000  # or it ended with an HTTP status
        message: Message = {"type": "websocket.disconnect", "code": closed.code if upgraded else 1006}
        if upgraded and (closed.text or closed.cause in (Cause.CLIENT, Cause.SERVER)):
            message["reason"] = closed.text
        self._put(message)
        self._wake()

    def _put(self, message: Message, size: int = 0) -> None:
        self._inbox.put(message, size)
        if waiters := self._waiters:
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
            waiters.clear()
            self.context.round.start()

    async def _room(self) -> None:
        """Wait for room, or for the end."""
        if self._drained is None:
            self._drained = asyncio.Event()
        await self._drained.wait()

    def _wake(self) -> None:
        """Let `send` go on: there is room again, or no client any more."""
        if self._drained is not None:
            self._drained.set()
            self._drained = None


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in headers]
