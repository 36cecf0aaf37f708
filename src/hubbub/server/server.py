"""A running server: its listeners, its sweep, and an orderly stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl as tls
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from hubbub.arguments import instance, whole
from hubbub.errors import Misuse
from hubbub.hub import Cause, Closed, Hub
from hubbub.limits import Limits
from hubbub.logs import logger
from hubbub.server.context import Context, ServerStatistics
from hubbub.server.handler import Handler
from hubbub.server.listener import Listener, bind_tcp, bind_unix, reactor_for
from hubbub.server.phase import Phase
from hubbub.server.session import Session
from hubbub.server.settings import factory_of, health_of, hosts_of, path_of, sockets_of, tls_of
from hubbub.supervision import supervise
from hubbub.system import AF_UNIX, needs_unix
from hubbub.wire import Deflate, Origins

if TYPE_CHECKING:
    from hubbub.native._reactor import Reactor

__all__ = ["DEFAULT_PORT", "Server", "serve"]

DEFAULT_PORT = 4545
AT_ONCE = 256  # connections told to close before the loop gets a turn


class serve:  # noqa: N801  it is called like a function
    """A server inside a program's own event loop: `async with hubbub.serve(Handler) as server: ...`

    Leaving the block stops accepting, tells every client 1001, lets what waits for them leave, and returns when all
    are gone or `Limits.shutdown_timeout` has passed.

    Args:
        handler: a Handler subclass, or any callable that makes one.
        hub: the hub whose statistics, limits and overflow policy the server's sockets share.
        host: address or name to listen on, or several.
        port: TCP port, 0 for any free one; 4545 if nothing else is said to listen on.
        uds: path of a Unix socket to listen on, also beside a port; of 107 bytes at most.
        uds_mode: who may connect to that, as permissions of its file. By default everybody who can reach the file:
            a proxy runs as another user, so let the folder decide who that is.
        sockets: bound sockets to listen on, also beside the others; such as systemd hands over.
        ssl: for TLS on every TCP listener.
        reuse_port: set SO_REUSEPORT, so that several processes share the port.
        limits: the bounds; the hub's if left out.
        compression: `hubbub.Deflate()` to accept permessage-deflate, which is off by default: it costs memory
            and CPU for every connection, and compressed secrets beside a peer's text can be guessed.
        allowed_origins: of pages that may connect, such as "https://example.com", "https://*.example.com" or "*"; a
            client that is no browser has none, and may. None: all may. A server that knows its users by cookies needs
            it, as any site can make its visitors' browsers connect.
        health: the path at which a plain HTTP request, such as a load balancer's, is answered with 200; None: none is.

    Raises: Misuse: arguments that are wrong or contradict each other. OSError: an address cannot be had.
    """

    def __init__(
        self,
        handler: Callable[[], Handler],
        *,
        hub: Hub | None = None,
        host: str | Sequence[str] = "127.0.0.1",
        port: int | None = None,
        uds: str | os.PathLike[str] | None = None,
        uds_mode: int = 0o666,
        sockets: Sequence[socket.socket] = (),
        ssl: tls.SSLContext | None = None,
        reuse_port: bool = False,
        limits: Limits | None = None,
        compression: Deflate | None = None,
        allowed_origins: Sequence[str] | None = None,
        health: str | None = "/health",
    ) -> None:
        self._handler = factory_of(handler)
        self._hub = instance("hub", hub, Hub, "a hubbub.Hub")
        self._uds = path_of(uds)
        self._uds_mode = whole("uds_mode", uds_mode, 0, 0o777)
        self._sockets = sockets_of(sockets)
        if port is None and self._uds is None and not self._sockets:
            port = DEFAULT_PORT
        self._port = None if port is None else whole("port", port, 0, 65535)
        self._hosts = [] if self._port is None else hosts_of(host)
        self._ssl = tls_of(ssl)
        self._reuse_port = instance("reuse_port", reuse_port, bool, "True or False") or False
        if self._reuse_port:
            needs_unix("reuse_port", "leave it out, and give each process a port of its own")
        limits = instance("limits", limits, Limits, "a hubbub.Limits")
        self._limits = limits or (hub.limits if hub is not None else Limits())
        self._compression = instance(
            "compression", compression, Deflate, "hubbub.Deflate(), or None for no compression"
        )
        self._origins = None if allowed_origins is None else Origins(allowed_origins)
        self._health = health_of(health)
        self._server: Server | None = None

    async def __aenter__(self) -> Server:
        loop = asyncio.get_running_loop()
        context = Context(
            hub=self._hub,
            limits=self._limits,
            compression=self._compression,
            loop=loop,
            origins=self._origins,
            health=self._health,
        )
        self._server = server = Server(context, self._listeners(partial(Session, context, self._handler)))
        await server._start()
        return server

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        await self._server.stop()

    def _listeners(self, protocol: Callable[[], Session]) -> list[Listener]:
        timeout = self._limits.handshake_timeout
        listeners: list[Listener] = []
        try:
            for host in self._hosts:
                for listening in bind_tcp(host, self._port or 0, reuse_port=self._reuse_port):
                    again = partial(_bind_again, listening.getsockname(), self._reuse_port)
                    listeners.append(Listener(listening, again, protocol, self._ssl, timeout))
            if self._uds is not None:
                again = partial(bind_unix, self._uds, self._uds_mode)
                listeners.append(Listener(again(), again, protocol, None, timeout))
            for listening in self._sockets:
                of_tcp = None if listening.family == AF_UNIX else self._ssl
                listeners.append(Listener(listening, None, protocol, of_tcp, timeout))
        except BaseException:
            for listener in listeners:
                listener.close()
            raise
        return listeners


def _bind_again(address: Any, reuse_port: bool) -> socket.socket:
    return bind_tcp(address[0], address[1], reuse_port=reuse_port)[0]


class Server:
    """What `serve` gives: a server that runs."""

    def __init__(self, context: Context, listeners: list[Listener]) -> None:
        self._context = context
        self._listeners = listeners
        self._watches: list[asyncio.Task[None]] = []
        self._stopped: asyncio.Event = asyncio.Event()
        self._reactor: Reactor | None = None

    @property
    def addresses(self) -> list[Any]:
        """What it listens on: `(host, port)` for TCP, a path for a Unix socket."""
        return [listener.address for listener in self._listeners]

    @property
    def urls(self) -> list[str]:
        """The same as text: `ws://127.0.0.1:4545`, `wss://[::1]:4545`, `unix:/run/chat.sock`."""
        return [listener.url for listener in self._listeners]

    @property
    def port(self) -> int:
        """The first TCP port. Raises: Misuse: it listens on no TCP port."""
        for address in self.addresses:
            if isinstance(address, tuple):
                return int(cast("tuple[str, int]", address)[1])
        raise Misuse("the server listens on no TCP port")

    def statistics(self) -> ServerStatistics:
        """A frozen snapshot of the server's counts; a hub has its own."""
        return self._context.statistics()

    async def _start(self) -> None:
        """Begin to accept. `async with serve(...)` does it."""
        try:
            self._reactor = reactor_for(self._context.loop, self._context.view)
            for listener in self._listeners:
                await listener.open(self._reactor)
        except BaseException:
            for listener in self._listeners:
                listener.close()
            self._read_no_more()
            raise
        self._context.start()
        start = self._context.loop.create_task
        self._watches = [start(supervise("a listener", listener.watch)) for listener in self._listeners]

    async def stop(self) -> None:
        """Stop in good order; see `serve`. Called again, it waits for the same stop."""
        context = self._context
        if context.stopping:
            await self._stopped.wait()
            return
        context.stopping = True
        for task in self._watches:
            task.cancel()
        for listener in self._listeners:
            listener.close()
        try:
            await self._empty()
            self._read_no_more()
            await asyncio.gather(*self._watches, *context.stop(), return_exceptions=True)
        finally:  # whoever waits for this stop waits no longer, also if it was cancelled
            self._stopped.set()

    async def _empty(self) -> None:
        """No connection and no callback is left, in good order or not."""
        try:
            async with asyncio.timeout(self._context.limits.shutdown_timeout):
                await self._say_goodbye()
                await self._context.idle()
        except TimeoutError:
            await self._cut()

    def _read_no_more(self) -> None:
        if self._reactor is not None:
            self._reactor.close()

    async def _say_goodbye(self) -> None:
        for count, connection in enumerate(list(self._context.connections), 1):
            if connection.phase is Phase.OPEN:
                connection.socket._end(Closed(Cause.SHUTDOWN, 1001, "the server stops"))
            elif connection.phase in (Phase.HANDSHAKE, Phase.DECIDING):
                connection.refuse(503, "shutdown")
            if count % AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _cut(self) -> None:
        context = self._context
        logger.warning(
            "stopping took %g s: cutting %d connections and %d callbacks",
            context.limits.shutdown_timeout,
            len(context.connections),
            len(context.tasks),
        )
        for connection in list(context.connections):
            connection.abort(Closed(Cause.SHUTDOWN, 1006, "cut: the server stops"))
        for task in list(context.tasks):
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await context.idle()
