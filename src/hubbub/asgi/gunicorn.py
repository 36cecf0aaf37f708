"""gunicorn's worker with hubbub for WebSockets: `gunicorn app:app -k hubbub.asgi.gunicorn.Worker -w 4`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["Worker"]

_base: Any = import_module("uvicorn_worker").UvicornWorker  # neither it nor gunicorn has types
_settings: dict[str, Any] = {**_base.CONFIG_KWARGS, "ws": "hubbub.asgi:WebSocketProtocol"}

Worker: type[Any] = type("Worker", (_base,), {"CONFIG_KWARGS": _settings})
"""uvicorn in a process of gunicorn's. It needs both: pip install gunicorn uvicorn-worker."""
