"""Fixtures for all tests."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from hubbub.hub import publishing
from hubbub.wire import frames, handshake, protocol
from support.client import RawClient
from support.twins import Twin, twin_named


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Any]:
    """The event loop of a test; modules that set BOTH_LOOPS run theirs on uvloop as well."""
    factories: dict[str, Any] = {"asyncio": asyncio.new_event_loop}
    if isinstance(item, pytest.Function) and getattr(item.module, "BOTH_LOOPS", False):
        with contextlib.suppress(ImportError):
            import uvloop

            factories["uvloop"] = uvloop.new_event_loop
    return factories


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
            if "gone_clients" not in item.fixturenames:
                item.fixturenames.append("gone_clients")


@pytest.fixture
async def gone_clients() -> AsyncIterator[None]:
    """Every RawClient that a test leaves behind is cut."""
    yield
    while RawClient.alive:
        RawClient.alive.pop().kill()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def gone_publishers() -> Iterator[None]:
    """What `hubbub.publish` keeps for the next call ends with the test: the next one may have another folder."""
    yield
    while publishing._nodes:
        publishing._nodes.popitem()[1].close()


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder with a short path, in place of pytest's: the kernel takes 107 bytes for the path of a socket."""
    with tempfile.TemporaryDirectory(prefix="hb-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module", params=["python", "compiled"])
def twin(request: pytest.FixtureRequest) -> Iterator[Twin]:
    """Both twins of the codec, one after the other, in the place of the one that was chosen."""
    try:
        chosen = twin_named(request.param)
    except ImportError as error:
        pytest.skip(f"there is no compiled part here: {error}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "Reader", chosen.Reader)
        patch.setattr(frames, "mask", chosen.mask)
        patch.setattr(handshake, "_judge_head", chosen.judge_head)
        patch.setattr(handshake, "_read_head", chosen.read_head)
        yield chosen
