"""Servers of NATS, old and new, and nodes on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from engines_nats import SERVERS, NatsServer
from hubbub.brokers.nats import NatsBroker
from support.broker_nodes import Nodes


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes[NatsBroker]]:
    made = Nodes(NatsBroker.from_url)
    yield made
    await made.close()


@pytest.fixture(params=SERVERS)
def which(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(which: str, tmp_path: Path) -> Iterator[NatsServer]:
    running = NatsServer(which, tmp_path).start()
    yield running
    running.kill()
