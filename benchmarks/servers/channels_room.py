"""Rooms on Django Channels with its in-memory layer, on uvicorn with uvloop: a group, and `group_send` to it."""

from __future__ import annotations

import sys

import django
import stall
import uvicorn
from django.conf import settings

settings.configure(
    SECRET_KEY="benchmark",
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 100_000}}},
)
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402  Django must be set up first
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402


class Room(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        stall.watch()
        self.room = "room" + self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.channel_layer.group_send(self.room, {"type": "say", "data": bytes_data})

    async def say(self, event: dict[str, bytes]) -> None:
        await self.send(bytes_data=event["data"])

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.room, self.channel_name)


class Echo(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        stall.watch()
        await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(bytes_data=bytes_data)


routes = [path("room/<str:room>", Room.as_asgi()), path("echo", Echo.as_asgi())]
app = ProtocolTypeRouter({"websocket": URLRouter(routes)})

if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",
        log_level="critical",
        backlog=4096,
    )
