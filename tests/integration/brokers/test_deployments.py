"""Several workers of the servers that people use: rooms across them, and workers that are restarted under load."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import hubbub
from support.client import RawClient
from support.deployments import SERVERS, TOLD_ELSEWHERE, Deployment, Server, Visitor, deployed, engine, visitors
from support.serving import serving, until

pytestmark = pytest.mark.timeout(120)

APPLICATIONS = (
    "uvicorn",
    "gunicorn",
    "gunicorn-asgi",
    "hypercorn",
    "serve-app",
)  # a Handler with a hub in several is refused
NEWS = """
import itertools, hubbub, time
for number in itertools.count():
    hubbub.publish("lobby", f"news {number}")
    time.sleep(0.002)
"""


@pytest.fixture
def kind() -> str:
    return "local"


@pytest.fixture
def broker(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In the environment, for all programs."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with engine(kind, tmp_path) as url:
        monkeypatch.setenv("HUBBUB_BROKER", url)
        yield


@contextlib.asynccontextmanager
async def witness() -> AsyncIterator[tuple[hubbub.Hub, list[str]]]:
    """A hub of this process, and what a member hears who never goes: the order that all others have to have, too."""
    hub = hubbub.Hub()
    heard: list[str] = []

    class Member(hubbub.Handler):
        def opened(self) -> None:
            hub.join("lobby", self.socket)

    async with serving(Member, hub=hub) as server:
        client = await RawClient.connect(server.port)
        await until(lambda: hub.statistics().broker.up)  # type: ignore[union-attr]

        async def listen() -> None:
            while True:
                with contextlib.suppress(TimeoutError):
                    heard.append(str(await client.read()))

        listening = asyncio.create_task(listen())
        try:
            yield hub, heard
        finally:
            listening.cancel()
            client.kill()
    await hub.close()


@contextlib.contextmanager
def news() -> Any:
    """A process that serves nobody, and publishes."""
    publisher = subprocess.Popen([sys.executable, "-c", NEWS], env=os.environ)
    try:
        yield
    finally:
        publisher.terminate()
        publisher.wait(10)


CASES = [(server, "local", 4) for server in SERVERS]
CASES += [(SERVERS[0], kind, 2) for kind in ("sqlite", "redis", "nats")]
CASES += [
    (dataclasses.replace(server, name=f"{server.name}-killed", restart="each KILL", cuts=True), "local", 2)
    for server in SERVERS
    if server.name in ("uvicorn", "gunicorn", "run")
]


@pytest.mark.parametrize(("server", "kind", "workers"), CASES, ids=str)
async def test_workers_are_restarted_under_load(
    server: Server, kind: str, workers: int, tmp_path: Path, broker: None
) -> None:
    async with witness() as (hub, heard), deployed(server, tmp_path, workers) as deployment:
        everyone = await visitors(deployment)
        before = {visitor.visit.process for visitor in everyone}
        assert len(before) == deployment.workers
        listening = [asyncio.create_task(visitor.listen()) for visitor in everyone]
        talking = [asyncio.create_task(visitor.talk()) for visitor in everyone]
        with news():
            await until(lambda: all(len(visitor.visit.heard) > 20 for visitor in everyone), 20)
            await restart(deployment, before)
            await until(lambda: not before & {visitor.visit.process for visitor in everyone}, 60)
            await asyncio.sleep(0.3)
        for task in talking:
            task.cancel()
        async with asyncio.timeout(10):
            while not all(visitor.visit.heard[-1:] == ["the end"] for visitor in everyone):
                hub.broadcast("lobby", "the end")
                await asyncio.sleep(0.2)
        for task in listening:
            task.cancel()
        judge(everyone, heard, deployment)


async def restart(deployment: Deployment, before: set[int]) -> None:
    if not deployment.server.restart.startswith("each"):
        return deployment.signal(deployment.server.restart)
    for process in before:
        deployment.signal(deployment.server.restart.removeprefix("each "), process)
        await until(lambda process=process: not Path(f"/proc/{process}/fd").exists(), 15)  # type: ignore[misc]
        await asyncio.sleep(0.3)


def judge(everyone: list[Visitor], heard: list[str], deployment: Deployment) -> None:
    """What came to each connection is a piece of what came to the witness: nothing is missing, twice, or elsewhere."""
    order = {text: number for number, text in enumerate(spoken(heard))}
    assert len(order) == len(spoken(heard)), "something came twice"
    for visit in (visit for visitor in everyone for visit in visitor.visits):
        got = [order[text] for text in spoken(visit.heard)]
        if got:
            assert got == list(range(got[0], got[0] + len(got))), f"{visit.name}\n{deployment.log}"
    ended = [visit for visitor in everyone for visit in visitor.visits[:-1]]
    assert "this process is one of" not in deployment.log
    if deployment.server.cuts:
        return
    assert {visit.closed for visit in ended} <= {1001, 1012}, deployment.log
    for visit in ended:  # said by the process that was going itself
        assert heard.count(f"{visit.name} left") == 1, f"{visit.name} {visit.process}\n{deployment.log}"


def spoken(heard: list[str]) -> list[str]:
    """All but who comes and goes, for that is not told to whom it is about, and all but the last word."""
    return [text for text in heard if not text.endswith((" came", " left", "the end"))]


@pytest.mark.parametrize("server", [server for server in SERVERS if server.name in ("uvicorn", "gunicorn")], ids=str)
async def test_workers_are_added_and_taken_away(server: Server, tmp_path: Path, broker: None) -> None:
    async with deployed(server, tmp_path, 2) as deployment:
        (await deployment.connect())[0].kill()
        deployment.signal("TTIN")
        deployment.workers = 3
        everyone = await visitors(deployment, each=1)
        listening = [asyncio.create_task(visitor.listen()) for visitor in everyone]
        await say(everyone, "one room")
        deployment.signal("TTOU")
        await until(lambda: len({visitor.visit.process for visitor in everyone}) == 2, 20)
        ended = [visit for visitor in everyone for visit in visitor.visits[:-1]]
        assert {visit.closed for visit in ended} == {1012}
        await say(everyone, "still one room")
        for task in listening:
            task.cancel()


async def say(everyone: list[Visitor], text: str) -> None:
    """Again until all have heard it: who has just come may not be a member yet."""
    async with asyncio.timeout(10):
        while not all(any(heard.endswith(f": {text}") for heard in visitor.visit.heard) for visitor in everyone):
            everyone[0].client.text(text)
            await asyncio.sleep(0.1)


RELOADING = Server(
    "uvicorn-reload",
    (
        *("-m", "uvicorn", "edited:app", "--ws", "hubbub.asgi:WebSocketProtocol", "--port", "{port}"),
        *("--reload", "--reload-dir", "edited"),
    ),
    file=("edited/edited.py", "from support.chat import app\n"),
    module="watchfiles",
)


async def test_an_edited_program_is_reloaded(tmp_path: Path, broker: None) -> None:
    """Its clients are told to come back, and those of another server lose nothing."""
    async with witness() as (hub, heard), deployed(RELOADING, tmp_path, 1) as deployment:
        (visitor,) = await visitors(deployment, each=1)
        listening = asyncio.create_task(visitor.listen())
        await until(lambda: f"{visitor.visit.name} came" in heard)
        hub.broadcast("lobby", "before")
        await until(lambda: "before" in visitor.visit.heard)
        (tmp_path / "edited" / "edited.py").write_text("from support.chat import app  # edited\n")
        await until(lambda: len(visitor.visits) == 2, 30)
        assert visitor.visits[0].closed == 1012
        assert visitor.visits[0].process != visitor.visits[1].process
        await until(lambda: {f"{visitor.visits[0].name} left", f"{visitor.visit.name} came"} <= set(heard))
        hub.broadcast("lobby", "after")
        await until(lambda: "after" in visitor.visit.heard)
        listening.cancel()
    assert "this process is one of" not in deployment.log


@pytest.mark.parametrize(
    "server", [server for server in SERVERS if server.name in APPLICATIONS] + TOLD_ELSEWHERE, ids=str
)
async def test_workers_without_a_broker_say_what_is_missed(server: Server, tmp_path: Path) -> None:
    """Once each."""
    async with deployed(server, tmp_path, 2, HUBBUB_BROKER="") as deployment:
        await visitors(deployment, each=2)
    assert deployment.log.count("this process is one of 2") == 2, deployment.log
    assert deployment.log.count("HUBBUB_BROKER=local:") == 2
