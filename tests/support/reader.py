"""Does what a page of the docs shows, as its reader would: block after block, in a folder of its own.

Python is run as one program. What would serve for ever serves on a free port until a client was there; an `app` that is
left at the end is served as well. So a block fails here if it fails anywhere but for its port.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvicorn

import hubbub
from hubbub.realtime import Realtime
from support.asgi_servers import uvicorn_serving
from support.client import RawClient
from support.pages import ROOT, Block, Page

__all__ = ["read"]

PATIENCE = 40  # seconds
SERVED = ("app", "application", "asgi")


async def read(page: Page, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Raises: whatever a block raises, with the page's name and line in its traceback."""
    serving = Serving(asyncio.get_running_loop(), patch)
    tests = Tests(page, folder)
    for block in page.blocks:
        if block.language != "python" or block.told("skip") is not None:
            continue
        for name in (block.told("copy") or "").split():
            shutil.copy(ROOT / name, folder)
        if block.title:
            (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.title).write_text(block.text)
        if (file := block.told("as in")) is not None:
            assert block.text.strip() in (ROOT / file).read_text(), f"{page.path.name}:{block.line} is not in {file}"
        elif block.tests:
            tests.take(block)
        elif not block.title or not (block.hidden or block.title == "conftest.py"):
            await run(page, block)
    await serving.applications(page)
    await end(page)
    await tests.run()


async def run(page: Page, block: Block) -> None:
    if block.told("apart") is not None:
        await end(page)
    code, awaits = page.compiled(block.text, block.line)
    page.names["__name__"] = "__main__" if "__main__" in block.text else f"a page: {page.path.name}"
    expected = block.told("raises")
    try:
        async with asyncio.timeout(PATIENCE):
            if awaits:
                await eval(code, page.names)
            else:  # on a plain thread, as a program is
                await asyncio.to_thread(exec, code, page.names)
    except Exception as error:
        if type(error).__name__ != expected:
            error.add_note(f"in {page.path.relative_to(ROOT)}, the block of line {block.line}")
            raise
    else:
        assert expected is None, f"{page.path.name}:{block.line} does not raise {expected}"


class Tests:
    """What a page shows of tests, in the order of its blocks; a block without a title goes on with the file before."""

    def __init__(self, page: Page, folder: Path) -> None:
        self._page, self._folder = page, folder
        self._last = folder / "test_shown.py"
        self._told: list[str] = []

    def take(self, block: Block) -> None:
        self._told += shlex.split(block.told("pytest") or "")
        if block.title:
            self._last = self._folder / block.title
        else:
            with self._last.open("a") as file:
                file.write(f"\n\n{block.text}")

    async def run(self) -> None:
        """All of them, by a pytest of their own."""
        if not any(self._folder.rglob("test_*.py")):
            return
        settings = [
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "pytest_asyncio.plugin",
            "-o",
            "asyncio_mode=auto",
            "-o",
            "faulthandler_timeout=15",
        ]
        command = [sys.executable, "-W", "ignore", "-m", "pytest", *settings, "--rootdir", str(self._folder)]
        said = self._folder / "said"  # no pipe, which a relay might keep open
        with said.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command, *self._told, str(self._folder), cwd=self._folder, stdout=log, stderr=log,
                env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            )  # fmt: skip
        try:
            await asyncio.wait_for(process.wait(), PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()
        assert process.returncode == 0, f"{self._page.path.name}\n{said.read_text()}"


async def end(page: Page) -> None:
    """Close what is open, and forget all names."""
    made = [thing for thing in page.names.values() if isinstance(thing, hubbub.Hub | Realtime)]
    hubs = {id(thing.hub) for thing in made if isinstance(thing, Realtime)}
    for thing in made:
        if id(thing) not in hubs:  # which its sessions close
            await thing.close()
    page.begin()


class Serving:
    """Stands in for what serves for ever, on the loop of the test."""

    def __init__(self, loop: asyncio.AbstractEventLoop, patch: pytest.MonkeyPatch) -> None:
        self._loop = loop
        self._servers: list[hubbub.Server] = []
        self._serve = hubbub.serve
        self._run = inspect.signature(hubbub.run)
        patch.setattr(hubbub, "run", self._called(self._hubbub_run))
        patch.setattr(hubbub, "serve", self._noted)
        patch.setattr(uvicorn, "run", self._called(self._uvicorn_run))
        patch.setattr(asyncio, "run", self._called(self._asyncio_run))

    def _called(self, function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        """To be called on another thread."""

        def call(*args: Any, **settings: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(function(*args, **settings), self._loop).result(PATIENCE)

        return call

    def _noted(self, handler: Any, **settings: Any) -> hubbub.Server:
        if not settings.keys() & {"uds", "sockets"}:
            settings |= {"port": 0, "host": "127.0.0.1"}
        server = self._serve(handler, **settings)
        self._servers.append(server)
        return server

    async def _hubbub_run(self, *args: Any, **settings: Any) -> None:
        given = self._run.bind(*args, **settings).arguments
        handler, started = given.pop("handler"), given.pop("started", None)
        for name in ("workers", "loop"):  # what takes a process of its own
            given.pop(name, None)
        async with self._noted(handler, **given) as server:
            if started is not None:
                started(server)
            await self._visited(server)

    async def _uvicorn_run(self, app: Any, *, ws: Any = "auto", **settings: Any) -> None:
        uvicorn.Config(app, ws=ws, **settings)  # which takes them
        if isinstance(app, str):
            module, _, name = app.partition(":")
            app = getattr(importlib.import_module(module), name)
        await visited(app, ws)

    async def _asyncio_run(self, main: Coroutine[Any, Any, Any], **settings: Any) -> Any:
        """Until it ends, or its server was visited."""
        before = len(self._servers)
        task = asyncio.ensure_future(main)
        while not task.done():
            await asyncio.sleep(0.002)
            for server in self._servers[before:]:
                if server.port:
                    await self._visited(server)
                    task.cancel()
        return None if task.cancelled() else task.result()

    async def _visited(self, server: hubbub.Server) -> None:
        client = await RawClient.dial(server.port)
        client.send(b"GET / HTTP/1.1\r\n\r\n")  # a server over TLS knows what this is as well
        await client.at_end()
        client.kill()

    async def applications(self, page: Page) -> None:
        for name in SERVED:
            app = page.names.get(name)
            if callable(app) and not inspect.isclass(app):
                await visited(app, "hubbub.asgi:WebSocketProtocol")


async def visited(app: Any, ws: Any) -> None:
    """Serve it, with its startup and shutdown, and ask for its first page."""
    async with uvicorn_serving(app, ws=ws, lifespan="auto") as (port, _):
        client = await RawClient.dial(port)
        client.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        await client.read_answer()
        assert client.status < 500
