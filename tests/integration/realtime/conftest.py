"""A real-time server on every mount, and clients in both dialects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

import hubbub.asgi
from hubbub.realtime import Realtime, Tokens
from support.asgi_servers import uvicorn_serving
from support.serving import serving
from support.session_client import Peer

SECRET = "a secret that only this test and its server know"


class Place:
    """Where sessions are served, and how clients speak."""

    def __init__(self, stack: AsyncExitStack, mount: str, protobuf: bool) -> None:
        self._stack = stack
        self._mount = mount
        self.protobuf = protobuf
        self.url = ""

    async def serve(self, **options: Any) -> Realtime:
        """A node with these options of Realtime."""
        rt = Realtime(**options)
        if self._mount == "bare":
            server = await self._stack.enter_async_context(serving(rt.handler, hub=rt.hub))
            port = server.port
        else:
            ws = hubbub.asgi.WebSocketProtocol if self._mount == "uvicorn" else "websockets-sansio"
            port, _ = await self._stack.enter_async_context(uvicorn_serving(rt.asgi(), ws=ws))
        self._stack.push_async_callback(rt.close)
        self.url = f"ws://127.0.0.1:{port}/connection/websocket"
        return rt

    def peer(self, url: str = "") -> Peer:
        made = Peer(url or self.url, self.protobuf)
        self._stack.push_async_callback(made.close)
        return made

    async def connected(self, **request: Any) -> Peer:
        """A peer with a session."""
        peer = self.peer()
        reply = await peer.connect(**request)
        assert "connect" in reply, reply
        return peer


@pytest.fixture(params=["bare", "bare, Protobuf", "uvicorn", "another server, Protobuf"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    mount, _, dialect = str(request.param).partition(", ")
    async with AsyncExitStack() as stack:
        yield Place(stack, mount, bool(dialect))


@pytest.fixture(params=["JSON", "Protobuf"])
async def bare(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """For what the mount has no part in."""
    async with AsyncExitStack() as stack:
        yield Place(stack, "bare", request.param == "Protobuf")


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(hmac=SECRET)
