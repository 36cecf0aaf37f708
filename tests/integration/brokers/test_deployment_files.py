"""The files in deploy/: their tools take them, and behind the proxies several processes are one chat."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.client import RawClient
from support.deployments import Deployment, Server, Visitor, deployed
from support.processes import running
from support.serving import until

FILES = Path(__file__).parents[3] / "deploy"
PAGES = [page.read_text() for page in (FILES.parent / "docs" / "how-to").glob("*.md")]
IN_PART = {"kubernetes.yaml"}  # the page on Kubernetes has what matters of it, and a test of its own
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
ALONE = Server(
    "alone",
    ("-m", "uvicorn", "support.chat:app", "--ws", "hubbub.asgi:WebSocketProtocol", "--port", "{port}"),
)


@pytest.mark.parametrize("file", sorted(FILES.iterdir()), ids=lambda file: file.name)
def test_a_page_shows_each_file_as_it_is(file: Path) -> None:
    if file.name not in IN_PART:
        assert any(f"\n{file.read_text()}```\n" in page for page in PAGES)


def tool(name: str, package: str) -> str:
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"no {name} here: apt install {package}")
    return found


@pytest.mark.parametrize("name", ["chat.service", "chat@.service", "chat-relay.service"])
def test_systemd_takes_the_units(name: str, tmp_path: Path) -> None:
    program = tool("systemd-analyze", "systemd")
    here = str(Path(sys.executable).parent / "hubbub")
    for file in FILES.glob("*.service"):
        (tmp_path / file.name).write_text(file.read_text().replace("/srv/chat/.venv/bin/hubbub", here))
    unit = tmp_path / name.replace("@", "@8001")
    if "@" in name:
        unit.symlink_to(tmp_path / name)
    done = subprocess.run([program, "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=30)
    if "Failed to" in done.stderr and "bus" in done.stderr:
        pytest.skip(f"systemd-analyze needs more than there is here: {done.stderr}")
    assert (done.returncode, done.stderr) == (0, "")


@contextlib.asynccontextmanager
async def nginx(folder: Path, ports: list[int]) -> AsyncIterator[int]:
    port = free_port()
    site = written("nginx.conf", ports).replace("listen 80;", f"listen 127.0.0.1:{port};")
    paths = "".join(f"{kind}_temp_path {folder}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid; error_log stderr; daemon off; events {{}} http {{ access_log off; {paths}\n{site}}}"
    )
    command = [tool("nginx", "nginx-light"), "-c", f"{folder}/nginx.conf", "-e", "stderr"]
    subprocess.run([*command, "-t"], check=True, capture_output=True, timeout=30)
    async with running(command):
        yield port


@contextlib.asynccontextmanager
async def caddy(folder: Path, ports: list[int]) -> AsyncIterator[int]:
    port = free_port()
    site = written("Caddyfile", ports).replace("chat.example.com", f"http://:{port}")
    (folder / "Caddyfile").write_text("{\n\tadmin off\n}\n" + site)
    program, file = tool("caddy", "caddy"), ["--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"]
    home = {"HOME": str(folder)}
    subprocess.run([program, "validate", *file], env=home, check=True, capture_output=True, timeout=30)
    async with running([program, "run", *file], env=home, stderr=asyncio.subprocess.DEVNULL):
        yield port


def written(name: str, ports: list[int]) -> str:
    """The file, with our ports."""
    text = (FILES / name).read_text()
    for number, port in zip((8001, 8002), ports, strict=True):
        text = text.replace(f":{number}", f":{port}")
    return text


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.mark.parametrize("proxy", [nginx, caddy], ids=lambda proxy: proxy.__name__)
async def test_one_process_behind_a_proxy_is_restarted(proxy: object, tmp_path: Path) -> None:
    """Its clients come back by way of the other one; those of the other one notice nothing."""
    async with contextlib.AsyncExitStack() as stack:
        relay = [sys.executable, "-m", "hubbub", "relay", f"{tmp_path}/relay.sock"]
        await stack.enter_async_context(running(relay))
        places: list[Deployment] = []
        for number in "12":
            (tmp_path / number).mkdir()
            places.append(
                await stack.enter_async_context(
                    deployed(ALONE, tmp_path / number, 1, HUBBUB_BROKER=f"local:{tmp_path}/relay.sock")
                )
            )
        for place in places:
            (await place.connect())[0].kill()
        port = await stack.enter_async_context(proxy(tmp_path, [place.port for place in places]))  # type: ignore[operator]
        behind = Deployment.__new__(Deployment)  # the same, by another port
        behind.__dict__ |= places[0].__dict__ | {"port": port}
        visitors = [await visitor(behind, f"v{number}") for number in range(6)]
        listening = [asyncio.create_task(one.listen()) for one in visitors]
        assert {one.visit.process for one in visitors} == {place.process.pid for place in places}

        visitors[0].client.text("one")
        await until(lambda: all("v0.0: one" in one.visit.heard for one in visitors))
        places[1].process.send_signal(signal.SIGTERM)
        gone = [one for one in visitors if one.visit.process == places[1].process.pid]
        await until(lambda: all(one.visit.process == places[0].process.pid for one in visitors), 15)
        assert {one.visits[0].closed for one in gone} == {1012}
        await asyncio.sleep(0.1)
        visitors[1].client.text("two")
        await until(lambda: all(any(text.endswith(": two") for text in one.visit.heard) for one in visitors))
        assert all(len(one.visits) == 1 for one in visitors if one not in gone)
        for task in listening:
            task.cancel()
        while RawClient.alive:
            RawClient.alive.pop().kill()


async def visitor(deployment: Deployment, name: str) -> Visitor:
    return Visitor(name, deployment, *await deployment.connect(f"{name}.0"))
