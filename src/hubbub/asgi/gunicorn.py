"""gunicorn's worker with hubbub for WebSockets: `gunicorn app:app -k hubbub.asgi.gunicorn.Worker -w 4`."""

# pyright: reportMissingImports=false, reportUntypedBaseClass=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import Any

from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped, import-not-found, unused-ignore]

__all__ = ["Worker"]


class Worker(UvicornWorker):  # type: ignore[misc, unused-ignore]
    """uvicorn in a process of gunicorn's. It needs both: pip install gunicorn uvicorn-worker."""

    CONFIG_KWARGS: dict[str, Any] = {**UvicornWorker.CONFIG_KWARGS, "ws": "hubbub.asgi:WebSocketProtocol"}  # noqa: RUF012
