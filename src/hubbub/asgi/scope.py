"""The ASGI scope of an upgrade request, and how uvicorn's log names it."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from urllib.parse import quote, unquote

from hubbub.wire import Request

__all__ = ["client_of", "path_of", "scope_of"]


def scope_of(
    request: Request, config: Any, transport: asyncio.Transport, state: dict[str, Any], extensions: dict[str, Any]
) -> dict[str, Any]:
    """Plain data, but for what the application itself keeps in `state`.

    Args:
        config: uvicorn's.
        state: the lifespan's, of which each connection has a copy.
    """
    root = config.root_path
    tls = transport.get_extra_info("sslcontext") is not None
    return {
        "type": "websocket",
        "asgi": {"version": config.asgi_version, "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss" if tls else "ws",
        "server": _address(transport.get_extra_info("sockname")),
        "client": _address(request.peer),
        "root_path": root,
        "path": root + unquote(request.path),
        "raw_path": root.encode("ascii") + request.path.encode("ascii"),
        "query_string": request.target.partition("?")[2].encode("ascii"),
        "headers": [(name.encode("ascii"), value.encode("latin-1")) for name, value in request.headers.pairs()],
        "subprotocols": request.subprotocols,
        "state": state.copy(),
        "extensions": {"websocket.http.response": {}, **extensions},
    }


def client_of(scope: dict[str, Any]) -> str:
    """The client in uvicorn's log: the one that its proxy told of, if any."""
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else ""


def path_of(scope: dict[str, Any]) -> str:
    """The path and query in uvicorn's log, encoded again."""
    query = scope["query_string"].decode("ascii")
    return quote(scope["path"]) + (f"?{query}" if query else "")


def _address(address: Any) -> tuple[str, int | None] | None:
    """As ASGI wants it: host and port, or the path of a Unix socket and None."""
    if isinstance(address, tuple):
        host, port, *_ = cast("tuple[Any, ...]", address)
        return str(host), int(port)
    return (str(address), None) if address else None
