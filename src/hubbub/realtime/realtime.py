"""A real-time server: its options, its handlers, and what a program may do with channels, users and sessions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from hubbub.arguments import shown
from hubbub.brokers import Broker
from hubbub.errors import Misuse
from hubbub.hub import Hub
from hubbub.limits import Limits
from hubbub.realtime.bounds import Bounds
from hubbub.realtime.data import encoded
from hubbub.realtime.handlers import Typed, judged
from hubbub.realtime.mounts import Application, SessionHandler
from hubbub.realtime.namespaces import Names, Namespace
from hubbub.realtime.protocol import Disconnects, Errors, Fault
from hubbub.realtime.publisher import Publisher
from hubbub.realtime.service import Service
from hubbub.realtime.statistics import RealtimeStatistics
from hubbub.realtime.tokens import Tokens
from hubbub.realtime.users import Users

__all__ = ["Realtime"]

F = TypeVar("F", bound=Callable[..., Any])


class Realtime(Publisher, Users):
    """Sessions of Centrifuge clients. It lives on the event loop that serves its first session.

    Nothing is allowed that neither a namespace, a token nor a handler allows.

    Args:
        broker: what orders publications, keeps histories and presence, and joins processes: a URL or a Broker. Left
            out, what the environment's HUBBUB_BROKER says, or else "memory:".
        tokens: checks who connects. None: whoever brings a token is refused.
        subscription_tokens: checks who may subscribe with a token; left out, `tokens` does.
        namespaces: what channels may do, by the part of their name before the colon; "" is that of those without one.
        names: what parts the names of channels.
        bounds: what a session may do, and for how long.
        limits: of the hub and the node, such as how much may wait for a client, and for the broker.
        insecure: everybody may do whatever exists, without a token, and nothing expires. For development.
        anonymous: clients without a token are let in, as nobody.
        personal: the namespace of a channel for each user, to which the server subscribes them; "" for those without
            one. None: there are no such channels.
        allowed_origins: of pages that may connect, such as "https://example.com", "https://*.example.com" or "*".
            None: the server's own host.
        name: of this node, for `info`; "": the host's name and the process' number.
        version: what clients are told in the reply to their connect, and `info`.

    Raises: Misuse: something is none of that, or no such broker.
    """

    def __init__(
        self, *, broker: str | Broker | None = None, tokens: Tokens | None = None,
        subscription_tokens: Tokens | None = None, namespaces: Mapping[str, Namespace] | None = None,
        names: Names | None = None, bounds: Bounds | None = None, limits: Limits | None = None, insecure: bool = False,
        anonymous: bool = False, personal: str | None = None, allowed_origins: Sequence[str] | None = None,
        name: str = "", version: str = "hubbub",
    ) -> None:  # fmt: skip
        self._service = Service(
            broker=broker, tokens=tokens, subscription_tokens=subscription_tokens, namespaces=namespaces, names=names,
            bounds=bounds, limits=limits, insecure=insecure, anonymous=anonymous, personal=personal,
            allowed_origins=allowed_origins, name=name, version=version,
        )  # fmt: skip
        self.hub: Hub = self._service.hub
        """Of its sessions alone; a server is started with it."""

    def __repr__(self) -> str:
        return f"<Realtime: {len(self._service.sessions)} sessions, {len(self._service.channels)} channels>"

    # What a program decides

    def on_connect(self, handler: F) -> F:
        """Decorate what decides who a client is: `handler(client, data)`.

        Data is what the client sent with its connect command, as bytes, usually JSON; b"": nothing. The handler is
        asked of every client, when its token has been checked: `client.user` is who that says, and `client.headers`
        are those of the request. It returns a Connected, or None to leave it to the token; or raises Denied.
        """
        self._service.handlers.connect = judged(handler, "on_connect", "client", "data")
        return handler

    def on_disconnect(self, handler: F) -> F:
        """Decorate what is told of each client that was connected and is gone: `handler(client)`.

        Not called where this process is killed.
        """
        self._service.handlers.disconnect = judged(handler, "on_disconnect", "client")
        return handler

    def on_subscribe(self, pattern: str) -> Callable[[F], F]:
        """Decorate what decides who may subscribe to channels such as "chat:*": `handler(client, channel)`.

        It returns None or an Accepted to allow it, or raises Denied. Private channels, those with a token, and those
        that are limited to users never ask it.
        """
        add = self._service.handlers.subscribe.add
        return _above(lambda handler: add(pattern, handler), pattern, "on_subscribe", "client", "channel")

    def on_refresh(self, handler: F) -> F:
        """Decorate what decides whether a client stays whose time is over: `handler(client)`.

        For yes it returns a Refreshed; for no it returns None, or raises Denied: then the connection ends with 3005. If
        it fails it is asked again, for `Bounds.expired_grace`, but 5 s at least. With such a handler clients are not
        told that they expire, and need no new tokens.
        """
        self._service.handlers.refresh = judged(handler, "on_refresh", "client")
        return handler

    def on_sub_refresh(self, pattern: str) -> Callable[[F], F]:
        """Decorate the same for subscriptions: `handler(client, channel)`.

        For no, the subscription ends with 2501; if the server made it, the connection ends with 3006.
        """
        add = self._service.handlers.sub_refresh.add
        return _above(lambda handler: add(pattern, handler), pattern, "on_sub_refresh", "client", "channel")

    def on_publish(self, pattern: str) -> Callable[[F], F]:
        """Decorate what decides what clients publish: `handler(client, channel, data)`.

        Data is decoded into what the parameter is annotated with, and refused if it does not fit. What it returns is
        published instead; None: what the client sent. Or it raises Denied.
        """
        add = self._service.handlers.publish.add
        return _above(lambda handler: add(pattern, Typed(handler)), pattern, "on_publish", "client", "channel", "data")

    def on_presence(self, pattern: str) -> Callable[[F], F]:
        """Decorate what is told of this node's clients that come and go: `handler(client, channel, joined)`.

        Of each client first with `joined` True, then with False; calls of an `async def` may overlap.
        """
        add = self._service.handlers.presence.add
        return _above(lambda handler: add(pattern, handler), pattern, "on_presence", "client", "channel", "joined")

    def on_message(self, handler: F) -> F:
        """Decorate what takes messages that clients `send` in no channel: `handler(client, data)`, see `on_publish`."""
        self._service.handlers.message = Typed(judged(handler, "on_message", "client", "data"))
        return handler

    def rpc(self, method: str) -> Callable[[F], F]:
        """Decorate what answers calls of that name: `handler(client, data)`, data as of `on_publish`.

        What it returns is the answer, as JSON, or bytes as they are; or it raises Denied.
        """
        rpcs = self._service.handlers.rpcs
        return _above(lambda handler: rpcs.update({method: Typed(handler)}), method, "rpc", "client", "data")

    async def call(self, method: str, data: Any = None) -> Any:
        """Answer a call as if a client had made it, without one: handlers get None for it.

        Raises: Fault: 108 or 104: there is no such method; 107: data of another type. Denied.
        """
        handlers = self._service.handlers.rpcs
        if method not in handlers:
            raise Fault(Errors.METHOD_NOT_FOUND if handlers else Errors.NOT_AVAILABLE)
        handler = handlers[method]
        result = handler.run(None, handler.data(encoded(data)))
        return await result if inspect.isawaitable(result) else result

    # Where it is served

    def handler(self) -> SessionHandler:
        """For our own server: `hubbub.run(rt.handler, hub=rt.hub)`."""
        return SessionHandler(self._service)

    def asgi(self) -> Application:
        """For a framework: an ASGI application to be mounted, such as `app.mount("/connection", rt.asgi())`.

        At full speed on uvicorn with hubbub for WebSockets, and right on any ASGI server. Sessions come to any path of
        it, such as `/connection/websocket`; `/connection/client.js` is a small client for pages that bring none.
        """
        return Application(self._service)

    async def close(self) -> None:
        """Let everybody go, with 3001, after which clients come back, and end what this node does at the broker.

        What waits for the broker is handed over first. At the end of the program that happens by itself.
        """
        for session in list(self._service.sessions.values()):
            session.end(Disconnects.SHUTDOWN)
        await self._service.close()

    def statistics(self) -> RealtimeStatistics:
        """A frozen snapshot of this node; `info` asks all of them."""
        return RealtimeStatistics(
            sessions=len(self._service.sessions),
            users=len(self._service.users),
            subscriptions=sum(len(channel.members) for channel in self._service.channels),
            channels=len(self._service.channels),
            received=self._service.counts.received,
            sent=self._service.counts.sent,
            errors=dict(self._service.counts.errors),
            disconnects=dict(self._service.counts.disconnects),
            hub=self.hub.statistics(),
            broker=self._service.node.statistics(self._service.channels.refused),
        )


def _above(add: Callable[[Any], None], given: Any, decorator: str, *takes: str) -> Callable[[F], F]:
    """A decorator. Raises: Misuse: it was not given for which channels, or method, it is."""
    if not isinstance(given, str) or not given:
        example = "add" if decorator == "rpc" else "chat:*"
        raise Misuse(f'a text is missing, as in @rt.{decorator}("{example}"): {shown(given)} is none')

    def decorate(handler: F) -> F:
        add(judged(handler, decorator, *takes))
        return handler

    return decorate
