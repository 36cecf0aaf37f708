"""From an ASGI endpoint to its Socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

from hubbub.asgi.protocol import SOCKET
from hubbub.asgi.sender import Sender, SentSocket
from hubbub.errors import Misuse
from hubbub.limits import Limits
from hubbub.server import Socket

__all__ = ["socket"]

Scope = MutableMapping[str, Any]


def socket(
    target: Any, send: Callable[[Any], Awaitable[None]] | None = None, *, limits: Limits | None = None
) -> Socket:
    """The Socket of an endpoint's WebSocket connection, to join channels with. Call it when that is accepted.

    On uvicorn with `hubbub.asgi.WebSocketProtocol` it is the connection's own, at full speed. On any other ASGI server
    it is one over the application's `send`: slower, with the same order, backlog and overflow policy, and with no pings
    of its own. That one lives as long as the task that calls this, which is to be the endpoint's; when the endpoint
    returns, the socket has left every channel. Calling again gives the same socket.

    Args:
        target: the framework's WebSocket (anything with a `scope`, as Starlette's and FastAPI's), or the raw scope.
        send: the application's `send`; needed for a raw scope on another server.
        limits: bounds of the slower socket; `max_backlog` and `backlog_timeout` matter.

    Raises: Misuse: not a WebSocket's scope, or no way to send.
    """
    found: Any = cast("Any", target) if isinstance(target, MutableMapping) else getattr(target, "scope", None)
    scope: Scope = cast("Scope", found) if isinstance(found, MutableMapping) else {}
    if scope.get("type") != "websocket":
        raise Misuse(f"socket takes a WebSocket with a scope, or the scope of one, not {target!r}")
    extensions: dict[str, dict[str, Socket]] = scope.setdefault("extensions", {})
    known = extensions.get(SOCKET)
    if known is None:
        made = _over_send(target, scope, send, limits or Limits())
        known = extensions[SOCKET] = {"socket": made}
    return known["socket"]


def _over_send(target: Any, scope: Scope, send: Any, limits: Limits) -> Socket:
    if send is None:
        send = getattr(target, "send", None)
    if send is None:
        raise Misuse(
            "this server is not hubbub's: pass the application's `send` too, hubbub.asgi.socket(scope, send),"
            " or run uvicorn with --ws hubbub.asgi:WebSocketProtocol"
        )
    task = asyncio.current_task()
    if task is None:
        raise Misuse("call socket inside the endpoint, whose task the socket lives as long as")
    sender = Sender(send, task, scope.get("client"), limits)
    return SentSocket(sender, sender.outlet)
