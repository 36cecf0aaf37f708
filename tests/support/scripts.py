"""Programs in JavaScript, run by Node with a WebSocket as browsers have it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.processes import running

__all__ = ["node"]


@contextlib.asynccontextmanager
async def node(folder: Path, *, main: str, **files: str) -> AsyncIterator[Any]:
    """A program in JavaScript, and a function that reads what it says next."""
    if shutil.which("node") is None:
        pytest.skip("no Node here: apt-get install nodejs")
    for name, text in {"main": main, **files}.items():
        (folder / f"{name}.mjs").write_text(text)
    pipe = asyncio.subprocess.PIPE
    command = ["node", "--experimental-websocket", "--no-warnings", "main.mjs"]
    async with running(command, cwd=folder, stdin=pipe, stderr=pipe) as process:
        assert process.stdout is not None

        async def said() -> Any:
            line = await asyncio.wait_for(process.stdout.readline(), 10)
            if not line:
                error = (await process.stderr.read()).decode()
                if "bad option" in error:
                    pytest.skip("this Node has no WebSocket: take 22 or later")
                raise AssertionError(error)
            return json.loads(line)

        yield process, said
        process.kill()
        await process.communicate()
