"""Input that is no TLS, or bad TLS: it costs its sender, nobody else, and is kept nowhere."""

from __future__ import annotations

import asyncio
import logging
import os
import struct

import pytest

import hubbub
from hubbub import native
from support.certificates import contexts
from support.client import HEAD, RawClient
from support.serving import Echo, serving, until
from support.tls import Wire

BOTH_LOOPS = True

CHANGE, ALERT, HANDSHAKE, APPLICATION, HEARTBEAT = 20, 21, 22, 23, 24


def record(kind: int, data: bytes) -> bytes:
    return bytes([kind, 3, 3]) + struct.pack("!H", len(data)) + data


HELLO = Wire(contexts()[1]).hello()
BAD = {
    "record of version 0": b"\x16\0\0" + HELLO[3:],
    "record of version 255": b"\x16\xff\xff" + HELLO[3:],
    "hello of SSL 2": HELLO[:9] + b"\2\0" + HELLO[11:],
    "hello of SSL 3": HELLO[:9] + b"\3\0" + HELLO[11:],
    "hello in SSL 2's form": b"\x80\x2e\1\0\2\0\x15\0\0\0\x10" + bytes(40),
    "huge hello": record(HANDSHAKE, b"\1\1\xff\xff" + bytes(16_000)) + record(HANDSHAKE, bytes(16_000)) * 20,
    "two hellos": HELLO * 2,
    "finished first": record(HANDSHAKE, b"\x14\0\0\x0c" + bytes(12)),
    "empty records": record(HANDSHAKE, b"") * 1000,
    "empty records behind a hello": HELLO + record(HANDSHAKE, b"") * 1000,
    "too long a record": b"\x16\3\1\x41\1" + bytes(16_641),
    "the longest record": b"\x16\3\1\xff\xff" + bytes(65_535),
    "unknown kind": record(99, b"x"),
    "unknown kind behind a hello": HELLO + record(99, b"x"),
    "warnings": HELLO + record(ALERT, b"\1\x5a") * 1000,
    "fatal alert": HELLO + record(ALERT, b"\2\x28"),
    "data too early": HELLO + record(APPLICATION, b"x" * 1000),
    "changes of cipher": HELLO + record(CHANGE, b"\1") * 1000,
    "bad change of cipher": HELLO + record(CHANGE, b"\2\2"),
    "heartbeat": record(HEARTBEAT, b"\1\x40\0"),
    "heartbeat behind a hello": HELLO + record(HEARTBEAT, b"\1\x40\0"),
    "HTTP": b"GET / HTTP/1.1\r\nHost: test\r\n\r\n",
    "WebSocket without TLS": (HEAD.format(path="/") + "\r\n").encode(),
    "large request without TLS": b"POST / HTTP/1.1\r\n\r\n" + bytes(1_000_000),
    "noise": b"\0" + os.urandom(5000),
    "noise that begins like TLS": b"\x16" + os.urandom(1) + b"\xff" + os.urandom(5000),
}


async def talks(server: hubbub.Server) -> None:
    client = await RawClient.connect(server.port, ssl=contexts()[1])
    client.text("hello")
    assert await client.read() == "hello"
    client.kill()


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
async def test_bad_input_ends_at_once(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving(Echo.fresh(), ssl=contexts()[0]) as server:
        client = await RawClient.dial(server.port)
        client.send(data)
        said = b""
        async with asyncio.timeout(5):
            try:
                while part := await client.reader.read(65_536):
                    said += part
            except ConnectionError:
                pass
        await talks(server)
        await until(lambda: server.statistics().connections == 0)
        lines = [line for line in caplog.records if "listening" not in line.message]
        assert not any(line.exc_info or line.levelno > logging.INFO for line in lines)
        if native.active():
            assert server.statistics().refused == {"tls": 1}
            assert len(lines) == 1
            if data[0] != HANDSHAKE:
                assert said.endswith(b"This port speaks TLS: use wss:// or https:// instead of this.")


async def test_a_handshake_may_break_off_anywhere() -> None:
    tls, trusting = contexts()
    async with serving(Echo.fresh(), ssl=tls) as server:
        await talks(server)
        await until(lambda: server.statistics().connections == 0)
        before = len(os.listdir("/proc/self/fd"))
        for cut in range(0, len(HELLO), 7):
            client = await RawClient.dial(server.port)
            client.send(HELLO[:cut])
            client.writer.write_eof()
            await client.at_end()
            client.kill()
        wire = Wire(trusting)
        await wire.reach(server.port)
        wire.writer.write(wire.hello())
        wire.incoming.write(await wire.reader.read(65_536))
        finished = wire.hello()  # the second flight
        wire.kill()
        for cut in range(1, len(finished), 5):
            client = await RawClient.dial(server.port)
            client.send(HELLO + finished[:cut])
            client.writer.write_eof()
            while not await client.at_end():
                pass
            client.kill()
        await talks(server)
        await until(lambda: server.statistics().connections == 0)
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before)


async def test_handshakes_that_stop_have_their_deadline_together() -> None:
    limits = hubbub.Limits(handshake_timeout=0.5, close_timeout=0.5)
    async with serving(Echo.fresh(), ssl=contexts()[0], limits=limits) as server:
        clients = [await RawClient.dial(server.port) for _ in range(200)]
        for number, client in enumerate(clients):
            client.send(HELLO[: len(HELLO) - number % 3])  # some read what is answered, some have more to send
        await talks(server)
        for client in clients:
            while not await client.at_end():
                pass
        await until(lambda: server.statistics().connections == 0)
        if native.active():
            assert server.statistics().refused == {"timeout": 200}
