"""Unix sockets: who may connect, and whose file it is."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
from pathlib import Path

import pytest

import hubbub
from hubbub.server.listener import bind_unix
from support.client import HEAD, RawClient
from support.serving import Echo, serving

BOTH_LOOPS = True


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
