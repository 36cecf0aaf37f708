"""Fixtures for all tests."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator

import pytest

from support.client import RawClient


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
