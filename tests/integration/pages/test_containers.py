"""The files for Docker and Kubernetes agree with themselves and with hubbub, and their commands are run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import hubbub
from engines_redis import RedisServer
from support.client import RawClient
from support.pages import DOCS, Block, Page
from support.processes import running
from support.serving import until
from support.shown import JUDGES

FILES = DOCS.parent / "deploy"
DOCKERFILE = (FILES / "Dockerfile").read_text().replace("\\\n", "")
COMPOSE = yaml.safe_load((FILES / "compose.yaml").read_text())
MANIFEST = list(yaml.safe_load_all((FILES / "kubernetes.yaml").read_text()))


def one(kind: str, name: str = "chat") -> dict[str, Any]:
    (found,) = [each for each in MANIFEST if each["kind"] == kind and each["metadata"]["name"] == name]
    spec: dict[str, Any] = found["spec"]
    return spec


def instruction(word: str) -> list[str]:
    found = re.findall(rf"^{word} .*?(\[.*\])$", DOCKERFILE, re.MULTILINE)
    words: list[str] = json.loads(found[-1])
    return words


@pytest.mark.parametrize(("name", "language"), [("Dockerfile", "dockerfile"), ("kubernetes.yaml", "yaml")])
def test_their_commands_are_hubbubs(name: str, language: str) -> None:
    JUDGES[language](Block(language, (FILES / name).read_text(), 1))


def test_the_page_shows_what_the_manifest_has() -> None:
    def without_indent(text: str) -> str:
        return "\n".join(line.strip() for line in text.splitlines())

    page = Page("how-to/docker.md")
    shown = next(block.text for block in page.blocks if "terminationGracePeriodSeconds" in block.text)
    assert without_indent(shown) in without_indent((FILES / "kubernetes.yaml").read_text())


def test_pods_have_the_time_that_hubbub_takes() -> None:
    pod = one("Deployment")["template"]["spec"]
    (container,) = pod["containers"]
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > waits + hubbub.Limits().shutdown_timeout
    grace = int(COMPOSE["services"]["chat"]["stop_grace_period"].rstrip("s"))
    assert grace > hubbub.Limits().shutdown_timeout
    (ingress,) = [each for each in MANIFEST if each["kind"] == "Ingress"]
    silence = ingress["metadata"]["annotations"]
    assert int(silence["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > hubbub.Limits().ping_interval
    assert pod["enableServiceLinks"] is False


def test_what_refers_to_something_finds_it() -> None:
    for name in "chat", "redis":
        workload = one("Deployment" if name == "chat" else "StatefulSet", name)
        labels = workload["template"]["metadata"]["labels"]
        (container,) = workload["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        service = one("Service", name)
        assert workload["selector"]["matchLabels"] == service["selector"] == labels
        assert {port["targetPort"] for port in service["ports"]} <= set(ports)
        for probe in (container.get(f"{kind}Probe") for kind in ("readiness", "liveness")):
            assert probe is None or (probe["httpGet"]["port"] in ports and probe["httpGet"]["path"] == "/health")
    (chat,) = one("Deployment")["template"]["spec"]["containers"]
    assert chat["command"] == instruction("CMD")
    assert str(chat["ports"][0]["containerPort"]) == chat["command"][-1]
    assert f"EXPOSE {chat['command'][-1]}" in DOCKERFILE
    assert f"USER {chat['securityContext']['runAsUser']}" in DOCKERFILE
    assert one("PodDisruptionBudget")["selector"]["matchLabels"] == one("Service")["selector"]
    assert one("PodDisruptionBudget")["minAvailable"] < one("Deployment")["replicas"]
    backend = one("Ingress")["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend["port"]["name"] in {port["name"] for port in one("Service", backend["name"])["ports"]}
    services = COMPOSE["services"]
    assert set(services["chat"]["depends_on"]) <= set(services)
    mounted = {volume.partition(":")[0] for each in services.values() for volume in each.get("volumes", ())}
    assert mounted == set(COMPOSE["volumes"])
    assert services["caddy"]["command"].split()[-1] == "chat:8000"


@contextlib.asynccontextmanager
async def container(folder: Path, broker: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """The image's command, with the environment of the files, on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    _, *words = [word.replace("8000", str(port)).replace("0.0.0.0", "127.0.0.1") for word in instruction("CMD")]
    environment = {"HUBBUB_BROKER": broker, "CHAT_SECRET": "x" * 32}
    command, nowhere = [sys.executable, "-m", "hubbub", *words], asyncio.subprocess.DEVNULL
    async with running(command, cwd=folder, env=environment, stdout=nowhere) as process:
        await until(lambda: answers(port), 20)
        yield process, port


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def healthy(port: int) -> bool:
    """What the image's own check says."""
    _, *check = [word.replace("8000", str(port)) for word in instruction("HEALTHCHECK")]
    nowhere = asyncio.subprocess.DEVNULL
    async with running([sys.executable, *check], stdout=nowhere, stderr=nowhere) as process:
        return await asyncio.wait_for(process.wait(), 10) == 0


async def test_two_containers_are_one_chat_and_stop_in_good_order(tmp_path: Path) -> None:
    redis = RedisServer("wheel", tmp_path, *COMPOSE["services"]["redis"]["command"][1:]).start()
    try:
        (tmp_path / "chat.py").write_text(Page("how-to/docker.md").left[0])
        async with container(tmp_path, redis.url) as (one, here), container(tmp_path, redis.url) as (_, there):
            assert await healthy(here)
            async with httpx.AsyncClient() as http:
                assert (await http.get(f"http://127.0.0.1:{there}/health")).json() == {}
            ann, bob = await RawClient.connect(here, "/rooms/lobby"), await RawClient.connect(there, "/rooms/lobby")
            heard = asyncio.create_task(bob.read())
            while not heard.done():  # bob's process takes a moment to join the channel
                ann.text("hi")
                await asyncio.wait([heard], timeout=0.05)
            assert heard.result() == "hi"
            one.send_signal(signal.SIGTERM)
            assert (await ann.read_close())[0] == 1012
            ann.kill()
            assert await asyncio.wait_for(one.wait(), 10) == 0
            assert not await healthy(here)
            bob.kill()
    finally:
        redis.kill()
