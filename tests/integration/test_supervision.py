"""Whatever runs for long is started again: listeners, the sweep, writers."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

import hubbub
from hubbub.server import listener
from support.client import HEAD, RawClient
from support.serving import ChannelHandler, Echo, serving, until


async def echoes(port: int) -> bool:
    client = await RawClient.connect(port)
    client.text("hello")
    return await client.read() == "hello"


async def test_a_listening_socket_that_was_shut_down_is_opened_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener, "WATCH_INTERVAL", 0.01)
    async with serving(Echo.fresh()) as server:
        assert await echoes(server.port)
        lost = server._listeners[0].socket
        lost.shutdown(socket.SHUT_RDWR)
        await until(lambda: server._listeners[0].socket is not lost and server._listeners[0].listening)
        assert await echoes(server.port)
    assert "was lost; opening it again" in caplog.text


async def test_a_unix_socket_that_was_shut_down_is_opened_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(listener, "WATCH_INTERVAL", 0.01)
    path = str(tmp_path / "socket")
    async with serving(Echo.fresh(), uds=path) as server:
        lost = server._listeners[0].socket
        lost.shutdown(socket.SHUT_RDWR)
        await until(lambda: server._listeners[0].socket is not lost)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(HEAD.format(path="/").encode() + b"\r\n")
        assert await reader.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
        writer.close()
    assert caplog.text.count("was lost; opening it again") == 1


async def test_a_stop_that_is_cancelled_keeps_nobody_waiting() -> None:
    async with serving(Echo.fresh()) as server:
        await RawClient.connect(server.port)  # and does not answer the close
        stop = asyncio.create_task(server.stop())
        await until(lambda: server._context.stopping)
        again = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        stop.cancel()
        await asyncio.wait_for(again, 1)
        assert stop.cancelled()


async def test_a_sweep_that_fails_is_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limits = hubbub.Limits(ping_interval=0.05, pong_timeout=5)
    async with serving(Echo.fresh(), limits=limits) as server:
        bad, good = await RawClient.connect(server.port), await RawClient.connect(server.port)
        connection: Any = next(
            c for c in server._context.connections if c.peer() == bad.writer.get_extra_info("sockname")
        )
        monkeypatch.setattr(type(connection), "check", failing_once(type(connection).check, connection))
        assert await good.frame() == (0x89, b"")
    assert "the sweep failed" in caplog.text


def failing_once(check: Any, victim: object) -> Any:
    failed = []

    def checked(self: object, now: float) -> float | None:
        if self is victim and not failed:
            failed.append(True)
            raise RuntimeError("broken sweep")
        result: float | None = check(self, now)
        return result

    return checked


async def test_a_writer_that_fails_is_started_again_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hubbub.hub.outlet.fanout", None)  # the compiled writers have nothing in them that could raise
    hub = hubbub.Hub()
    async with serving(ChannelHandler, hub=hub) as server:
        clients = [await RawClient.connect(server.port) for _ in range(3)]
        for client in clients:
            client.text("join:room")
            assert await client.read() == "ok"
        (pool,) = hub._writers.values()
        write, failures = pool._write, []

        def failing(members: Any, batch: Any) -> None:
            if len(failures) < 2:
                failures.append(True)
                raise RuntimeError("broken writer")
            write(members, batch)

        monkeypatch.setattr(pool, "_write", failing)
        for number in range(5):
            hub.broadcast("room", str(number))
        for client in clients:
            assert [await client.read() for _ in range(5)] == [str(number) for number in range(5)]
        assert hub.statistics().writer_failures == 2
    assert "a writer failed" in caplog.text


async def test_a_hub_goes_on_on_the_next_loop() -> None:
    hub = hubbub.Hub()

    async def one_life() -> list[Any]:
        async with serving(ChannelHandler, hub=hub) as server:
            client = await RawClient.connect(server.port)
            client.text("join:room")
            got = [await client.read()]
            hub.broadcast("room", "hello")
            return [*got, await client.read()]

    assert await one_life() == ["ok", "hello"]

    def in_a_thread() -> list[Any]:
        return asyncio.run(one_life())

    assert await asyncio.to_thread(in_a_thread) == ["ok", "hello"]
    assert hub.statistics().memberships == 0
