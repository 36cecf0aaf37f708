"""A chat with channels, presence and live counts: Starlette for the page, hubbub for the WebSockets, one port.

The page and the server speak JSON objects, told apart by `type`. From the page: hello, join, leave, say. To the page:
welcome, members, joined, left, said, counts, error.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Scope
from starlette.websockets import WebSocket

import hubbub
import hubbub.asgi
from hubbub.supervision import supervise

__all__ = ["app", "hub", "serve"]

LIMITS = hubbub.Limits(max_message_size=16 * 1024, max_message_rate=50, max_channels_per_socket=32)
EVERYONE = ("everyone",)  # a channel that no page can name: theirs are strings
COUNTS_INTERVAL = 1.0  # seconds between two reports of the live counts
RATE_OVER = 5.0  # seconds that the rate of messages is the mean of

hub: hubbub.Hub = hubbub.Hub(limits=LIMITS)
_ids = itertools.count(1)
said: collections.deque[float] = collections.deque(maxlen=100_000)  # when each message of the last seconds was said


class Protocol(hubbub.asgi.WebSocketProtocol):
    """uvicorn's WebSockets, within the demo's limits."""

    limits: ClassVar[hubbub.Limits | None] = LIMITS


class Hello(msgspec.Struct, tag="hello"):
    name: str


class Join(msgspec.Struct, tag="join"):
    channel: str


class Leave(msgspec.Struct, tag="leave"):
    channel: str


class Say(msgspec.Struct, tag="say"):
    text: str
    to: str


_decoder = msgspec.json.Decoder(Hello | Join | Leave | Say)


class Guest(msgspec.Struct):
    """Who a connection is: the meta of its memberships."""

    id: int
    name: str


class Refused(Exception):
    """What the page asked for cannot be; its text is shown to the user."""


def frame(type: str, **content: Any) -> hubbub.Frame:
    """A message to pages, encoded once."""
    return hubbub.text(msgspec.json.encode({"type": type, **content}))


class Visit:
    """One page's connection."""

    def __init__(self, socket: hubbub.Socket) -> None:
        self.socket = socket
        self.guest: Guest = Guest(next(_ids), "")
        self.channels: set[str] = set()  # of its own: a broken connection has left the hub's before we hear of it

    def take(self, data: str) -> None:
        """Do what the page asks for."""
        try:
            self._carry_out(_decoder.decode(data))
        except (Refused, msgspec.DecodeError, hubbub.LimitReached, hubbub.Overloaded) as error:
            self.socket.write(frame("error", text=str(error)))

    def leave_all(self) -> None:
        """The page is gone."""
        for channel in list(self.channels):
            self._leave(channel)

    def _carry_out(self, request: Hello | Join | Leave | Say) -> None:
        if isinstance(request, Hello):
            self.guest.name = _text(request.name, 1, 30, "a name")
            hub.join(EVERYONE, self.socket, self.guest)
            self.socket.write(frame("welcome", id=self.guest.id))
        elif not self.guest.name:
            raise Refused("say hello first, with a name")
        elif isinstance(request, Join):
            self._join(_text(request.channel, 1, 40, "a channel"))
        elif isinstance(request, Leave):
            self._leave(request.channel)
        elif not hub.is_member(request.to, self.socket):
            raise Refused(f"you are not in #{request.to[:40]}")
        else:
            text = _text(request.text, 1, 2000, "a message")
            hub.broadcast(request.to, frame("said", channel=request.to, who=self.guest, text=text, at=time.time()))
            said.append(time.monotonic())

    def _join(self, channel: str) -> None:
        if hub.join(channel, self.socket, self.guest):
            self.channels.add(channel)
            members = [member.meta for member in hub.members(channel)]
            self.socket.write(frame("members", channel=channel, members=members))
            hub.broadcast(channel, frame("joined", channel=channel, who=self.guest), exclude=self.socket)

    def _leave(self, channel: str) -> None:
        if channel in self.channels:
            self.channels.discard(channel)
            hub.leave(channel, self.socket)
            hub.broadcast(channel, frame("left", channel=channel, who=self.guest))


def _text(text: str, least: int, most: int, what: str) -> str:
    text = text.strip()
    if not least <= len(text) <= most:
        raise Refused(f"{what} has {least} to {most} characters")
    return text


async def talk(websocket: WebSocket) -> None:
    """The endpoint."""
    await websocket.accept()
    visit = Visit(hubbub.asgi.socket(websocket))
    try:
        async for text in websocket.iter_text():
            visit.take(text)
    finally:
        visit.leave_all()


class Page(StaticFiles):
    """The page: always fresh, and with no way to run what is not ours."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Content-Security-Policy"] = "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


async def report_counts() -> None:
    """Tell every page, once a second, how many are online, and how many messages a second were said lately."""
    while True:
        await asyncio.sleep(COUNTS_INTERVAL)
        while said and said[0] < time.monotonic() - RATE_OVER:
            said.popleft()
        channels = hub.statistics().channels - 1  # less that of everyone
        counts = frame("counts", online=hub.count(EVERYONE), channels=channels, rate=round(len(said) / RATE_OVER, 1))
        with contextlib.suppress(hubbub.Overloaded):
            hub.broadcast(EVERYONE, counts)


@contextlib.asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[None]:
    counts = asyncio.create_task(supervise("the demo's counts", report_counts))
    yield
    counts.cancel()


app: Starlette = Starlette(
    routes=[
        WebSocketRoute("/ws", talk),
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
