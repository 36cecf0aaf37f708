"""Which Socket belongs to which ASGI connection: found again by a name in the scope, which stays plain data.

A server may share objects of the scope between connections, and a program may copy, pickle or send them away: so no
Socket is ever kept in there, and nothing is written into an object that the server made, but the scope itself.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Hashable, MutableMapping
from typing import Any
from weakref import WeakValueDictionary

from hubbub.server import Socket

__all__ = ["SOCKET", "SentSockets", "Tickets"]

# Where the name stands in the scope's extensions: of a connection of our own server, and of another's.
SOCKET = "hubbub.socket"
SENT = "hubbub.sent"

Scope = MutableMapping[str, Any]


class Tickets:
    """Connections of our own server. The name is in the scope from the start, the Socket known once it is accepted."""

    def __init__(self) -> None:
        self._sockets: WeakValueDictionary[str, Socket] = WeakValueDictionary()

    @staticmethod
    def issue() -> str:
        """A name that no other connection has, in any process."""
        return secrets.token_hex(8)

    def fill(self, ticket: str, socket: Socket) -> None:
        """The connection is accepted."""
        self._sockets[ticket] = socket

    def of(self, ticket: str) -> Socket | None:
        """Its Socket, as long as anything holds that; None before it is accepted."""
        return self._sockets.get(ticket)


class SentSockets:
    """Sockets over the `send` of other servers, for as long as the task lives that made them.

    The same `send` is the same connection. So is another one, as middlewares wrap it, in the same task with the same
    scope or a copy of it; a scope alone is not, for it may be shared.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, Socket] = {}

    def find(self, scope: Scope, send: Callable[..., Any], task: asyncio.Task[Any]) -> Socket | None:
        """The one that was made before."""
        return self._known.get(send) or self._known.get((_extensions(scope).get(SENT, {}).get("id"), task))

    def keep(self, scope: Scope, send: Callable[..., Any], task: asyncio.Task[Any], socket: Socket) -> None:
        """Find it from here on."""
        name = Tickets.issue()
        scope["extensions"] = {**_extensions(scope), SENT: {"id": name}}
        keys: tuple[Hashable, ...] = (send, (name, task))
        for key in keys:
            self._known[key] = socket
        task.add_done_callback(lambda _: [self._known.pop(key, None) for key in keys])


def _extensions(scope: Scope) -> dict[str, dict[str, str]]:
    return scope.get("extensions") or {}
