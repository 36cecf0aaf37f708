"""The same tests for both kinds of outlets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.outlets import KINDS, NewSocket, PairSocket


@pytest.fixture(params=["transport", "compiled"])
def new_socket(request: pytest.FixtureRequest) -> Iterator[NewSocket]:
    """Makes a socket of that kind."""
    if request.param not in KINDS:
        pytest.skip("the compiled fan-out is not used here: HUBBUB_NATIVE=0, or it was not built")
    yield KINDS[request.param]
    while PairSocket.open:
        PairSocket.open.pop().close()
