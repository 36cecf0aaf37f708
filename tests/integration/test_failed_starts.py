"""What fails while it starts, a server or a handler, leaves nothing behind and takes nobody along."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from pathlib import Path

import pytest

import hubbub
from support.client import RawClient
from support.serving import Echo, serving, until

BOTH_LOOPS = True


def bound(port: int = 0) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


async def test_a_listener_that_cannot_open_closes_those_before_and_after_it(tmp_path: Path) -> None:
    path = str(tmp_path / "chat.sock")
    with bound() as taken, bound(taken.getsockname()[1]) as late, socket.socket() as probe:
        taken.listen()  # now the other one may not
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        with pytest.raises(OSError, match="in use"):
            async with serving(Echo.fresh(), port=port, uds=path, sockets=[late]):
                pass
        with pytest.raises(ConnectionRefusedError):
            await RawClient.dial(port)
        assert not os.path.exists(path)
    async with serving(Echo.fresh(), port=port, uds=path) as server:
        assert (await RawClient.connect(server.port)).status == 101


async def test_a_server_without_descriptors_for_its_start_gives_back_its_address() -> None:
    with bound() as probe:
        port = probe.getsockname()[1]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    made = hubbub.serve(Echo.fresh(), port=port)
    with socket.socket() as next_one:
        most = next_one.fileno() + 1  # one more, for what listens
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        with contextlib.suppress(OSError):  # the loop itself needs none
            async with made:
                pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    async with serving(Echo.fresh(), port=port) as server:
        assert (await RawClient.connect(server.port)).status == 101


async def test_a_socket_that_carries_no_stream_is_refused() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        with pytest.raises(hubbub.Misuse, match="stream sockets"):
            async with serving(Echo.fresh(), port=0, sockets=[datagrams]):
                pass


async def test_a_handler_that_cannot_be_made_is_a_500_and_no_callback_is_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handler, broken = Echo.fresh(), True

    def make() -> hubbub.Handler:
        if broken:
            raise RuntimeError("nothing to make it of")
        return handler()

    async with serving(make) as server:
        client = await RawClient.connect(server.port)
        assert (client.status, client.headers["error"]) == (500, "handler")
        client.kill()
        await until(lambda: server.statistics().connections == 0)
        broken = False
        assert (await RawClient.connect(server.port)).status == 101
    assert [record.getMessage().splitlines()[0] for record in caplog.records if record.name == "hubbub"] == [
        "a handler's handshake raised"
    ]
