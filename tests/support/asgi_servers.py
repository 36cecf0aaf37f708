"""ASGI servers on free loopback ports, in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn

import hubbub.asgi
from support.client import RawClient
from support.serving import until


@contextlib.asynccontextmanager
async def uvicorn_serving(
    app: Any, *, ws: Any = hubbub.asgi.WebSocketProtocol, **settings: Any
) -> AsyncIterator[tuple[int, uvicorn.Server]]:
    """uvicorn with that WebSocket implementation; gives its port and itself. It is stopped as a signal would."""
    settings.setdefault("lifespan", "off")
    settings.setdefault("log_config", None)
    settings.setdefault("timeout_graceful_shutdown", 5)
    config = uvicorn.Config(app, ws=ws, port=0, **settings)
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await until(lambda: server.started or task.done())
        yield listening.getsockname()[1], server
    finally:
        while RawClient.alive:
            RawClient.alive.pop().kill()
        server.should_exit = True
        async with asyncio.timeout(10):
            await task


@contextlib.asynccontextmanager
async def hypercorn_serving(app: Any) -> AsyncIterator[int]:
    """hypercorn, a server that knows nothing of hubbub; gives its port."""
    import hypercorn
    from hypercorn.asyncio import serve

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = hypercorn.Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.graceful_timeout = 1
    stop = asyncio.Event()
    task = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))
    try:
        await until(lambda: _answers(port))
        yield port
    finally:
        while RawClient.alive:
            RawClient.alive.pop().kill()
        stop.set()
        async with asyncio.timeout(10):
            await task


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
