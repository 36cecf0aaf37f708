"""Each framework's endpoint that the page shows is a room."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.asgi_servers import uvicorn_serving
from support.client import RawClient
from support.modules import from_page
from support.serving import until


@pytest.mark.parametrize("framework", ["litestar", "quart"])
async def test_a_room(framework: str, tmp_path: Path) -> None:
    pytest.importorskip(framework, reason=f"pip install {framework}")
    made = from_page("how-to/frameworks.md", f"with_{framework}.py", tmp_path)
    async with uvicorn_serving(made.app, lifespan="auto") as (port, _):
        ann, bob = [await RawClient.connect(port, "/rooms/lobby") for _ in range(2)]
        await until(lambda: made.hub.count("lobby") == 2)
        ann.text("hi")
        assert (await ann.read(), await bob.read()) == ("hi", "hi")
        made.hub.broadcast("lobby", "news")
        assert await bob.read() == "news"
