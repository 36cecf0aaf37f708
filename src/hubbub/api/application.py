"""The HTTP API with its health and metrics, as one Starlette application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hubbub.api.endpoint import MAX_BODY, Api
from hubbub.api.metrics import CONTENT_TYPE, exposition, samples
from hubbub.realtime import Realtime

__all__ = ["Exposed", "Front", "api_app", "health"]


def api_app(
    rt: Realtime,
    *,
    key: str = "",
    insecure: bool = False,
    max_body: int = MAX_BODY,
) -> Front:
    """An ASGI application to be mounted: POST /api/METHOD, POST /api, GET /health, GET /metrics.

    Args:
        key: what programs have to know, in the header X-API-Key, as `Authorization: apikey KEY`, or as `?api_key=KEY`.
            "": nobody is let in.
        insecure: everybody is let in, but for pages in browsers.
        max_body: bytes of the largest request.

    Raises: Misuse: a key that is no text; a size below one.
    """
    api = Api(rt, key=key, insecure=insecure, max_body=max_body)
    metrics = Exposed(lambda: exposition([({}, list(samples(rt, api.counts)))]))
    routes = [Route("/health", health), Route("/metrics", metrics.page)]
    return Front(api, Starlette(routes=routes))


async def health(_: Request) -> Response:
    """The server is up."""
    return Response(b"{}", media_type="application/json")


class Exposed:
    """The page for Prometheus."""

    def __init__(self, page: Callable[[], bytes]) -> None:
        self._page = page

    async def page(self, _: Request) -> Response:
        return Response(self._page(), headers={"content-type": CONTENT_TYPE})


class Front:
    """Starlette behind the API, whose requests would cost twice as much if they were routed like others."""

    def __init__(self, api: Api | None, rest: Starlette) -> None:
        self._api = api
        self._rest = rest

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        api = self._api
        if api is not None and scope["type"] == "http" and api.serves(scope):
            await api(scope, receive, send)
        else:
            await self._rest(scope, receive, send)
