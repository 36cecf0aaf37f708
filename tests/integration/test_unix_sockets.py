"""Unix sockets: who may connect, and whose file it is."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import hubbub
from hubbub.server.listener import bind_unix
from support.client import HEAD, RawClient
from support.processes import running
from support.serving import Echo, serving, until

BOTH_LOOPS = True


ROOT = Path(__file__).parents[2]
NOBODY = 65534
AS_SOMEBODY_ELSE = """
import os, socket, sys
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    client.sendall(sys.argv[3].encode())
    print(client.recv(100).decode().split("\\r\\n")[0])
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """As systemd's RuntimeDirectory makes it."""
    made = Path(tempfile.mkdtemp(prefix="hubbub-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize(("settings", "expected"), [({}, 0o666), ({"uds_mode": 0o660}, 0o660)])
async def test_the_file_has_the_mode_that_one_chooses_whatever_the_umask(
    settings: dict[str, int], expected: int, tmp_path: Path
) -> None:
    path = tmp_path / "chat.sock"
    for mask in (0o077, 0):
        before = os.umask(mask)
        try:
            async with serving(Echo.fresh(), uds=path, **settings):
                assert stat.S_IMODE(path.stat().st_mode) == expected
        finally:
            os.umask(before)


def connect_as(user: int, path: Path, attempt: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", AS_SOMEBODY_ELSE, str(path), str(user), attempt],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    ).stdout.strip()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be two users")
@pytest.mark.parametrize("target", ["chat:Chat", "fastapi_chat:app"])
async def test_a_proxy_of_another_user_connects_as_the_deployment_page_says(target: str, folder: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
    (line,) = re.findall(r"`hubbub (serve [^`]*--uds [^`]+)`", page)
    (proxied,) = set(re.findall(r"server unix:([^;]+);", page))
    assert proxied in line
    path = folder / Path(proxied).name
    command = [argument.replace(proxied, str(path)).replace("chat:Chat", target) for argument in shlex.split(line)]
    attempt = HEAD.format(path="/" if target == "chat:Chat" else "/rooms/a") + "\r\n"
    for options, answer in (([], "HTTP/1.1 101 Switching Protocols"), (["--uds-mode", "600"], "")):
        async with running(
            [sys.executable, "-m", "hubbub", *command, *options],
            cwd=ROOT / "examples",
            stderr=asyncio.subprocess.STDOUT,
        ) as server:
            assert server.stdout is not None
            await until(lambda: path.exists() and listening(path), 20)
            assert await asyncio.to_thread(connect_as, NOBODY, path, attempt) == answer
            server.terminate()
            assert await asyncio.wait_for(server.wait(), 10) == 0
            assert not path.exists()


def listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


async def test_a_server_that_stops_leaves_the_file_of_its_successor(tmp_path: Path) -> None:
    path = tmp_path / "chat.sock"
    async with serving(Echo.fresh(), uds=path):
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(tmp_path / "new.sock"))
            successor.listen()
            (tmp_path / "new.sock").rename(path)
    assert path.exists()


async def test_a_file_that_became_another_kind_is_left(tmp_path: Path) -> None:
    path = tmp_path / "chat.sock"
    async with serving(Echo.fresh(), uds=path):
        path.unlink()
        path.write_text("precious")
    assert path.read_text() == "precious"


async def test_a_server_that_has_only_bound_its_socket_is_not_taken_for_dead(tmp_path: Path) -> None:
    path = str(tmp_path / "chat.sock")
    with bind_unix(path, 0o600):
        with pytest.raises(OSError, match="another process does: stop the program that does"):
            await hubbub.serve(Echo.fresh(), uds=path).__aenter__()


async def test_a_full_queue_is_somebody_who_listens(tmp_path: Path) -> None:
    path = str(tmp_path / "chat.sock")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(path)
        busy.listen(0)
        waiting.connect(path)
        with pytest.raises(OSError, match="another process does"):
            async with asyncio.timeout(2):
                await hubbub.serve(Echo.fresh(), uds=path).__aenter__()


async def test_a_folder_that_is_missing_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "chat.sock"
    with pytest.raises(OSError, match=f"cannot listen on {path}: .*its folder has to be made first"):
        await hubbub.serve(Echo.fresh(), uds=path).__aenter__()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract names")
async def test_an_abstract_name_can_be_handed_over() -> None:
    with socket.socket(socket.AF_UNIX) as ours:
        ours.bind(f"\0hubbub-test-{os.getpid()}")
        async with serving(Echo.fresh(), sockets=[ours]) as server:
            assert server.urls == [f"unix:@hubbub-test-{os.getpid()}"]
            dialled = socket.socket(socket.AF_UNIX)
            dialled.connect(ours.getsockname())
            client = RawClient(*await asyncio.open_unix_connection(sock=dialled))
            client.send(HEAD.format(path="/").encode() + b"\r\n")
            await client.read_answer()
            assert client.status == 101
