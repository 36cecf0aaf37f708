"""Programs that a test runs beside itself, and stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from typing import Any


@contextlib.asynccontextmanager
async def running(command: list[str], **settings: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program with its output piped. What still runs at the end is interrupted, then killed after five seconds."""
    settings.setdefault("stdout", asyncio.subprocess.PIPE)
    settings["env"] = {**os.environ, "PYTHONUNBUFFERED": "1", **settings.get("env", {})}
    process = await asyncio.create_subprocess_exec(*command, **settings)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            try:
                async with asyncio.timeout(5):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
