"""The WebSocket objects of frameworks whose way to the ASGI `send` is known.

Only what is in this table is taken for one: others have a `send` with a meaning of its own, and whatever they are given
would be lost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, NamedTuple

__all__ = ["Framework", "Progress", "framework_of"]


class Progress(Enum):
    """Where a framework says that its connection stands."""

    CONNECTING = "not accepted yet"
    OPEN = "open"
    OVER = "closed, denied or lost"


class Framework(NamedTuple):
    """How one framework's object is used."""

    send: str
    """Its attribute that takes ASGI messages."""
    progress: Callable[[Any], Progress]
    watch: Callable[[Any, Callable[[], None]], None]
    """Call the second as soon as the framework has received that the client is gone."""


def framework_of(target: Any) -> Framework | None:
    """The one whose object, or that of a subclass, this is."""
    for kind in type(target).__mro__:
        if (known := _KNOWN.get(f"{kind.__module__}:{kind.__qualname__}")) is not None:
            return known
    return None


def _starlette(websocket: Any) -> Progress:
    if websocket.application_state.name == "CONNECTING":
        return Progress.CONNECTING
    states = {websocket.client_state.name, websocket.application_state.name}
    return Progress.OVER if states & {"DISCONNECTED", "RESPONSE"} else Progress.OPEN


def _litestar(websocket: Any) -> Progress:
    states = {"init": Progress.CONNECTING, "disconnect": Progress.OVER}
    return states.get(websocket.connection_state, Progress.OPEN)


def _channels(_: Any) -> Progress:
    return Progress.OPEN  # a consumer does not say


def _watch_receive(websocket: Any, gone: Callable[[], None]) -> None:
    receive: Callable[[], Awaitable[Any]] = websocket.receive

    async def watched() -> Any:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            gone()
        return message

    websocket.receive = watched


def _watch_consumer(consumer: Any, gone: Callable[[], None]) -> None:
    handle: Callable[[Any], Awaitable[None]] | None = getattr(consumer, "websocket_disconnect", None)

    async def watched(message: Any) -> None:
        gone()
        if handle is not None:
            await handle(message)

    consumer.websocket_disconnect = watched


_KNOWN = {
    "starlette.websockets:WebSocket": Framework("send", _starlette, _watch_receive),  # FastAPI's is the same
    "litestar.connection.websocket:WebSocket": Framework("send", _litestar, _watch_receive),
    "channels.consumer:AsyncConsumer": Framework("base_send", _channels, _watch_consumer),
}
