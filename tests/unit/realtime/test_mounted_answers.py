"""What a mount answers to requests that are no WebSockets."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.realtime import Realtime
from hubbub.realtime.mounts import SMALL_CLIENT


async def asked(path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    sent: list[dict[str, Any]] = []

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    await Realtime().asgi()({"type": "http", "method": method, "path": path, "headers": []}, receive, send)
    start, body = sent
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body["body"]


@pytest.mark.parametrize("path", ["/client.js", "/connection/client.js"])
async def test_it_has_a_small_client(path: str) -> None:
    status, headers, body = await asked(path)
    assert (status, headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert body == SMALL_CLIENT.read_bytes()
    assert b"window.Centrifuge" in body
    status, headers, nothing = await asked(path, "HEAD")
    assert (status, nothing, headers["content-length"]) == (200, b"", str(len(body)))


@pytest.mark.parametrize(("path", "method"), [("/connection/websocket", "GET"), ("/client.js", "POST"), ("/", "GET")])
async def test_it_tells_what_it_is_for(path: str, method: str) -> None:
    status, headers, body = await asked(path, method)
    assert (status, headers["upgrade"]) == (426, "websocket")
    assert b"Centrifuge clients" in body
