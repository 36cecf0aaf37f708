"""gunicorn's worker with hubbub for WebSockets: `gunicorn app:app -k hubbub.asgi.gunicorn.Worker -w 4`."""

from __future__ import annotations

from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker

__all__ = ["Worker"]


class Worker(UvicornWorker):
    """uvicorn in a process of gunicorn's. It needs gunicorn and uvicorn-worker: pip install 'hubbub[gunicorn]'."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {**UvicornWorker.CONFIG_KWARGS, "ws": "hubbub.asgi:WebSocketProtocol"}
