"""The demo's web application: Starlette for the page, sessions for the rest, one port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, ClassVar

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

import hubbub
import hubbub.asgi
from hubbub.demo.chat import LIMITS, rt, tell_news
from hubbub.supervision import supervise

__all__ = ["app", "serve"]


class Protocol(hubbub.asgi.WebSocketProtocol):
    """uvicorn's WebSockets, within the demo's limits."""

    limits: ClassVar[hubbub.Limits | None] = LIMITS


class Page(StaticFiles):
    """The page: always fresh, and with no way to run what is not ours."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Content-Security-Policy"] = "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


@contextlib.asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[None]:
    news = asyncio.create_task(supervise("the demo's news", tell_news))
    yield
    news.cancel()
    await rt.close()


app: Starlette = Starlette(
    routes=[
        Mount("/connection", rt.asgi()),
        Mount("/", Page(directory=Path(__file__).parent / "static", html=True)),
    ],
    lifespan=lifespan,
)


class _Server(uvicorn.Server):
    """uvicorn that says when it listens, and where."""

    def __init__(self, config: uvicorn.Config, started: Callable[[int], None]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell(int(self.servers[0].sockets[0].getsockname()[1]))


def serve(host: str, port: int, started: Callable[[int], None]) -> None:
    """Serve the demo until SIGINT or SIGTERM.

    Args:
        started: called with the port when it listens.
    """
    config = uvicorn.Config(
        app, host=host, port=port, ws=Protocol, log_config=None, access_log=False, timeout_graceful_shutdown=3
    )
    with contextlib.suppress(KeyboardInterrupt):
        _Server(config, started).run()
