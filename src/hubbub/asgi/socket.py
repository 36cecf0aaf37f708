"""From an ASGI endpoint to its Socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

from hubbub.asgi.frameworks import Framework, Progress, framework_of
from hubbub.asgi.protocol import tickets
from hubbub.asgi.sender import Sender
from hubbub.asgi.sockets import SOCKET, SentSockets
from hubbub.errors import Misuse
from hubbub.limits import Limits
from hubbub.server import Socket

__all__ = ["socket"]

Scope = MutableMapping[str, Any]
Send = Callable[[Any], Awaitable[None]]

ACCEPT_FIRST = "accept the connection first: before that nothing can be sent to it, so that it can be in no channel"

_sent_sockets = SentSockets()


def socket(target: Any, send: Send | None = None, *, limits: Limits | None = None) -> Socket:
    """The Socket of an endpoint's WebSocket connection, to join channels with. Call it when that is accepted.

    On uvicorn with `hubbub.asgi.WebSocketProtocol` it is the connection's own, at full speed. On any other ASGI server
    it is one over the application's `send`: slower, with the same order, backlog and overflow policy, and with no pings
    of its own. That one lives as long as the task that calls this, which is to be the endpoint's; when the endpoint
    returns, the socket has left every channel. Calling again gives the same socket.

    Args:
        target: the framework's WebSocket (Starlette's, FastAPI's, Litestar's, an asynchronous consumer of Channels),
            or the raw scope. On our own server anything with a `scope`.
        send: the application's `send`; needed on another server for a raw scope, and for other frameworks' objects.
        limits: bounds of the slower socket; `max_backlog` and `backlog_timeout` matter.

    Raises: Misuse: not a WebSocket's scope, no way to send that is known to be ASGI's, or not accepted yet. (Of a raw
        scope on another server nobody can tell whether it is.)
    """
    found: Any = cast("Any", target) if isinstance(target, MutableMapping) else getattr(target, "scope", None)
    scope: Scope = cast("Scope", found) if isinstance(found, MutableMapping) else {}
    if scope.get("type") != "websocket":
        raise Misuse(f"socket takes a WebSocket with a scope, or the scope of one, not {target!r}")
    extensions: dict[str, dict[str, str]] = scope.get("extensions") or {}
    if SOCKET not in extensions:
        return _over_send(target, scope, send, limits or Limits())
    known = tickets.of(extensions[SOCKET]["id"])
    if known is None:
        raise Misuse(ACCEPT_FIRST)
    return known


def _over_send(target: Any, scope: Scope, send: Send | None, limits: Limits) -> Socket:
    framework = None if send is not None else framework_of(target)
    if send is None:
        send = _send_of(target, framework)
    task = _task()
    known = _sent_sockets.find(scope, send, task)
    if known is not None:
        return known
    progress = Progress.OPEN if framework is None else framework.progress(target)
    if progress is Progress.CONNECTING:
        raise Misuse(ACCEPT_FIRST)
    sender = Sender(send, task, scope.get("client"), limits)
    _sent_sockets.keep(scope, send, task, sender.socket)
    if framework is not None:
        framework.watch(target, sender.end)
    if progress is Progress.OVER:
        sender.end()
    return sender.socket


def _send_of(target: Any, framework: Framework | None) -> Send:
    send: Send | None = None if framework is None else getattr(target, framework.send, None)
    if send is None:
        raise Misuse(
            f"this server is not hubbub's, and {type(target).__name__} has no `send` that is known to take ASGI"
            " messages: pass the application's `send` with its scope, hubbub.asgi.socket(scope, send), or run uvicorn"
            " with --ws hubbub.asgi:WebSocketProtocol"
        )
    return send


def _task() -> asyncio.Task[Any]:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs in this thread
        task = None
    if task is None:
        raise Misuse("call socket inside an asynchronous endpoint, whose task the socket lives as long as")
    return task
