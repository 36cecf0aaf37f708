"""hubbub: channels over WebSockets. Join a channel, broadcast to it, and every member gets the message.

Start with `Handler`, `Hub` and `run`; `serve` embeds a server in a program's own event loop, and `hubbub.asgi` brings
channels into FastAPI, Starlette, Django and any other ASGI application.
"""

from hubbub.brokers import History, Published
from hubbub.errors import BrokerUnavailable, Disconnected, HubbubError, LimitReached, Misuse, Overloaded, Reject
from hubbub.hub import Hub, Member, Overflow, Statistics, publish, publish_async
from hubbub.limits import Limits
from hubbub.node import BrokerStatistics, Ticket
from hubbub.server import Cause, Closed, Handler, Server, ServerStatistics, Socket, run, serve
from hubbub.wire import Deflate, Frame, Request, binary, text

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
