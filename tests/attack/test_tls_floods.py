"""Peers over TLS who send more than is taken in, or what is not wanted any more."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import socket
import ssl
import time
from pathlib import Path

import pytest

import hubbub
from hubbub import native
from support.certificates import contexts
from support.client import HEAD, encode
from support.serving import Recorder, serving, until
from support.tls import APPLICATION, Keys, Wire, dialled, listening

BOTH_LOOPS = True
MIB = 1 << 20


class Slow(Recorder):
    """One whose messages take longer than a round of the loop gives to what peers send."""

    def message(self, data: str | bytes) -> None:
        super().message(data)
        time.sleep(0.004)


@pytest.mark.parametrize("end", ["close frame", "close_notify", "cut off"])
async def test_what_came_before_the_end_is_taken_in_however_long_that_takes(end: str) -> None:
    handler = Slow.fresh()
    tls, trusting = contexts()
    async with serving(handler, ssl=tls) as server:
        wire = Wire(trusting)
        await wire.dial(server.port)
        await wire.upgrade()
        for number in range(60):
            wire.tls.write(encode(1, str(number).encode()))  # each a record
        if end == "close frame":
            wire.tls.write(encode(8, b"\x03\xe8"))
        wire.flush()
        if end == "close_notify":
            wire.say_goodbye()
        wire.writer.write_eof()
        await until(lambda: handler.everyone[0].ends)
        one = handler.everyone[0]
        assert one.messages == [str(number) for number in range(60)]
        assert one.ends[0].code == (1000 if end == "close frame" else 1006)
        if native.active() and end != "close frame":
            assert ("cut off" in one.ends[0].text) is (end == "cut off")
        wire.kill()


async def test_a_peer_is_read_no_faster_than_it_is_taken_in() -> None:
    handler = Slow.fresh()
    tls, trusting = contexts()
    record, sent = encode(2, bytes(16_000)), 0

    def flood() -> None:
        nonlocal sent
        with dialled(server.port, trusting) as client:
            client.settimeout(1)
            while len(handler.everyone[0].messages) < 100:
                with contextlib.suppress(TimeoutError):
                    client.sendall(record)
                    sent += len(record)

    async with serving(handler, ssl=tls, sockets=[listening(64 * 1024)]) as server:
        await asyncio.to_thread(flood)
        assert sent - 100 * len(record) < 2 * MIB  # what the kernel keeps


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="AddressSanitizer keeps what is freed")
async def test_what_comes_after_a_peers_end_is_kept_nowhere() -> None:
    class Clogging(hubbub.Handler):
        def opened(self) -> None:
            for _ in range(10):
                self.write(bytes(MIB))

    tls, trusting = contexts()
    limits = hubbub.Limits(max_backlog=16 * MIB)
    async with serving(Clogging, ssl=tls, limits=limits) as server:
        wire = Wire(trusting)
        await wire.reach(server.port, limit=1024)  # reads little
        await wire.until_done(wire.tls.do_handshake)
        await wire.upgrade()
        wire.say_goodbye()
        await asyncio.sleep(0.05)
        before = resident()
        record = b"\x17\x03\x03\x40\x00" + bytes(16 * 1024)
        for _ in range(64):
            wire.writer.write(record * 64)
            try:
                async with asyncio.timeout(0.2):
                    await wire.writer.drain()
            except (TimeoutError, ConnectionError):  # the loop's own TLS reads no more, or ends it
                break
        assert resident() - before < 32 * MIB
        wire.kill()


@pytest.mark.skipif(not native.active(), reason="a loop's own TLS lets its answers wait, however many")
async def test_who_asks_for_new_keys_and_reads_no_answer_is_cut(tmp_path: Path) -> None:
    handler = Recorder.fresh()
    tls, _ = contexts()
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    trusting.keylog_filename = str(tmp_path / "secrets")
    async with serving(handler, ssl=tls, sockets=[listening(4096)]) as server:
        wire = Wire(trusting)
        stream = socket.socket()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.setblocking(False)
        await asyncio.get_running_loop().sock_connect(stream, ("127.0.0.1", server.port))
        wire.reader, wire.writer = await asyncio.open_connection(sock=stream, limit=1024)
        await wire.until_done(wire.tls.do_handshake)
        (secret,) = re.findall(r"^CLIENT_TRAFFIC_SECRET_0 \w+ (\w+)$", (tmp_path / "secrets").read_text(), re.MULTILINE)
        cipher = wire.tls.cipher()
        assert cipher is not None
        keys = Keys(bytes.fromhex(secret), cipher[0])
        wire.writer.write(keys.record(APPLICATION, HEAD.format(path="/").encode() + b"\r\n"))
        for _ in range(100):
            wire.writer.write(b"".join(keys.new() for _ in range(100)))
            await asyncio.sleep(0)
            if handler.everyone and handler.everyone[0].ends:
                break
        await until(lambda: handler.everyone[0].ends)
        assert "new keys" in handler.everyone[0].ends[0].text
        wire.kill()


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
