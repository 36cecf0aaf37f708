"""The chat of examples/fastapi_chat.py, and one of Handlers, whose members are told first which process they are in."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi_chat import app as example

import hubbub

__all__ = ["Chat", "app", "hub"]

Message = MutableMapping[str, Any]
hub = hubbub.Hub(broker=os.environ.get("CHAT_BROKER") or None)


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The example, as it is."""

    async def greet(message: Message) -> None:
        await send(message)
        if message["type"] == "websocket.accept":
            await send({"type": "websocket.send", "text": f"process {os.getpid()}"})

    await example(scope, receive, greet)


class Chat(hubbub.Handler):
    """The same without a framework."""

    def handshake(self, request: hubbub.Request) -> str | None:
        self.name = request.query.get("name", "somebody")
        return None

    def opened(self) -> None:
        self.write(f"process {os.getpid()}")
        hub.join("lobby", self.socket)

    def message(self, data: str | bytes) -> None:
        hub.broadcast("lobby", f"{self.name}: {data!s}")

    def closed(self, reason: hubbub.Closed) -> None:
        hub.broadcast("lobby", f"{self.name} left")


if __name__ == "__main__":
    hubbub.run(Chat, hub=hub, port=int(os.environ["PORT"]), workers=int(os.environ["WORKERS"]))
