"""The same tests for both kinds of outlets, and no socket left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.outlets import KINDS, LocalSocket, NewSocket


@pytest.fixture(params=["transport", "compiled"])
def new_socket(request: pytest.FixtureRequest) -> NewSocket:
    """Makes a socket of that kind."""
    if request.param not in KINDS:
        pytest.skip("the compiled fan-out is not used here: HUBBUB_NATIVE=0, or it was not built")
    return KINDS[request.param]


@pytest.fixture(autouse=True)
def closed_sockets() -> Iterator[None]:
    """Every socket that a test leaves behind is closed."""
    yield
    while LocalSocket.open:
        LocalSocket.open.pop().close()
