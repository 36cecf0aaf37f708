"""The bare server on asyncio: listeners, connections, users' handlers.

`run` and `serve` start it (`run.py`, `server.py`); `connection.py` is the life of one connection, and `session.py`
calls its Handler. `sweep.py` keeps time for all. `asgi` builds on `Connection`, `Context` and `Socket`.
"""

from hubbub.hub import Cause, Closed, Link, Socket
from hubbub.server.connection import PLAIN, Connection
from hubbub.server.context import Context, ServerStatistics
from hubbub.server.handler import Handler
from hubbub.server.inbox import Inbox
from hubbub.server.phase import Phase
from hubbub.server.run import Loop, event_loop, run
from hubbub.server.server import DEFAULT_PORT, Server, serve

__all__ = [
    "DEFAULT_PORT",
    "PLAIN",
    "Cause",
    "Closed",
    "Connection",
    "Context",
    "Handler",
    "Inbox",
    "Link",
    "Loop",
    "Phase",
    "Server",
    "ServerStatistics",
    "Socket",
    "event_loop",
    "run",
    "serve",
]
