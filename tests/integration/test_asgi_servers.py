"""`hubbub.asgi.socket` on every ASGI server that the docs name: each as a program of its own."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.client import RawClient

UVICORN = ["uvicorn", "support.rooms:app", "--port", "{port}", "--ws"]
SERVERS = {
    "hubbub": [*UVICORN, "hubbub.asgi:WebSocketProtocol"],
    "websockets-sansio": [*UVICORN, "websockets-sansio"],
    "wsproto": [*UVICORN, "wsproto"],
    "hypercorn": ["hypercorn", "support.rooms:app", "--bind", "127.0.0.1:{port}"],
    "granian": ["granian", "--interface", "asgi", "--port", "{port}", "support.rooms:app"],
    "daphne": ["daphne", "--bind", "127.0.0.1", "--port", "{port}", "support.rooms:app"],
}


@pytest.fixture(scope="module", params=SERVERS)
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    command = SERVERS[request.param]
    if importlib.util.find_spec(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed here")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    program = subprocess.Popen(
        [sys.executable, "-m", *(word.format(port=port) for word in command)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        for _ in range(400):
            if answers(port):
                break
            time.sleep(0.05)
        yield port
    finally:
        os.killpg(program.pid, signal.SIGKILL)
        program.wait(5)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def entered(port: int, way: str, name: str) -> RawClient:
    client = await RawClient.connect(port, f"/{way}/{name}")
    assert await client.read() == f"private for {name}"
    return client


@pytest.mark.parametrize("way", ["raw", "starlette"])
async def test_nobody_gets_what_was_for_another_and_everybody_hears_who_left(port: int, way: str) -> None:
    ann = await entered(port, way, "Ann")
    bob = await entered(port, way, "Bob")
    bob.text("hello")
    assert [await client.read() for client in (ann, bob)] == ["Bob: hello"] * 2
    ann.kill()
    assert await bob.read() == "Ann left room: open False, in []"
    cleo = await entered(port, way, "Cleo")
    cleo.text("hi")
    assert [await client.read() for client in (bob, cleo)] == ["Cleo: hi"] * 2
    await cleo.close()
    assert await bob.read() == "Cleo left room: open False, in []"
    await bob.close()


async def test_the_scope_stays_plain_data_that_leads_to_one_socket(port: int) -> None:
    client = await entered(port, "raw", "Ann")
    client.text("scope")
    assert await client.read() == "plain, and the same socket"
    await client.close()
