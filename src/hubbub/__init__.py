"""hubbub: channels over WebSockets. Join a channel, broadcast to it, and every member gets the message.

Start with `Handler`, `Hub` and `run`; `serve` embeds a server in a program's own event loop, and `hubbub.asgi` brings
channels into FastAPI, Starlette, Django and any other ASGI application. `hubbub.realtime` has sessions for clients of
the Centrifuge protocol. `hubbub.asgi`, `hubbub.realtime` and `hubbub.api` are imported when they are first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from hubbub.brokers import History, Published
from hubbub.errors import BrokerUnavailable, Disconnected, HubbubError, LimitReached, Misuse, Overloaded, Reject
from hubbub.hub import Hub, Member, Overflow, Statistics, publish, publish_async
from hubbub.limits import Limits
from hubbub.node import BrokerStatistics, Ticket
from hubbub.server import Cause, Closed, Handler, Server, ServerStatistics, Socket, run, serve
from hubbub.wire import Deflate, Frame, Request, binary, text

if TYPE_CHECKING:
    from hubbub import api as api
    from hubbub import asgi as asgi
    from hubbub import realtime as realtime

    __version__: str

__all__ = [
    "BrokerStatistics",
    "BrokerUnavailable",
    "Cause",
    "Closed",
    "Deflate",
    "Disconnected",
    "Frame",
    "Handler",
    "History",
    "Hub",
    "HubbubError",
    "LimitReached",
    "Limits",
    "Member",
    "Misuse",
    "Overflow",
    "Overloaded",
    "Published",
    "Reject",
    "Request",
    "Server",
    "ServerStatistics",
    "Socket",
    "Statistics",
    "Ticket",
    "binary",
    "publish",
    "publish_async",
    "run",
    "serve",
    "text",
]

_LATER = ("api", "asgi", "realtime")


def _later(name: str) -> Any:
    if name in _LATER:
        return importlib.import_module(f"hubbub.{name}")
    if name == "__version__":
        from importlib import metadata

        return metadata.version("hubbub")
    raise AttributeError(f"module 'hubbub' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_LATER, *(name for name in globals() if name.startswith("__")), "__version__"])


if not TYPE_CHECKING:  # or to those who check types there would be whatever one asks for
    __getattr__ = _later
