"""What the pages on logging and metrics show: events in Sentry, lines in JSON, and Prometheus' numbers and alarms."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

import hubbub
from hubbub.realtime import Realtime
from support.asgi_servers import uvicorn_serving
from support.client import RawClient
from support.pages import DOCS, Page
from support.serving import serving, until

ALERTS = DOCS.parent / "deploy" / "alerts.yaml"
SENTRY = """
import asyncio, json, logging
from sentry_sdk.transport import Transport
import uvicorn, websockets
import hubbub.asgi
from fastapi import FastAPI, WebSocket

kept = []
sentry_sdk.get_client().transport = type("Kept", (Transport,), {"capture_envelope": lambda _, one: kept.append(one)})()
logging.basicConfig(level=logging.INFO)

class Telling(hubbub.Handler):
    def message(self, data):
        try:
            raise KeyError(data)
        except KeyError as error:
            with sentry_sdk.new_scope() as scope:
                scope.set_user({"id": "ann"})
                sentry_sdk.capture_exception(error)
            raise

app = FastAPI()

@app.websocket("/")
async def endpoint(websocket: WebSocket):
    await websocket.accept()
    raise ValueError(await websocket.receive_text())

async def say(url, said):
    async with websockets.connect(url) as client:
        await client.send(said)
        try:
            print(await client.recv())
        except websockets.ConnectionClosed as error:
            print(error.rcvd.code)

async def main():
    async with hubbub.serve(Chat, port=0) as server:
        for said in "4", "no number", "none either":
            await say(server.urls[0], said)
    async with hubbub.serve(Telling, port=0) as server:
        await say(server.urls[0], "told")
    config = uvicorn.Config(app, port=0, ws=hubbub.asgi.WebSocketProtocol, log_config=None)
    config.load()
    served = uvicorn.Server(config)
    task = asyncio.create_task(served.serve())
    while not served.started:
        await asyncio.sleep(0.005)
    await say("ws://127.0.0.1:%d" % served.servers[0].sockets[0].getsockname()[1], "from an endpoint")
    served.should_exit = True
    await task

asyncio.run(main())
print(json.dumps([item.payload.json for one in kept for item in one.items if item.type == "event"]))
"""


def test_sentry_has_an_event_of_each_callback_that_raises() -> None:
    pytest.importorskip("sentry_sdk", reason="pip install sentry-sdk")
    shown = next(text for text in Page("how-to/logging.md").left if "sentry" in text)
    program = shown.partition("\nif __name__")[0] + SENTRY
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    *codes, events = done.stdout.splitlines()
    assert codes == ["2.0", "1011", "1011", "1011", "1011"]
    found: list[dict[str, Any]] = json.loads(events)
    errors = [event["exception"]["values"][-1] for event in found]
    assert [error["type"] for error in errors] == ["ValueError", "ValueError", "KeyError", "ValueError"]  # each once
    assert [event.get("logger") for event in found] == ["hubbub", "hubbub", None, None]
    assert "no number" in errors[0]["value"]
    assert errors[0]["stacktrace"]["frames"][-1]["function"] == "message"
    assert found[2]["user"]["id"] == "ann"
    assert errors[3]["value"] == "from an endpoint"


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    loggers = [root, logging.getLogger("hubbub"), logging.getLogger("uvicorn")]
    before = [(one, one.handlers[:], one.level, one.propagate) for one in loggers]
    yield
    for one, handlers, level, propagate in before:
        one.handlers, one.level, one.propagate = handlers, level, propagate


@pytest.mark.usefixtures("logging_as_it_was")
async def test_lines_in_json_hold_the_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    class Raising(hubbub.Handler):
        def message(self, data: str) -> None:
            raise ValueError(data)

    page = Page("how-to/logging.md")
    page.left = [text for text in page.left if "sentry" not in text]
    await page.run(len(page.left))
    async with serving(Raising) as server:
        client = await RawClient.connect(server.port)
        client.text("two\nlines")
        assert (await client.read_close())[0] == 1011
    line = json.loads(capfd.readouterr().err.splitlines()[-1])
    assert (line["level"], line["logger"]) == ("ERROR", "hubbub")
    assert "ValueError: two" in line["traceback"]


async def test_prometheus_gets_sessions_and_channels() -> None:
    page = Page("how-to/metrics.md")
    await page.run(len(page.left))
    from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

    REGISTRY.unregister(page.numbers)

    class Member(hubbub.Handler):
        def opened(self) -> None:
            page.hub.join("lobby", self.socket)

    registry = CollectorRegistry()
    registry.register(page.Numbers())
    async with serving(Member, hub=page.hub) as server:
        client = await RawClient.connect(server.port)
        await until(lambda: page.hub.count("lobby") == 1)
        page.hub.broadcast("lobby", "hi")
        assert await client.read() == "hi"
        told = generate_latest(registry).decode()
    assert "chat_members 1.0" in told
    assert "chat_deliveries_total 1.0" in told
    async with uvicorn_serving(page.app) as (port, _), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        exposed = (await http.get("/internal/metrics")).text
        assert (await http.get("/internal/health")).json() == {}
        assert (await http.post("/internal/api/info", json={})).status_code == 401
    named = set(re.findall(r"`(hubbub_\w+)`", page.path.read_text()))
    families = set(re.findall(r"^# TYPE (\w+) ", exposed, re.MULTILINE))
    always = {name for name in named if not re.search("errors|disconnects|drops|api_requests", name)}
    assert always <= families | {f"{name}_total" for name in families}
    await page.rt.close()


async def test_alarms_ask_for_what_there_is() -> None:
    from hubbub.api import Api, metrics

    rules = yaml.safe_load(ALERTS.read_text())
    shown = [block.text for block in Page("how-to/metrics.md").blocks if block.language == "yaml"]
    assert rules in [yaml.safe_load(text) for text in shown]
    rt = Realtime(broker="memory:")
    there = {(name, labels.get("what")) for name, labels, _ in metrics.samples(rt, Api(rt).counts)}
    for rule in rules["groups"][0]["rules"]:
        asked = re.findall(r"hubbub_\w+", rule["expr"])
        assert asked
        for name, what in re.findall(r'(hubbub_\w+)\{what="(\w+)"', rule["expr"]):
            assert (name.removesuffix("_total"), what) in there
        assert {name.removesuffix("_total") for name in asked} <= set(metrics._KNOWN)
        assert rule["annotations"]["summary"].endswith((".", "?"))
    await rt.close()
