"""What the connections of one uvicorn server share, from uvicorn's own settings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from hubbub.hub import Hub
from hubbub.limits import Limits
from hubbub.logs import PeerLog
from hubbub.server import Context
from hubbub.wire import Deflate, Origins

__all__ = ["LOG", "context_of"]

LOG: logging.Logger = logging.getLogger("uvicorn.error")  # where uvicorn's own WebSocket implementations write
NEVER = 1e9  # seconds: what stands for "no pings" in a field that is always a number
ANY = 10**9  # what stands for "no bound" in a field that is always a number

_contexts: WeakKeyDictionary[Any, Context] = WeakKeyDictionary()


def context_of(
    config: Any,
    server_state: Any,
    *,
    hub: Hub | None,
    limits: Limits | None,
    compression: Deflate | None,
    allowed_origins: Sequence[str] | None,
) -> Context:
    """The one of that server, made with its first connection.

    Args:
        limits: instead of uvicorn's settings.
        compression: how it is negotiated, if uvicorn's settings have it on.
    """
    context = _contexts.get(server_state)
    loop = asyncio.get_running_loop()
    if context is None or context.loop is not loop:
        limits = limits or _limits(config)
        agreed = compression if config.ws_per_message_deflate else None
        origins = None if allowed_origins is None else Origins(allowed_origins)
        context = _contexts[server_state] = Context(
            hub=hub, limits=limits, compression=agreed, loop=loop, origins=origins
        )
        context.log = PeerLog(limits.max_log_rate, logger=LOG)
    return context


def _limits(config: Any) -> Limits:
    """What uvicorn's settings say, 0 and None as its own implementations take them: nothing here may raise."""
    size = ANY if config.ws_max_size is None else max(config.ws_max_size, 1)
    return Limits(
        max_message_size=size,
        max_inbox=_above_zero(config.ws_max_queue, ANY),
        max_inbox_size=size,
        ping_interval=_above_zero(config.ws_ping_interval, NEVER),
        pong_timeout=_above_zero(config.ws_ping_timeout, NEVER),
    )


def _above_zero(value: Any, otherwise: Any) -> Any:
    return value if value is not None and value > 0 else otherwise
