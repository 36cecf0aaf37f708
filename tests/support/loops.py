"""Tests on both event loops: a module that imports `event_loop_policy` from here runs its tests on each."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    POLICIES: dict[str, Any] = {"asyncio": asyncio.DefaultEventLoopPolicy()}
    try:
        import uvloop

        POLICIES["uvloop"] = uvloop.EventLoopPolicy()
    except ImportError:
        pass


@pytest.fixture(params=list(POLICIES))
def event_loop_policy(request: pytest.FixtureRequest) -> Any:
    return POLICIES[request.param]
