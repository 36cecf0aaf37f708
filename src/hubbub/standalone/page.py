"""The page of `hubbub serve --dev`, which connects, and shows that it works."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from hubbub.realtime.mounts import SMALL_CLIENT

__all__ = ["client_file", "routes"]

STATIC = Path(__file__).parent / "static"
CLIENT = Path("node_modules/centrifuge/dist/centrifuge.js")  # where npm puts it
POLICY = "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; frame-ancestors 'none'"
HEADERS = {"cache-control": "no-cache", "content-security-policy": POLICY, "x-content-type-options": "nosniff"}


def client_file() -> Path | None:
    """The published client, if npm has installed it here."""
    return CLIENT.absolute() if CLIENT.is_file() else None


def routes(client: Path | None) -> list[BaseRoute]:
    """The page, its script and its style, and the client for it: where there is none, a small one of our own."""
    files = {
        "/": (STATIC / "index.html", "text/html"),
        "/page.js": (STATIC / "page.js", "text/javascript"),
        "/page.css": (STATIC / "page.css", "text/css"),
        "/centrifuge.js": (client or SMALL_CLIENT, "text/javascript"),
    }
    return [Route(path, _sending(file, kind)) for path, (file, kind) in files.items()]


def _sending(file: Path, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def send(_: Request) -> Response:
        return FileResponse(file, media_type=kind, headers=HEADERS)

    return send
