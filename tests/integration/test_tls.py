"""TLS: what goes wrong with it, and members over TLS beside plain ones."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time

import pytest
import trustme

import hubbub
from hubbub import native
from support.client import HEAD, RawClient, encode
from support.serving import Echo, Recorder, serving, until
from support.tls import Wire

BOTH_LOOPS = True


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    context.set_alpn_protocols(["http/1.1"])
    return context


def trusting(authority: trustme.CA, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("size", [1, 16_384, 16_385, 300_000])
async def test_messages_of_any_size_pass_both_ways(
    tls: ssl.SSLContext, authority: trustme.CA, version: ssl.TLSVersion, size: int
) -> None:
    async with serving(Echo.fresh(), ssl=tls) as server:
        client = await RawClient.connect(server.port, ssl=trusting(authority, version))
        data = os.urandom(size)
        client.binary(data)
        assert await client.read() == data
        assert await client.close() == (1000, "")


async def test_a_records_pieces_may_come_one_by_one(tls: ssl.SSLContext, authority: trustme.CA) -> None:
    handler = Recorder.fresh()
    async with serving(handler, ssl=tls) as server:
        wire = Wire(trusting(authority))
        await wire.dial(server.port)
        await wire.upgrade()
        wire.tls.write(encode(1, b"one") + encode(1, b"two"))
        for byte in wire.outgoing.read():
            wire.writer.write(bytes([byte]))
            await wire.writer.drain()
            await asyncio.sleep(0)
        await until(lambda: ("message", "two") in handler.everyone[0].events)
        wire.kill()


async def test_a_stream_that_is_cut_off_is_told_apart_from_one_that_ends(
    tls: ssl.SSLContext, authority: trustme.CA
) -> None:
    handler = Recorder.fresh()
    async with serving(handler, ssl=tls) as server:
        for cut in (True, False):
            wire = Wire(trusting(authority))
            await wire.dial(server.port)
            await wire.upgrade()
            wire.tls.write(encode(1, b"last"))
            if not cut:
                wire.say_goodbye()
            wire.flush()
            wire.writer.write_eof()
            one = handler.everyone[-1]
            await until(lambda one=one: one.events[-1][0] == "closed")  # type: ignore[misc]
            assert one.events[-2] == ("message", "last")
            reason = one.events[-1][1]
            assert (reason.cause, reason.code) == ("reset", 1006)
            if native.active():
                assert ("cut off" in reason.text) is cut
            wire.kill()


@pytest.mark.parametrize(
    "hello",
    [
        b"\x16\x03\x01\xff\xff" + b"\x01" * 2000,  # no hello
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        b"\x15\x03\x03\x00\x02\x02\x28",  # an alert
        b"\x80\x2e\x01\x03\x01" + bytes(50),  # of the last century
        bytes(3000),
        os.urandom(4000),
    ],
)
async def test_bad_tls_costs_nobody_else(tls: ssl.SSLContext, authority: trustme.CA, hello: bytes) -> None:
    async with serving(Echo.fresh(), ssl=tls) as server:
        bad = await RawClient.dial(server.port)
        bad.send(hello)
        good = await RawClient.connect(server.port, ssl=trusting(authority))
        good.text("hello")
        assert await good.read() == "hello"
        bad.kill()
        await until(lambda: server.statistics().connections == 1)


async def test_a_flipped_bit_ends_the_connection(tls: ssl.SSLContext, authority: trustme.CA) -> None:
    handler = Recorder.fresh()
    async with serving(handler, ssl=tls) as server:
        wire = Wire(trusting(authority))
        await wire.dial(server.port)
        await wire.upgrade()
        wire.tls.write(encode(1, b"message"))
        record = bytearray(wire.outgoing.read())
        record[-1] ^= 1
        wire.writer.write(record)
        await until(lambda: handler.everyone[0].events[-1][0] == "closed")
        assert not any(name == "message" for name, _ in handler.everyone[0].events)
        wire.kill()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01"], ids=["nothing", "a little"])
async def test_a_handshake_has_the_handshakes_deadline(tls: ssl.SSLContext, sent: bytes) -> None:
    limits = hubbub.Limits(handshake_timeout=0.2, close_timeout=0.2)
    async with serving(Echo.fresh(), ssl=tls, limits=limits) as server:
        client = await RawClient.dial(server.port)
        client.send(sent)
        assert await client.at_end()
        await until(lambda: server.statistics().connections == 0)


async def test_renegotiation_is_refused(tls: ssl.SSLContext, authority: trustme.CA) -> None:
    async with serving(Echo.fresh(), ssl=tls) as server:
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2"]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except FileNotFoundError:
            pytest.skip("no openssl program here")
        assert process.stdin is not None
        process.stdin.write(b"R\n")
        await process.stdin.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await process.wait()
        if process.returncode is None:
            process.kill()
        said = b"".join(part or b"" for part in await process.communicate())
        assert b"RENEGOTIATING" in said
        assert b"no renegotiation" in said or b"unexpected message" in said or b"handshake failure" in said


async def test_a_certificate_of_the_client_is_asked_for_and_shown(authority: trustme.CA) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    async with serving(Echo.fresh(), ssl=context) as server:
        mine = trusting(authority)
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await RawClient.connect(server.port, ssl=mine)
        authority.issue_cert("client@example.org").configure_cert(mine)
        client = await RawClient.connect(server.port, ssl=mine)
        client.text("hello")
        assert await client.read() == "hello"


@pytest.mark.parametrize("overflow", ["disconnect", "drop-oldest"])
async def test_a_room_of_both_kinds_has_one_order_and_slow_members_their_policy(
    tls: ssl.SSLContext, authority: trustme.CA, overflow: str
) -> None:
    handler = Recorder.fresh()
    hub = hubbub.Hub(overflow=overflow, limits=hubbub.Limits(max_backlog=4 << 20))
    async with serving(handler, hub=hub, ssl=tls) as secure, serving(handler, hub=hub) as plain:
        clients = [await RawClient.connect(secure.port, ssl=trusting(authority)) for _ in range(3)]
        clients += [await RawClient.connect(plain.port) for _ in range(3)]
        context = trusting(authority)
        stuck = context.wrap_socket(
            socket.create_connection(("127.0.0.1", secure.port)),
            server_hostname="localhost",
            do_handshake_on_connect=False,
        )
        await asyncio.to_thread(stuck.do_handshake)
        await asyncio.to_thread(stuck.sendall, HEAD.format(path="/").encode() + b"\r\n")
        await until(lambda: len(handler.everyone) == 7)
        for one in handler.everyone:
            await until(lambda one=one: any(name == "opened" for name, _ in one.events))  # type: ignore[misc]
            hub.join("room", one.socket)

        def publish(name: str) -> None:
            for number in range(100):
                hub.broadcast("room", f"{name}{number} " + "x" * 80_000)
                while number - min(map(len, orders)) // 2 > 10:  # those who read keep up
                    time.sleep(0.001)

        orders: list[list[str]] = [[] for _ in clients]
        readings = [_read(client, order) for client, order in zip(clients, orders, strict=True)]
        await asyncio.gather(*readings, *(asyncio.to_thread(publish, name) for name in "ab"))
        assert all(order == orders[0] for order in orders)
        drops = hub.statistics().drops
        assert drops["overflow"] > 0
        if overflow == "disconnect":
            await until(lambda: any(events.events[-1][0] == "closed" for events in handler.everyone))
        stuck.close()


async def _read(client: RawClient, order: list[str]) -> None:
    while len(order) < 200:
        order.append(str(await client.read()).split(" ")[0])


async def test_callbacks_may_write_to_and_close_other_connections(tls: ssl.SSLContext, authority: trustme.CA) -> None:
    """Also in the middle of a read that holds more records: connections share what is between them and OpenSSL."""
    others: list[hubbub.Socket] = []

    class Busy(hubbub.Handler):
        def message(self, data: str | bytes) -> None:
            if data == "here":
                others.append(self.socket)
                return
            self.write(data)
            others[0].write(data)
            if data == "20":
                others[1].close(4000, "enough")
            if data == "40":
                others[2].write("x" * 50_000)

    async with serving(Busy, ssl=tls) as server:
        clients = [await RawClient.connect(server.port, ssl=trusting(authority)) for _ in range(3)]
        for number, client in enumerate(clients):
            client.text("here")
            await until(lambda number=number: len(others) == number + 1)  # type: ignore[misc]
        wire = Wire(trusting(authority))
        await wire.dial(server.port)
        await wire.upgrade()
        for number in range(60):  # a record each, in one write
            wire.tls.write(encode(1, b"%d" % number))
        wire.flush()
        expected = [str(number) for number in range(60)]
        assert [await clients[0].read() for _ in expected] == expected
        assert await clients[1].read_close() == (4000, "enough")
        assert await clients[2].read() == "x" * 50_000
        received = b""
        while len(received) < sum(len(number) + 2 for number in expected):
            received += await wire.until_done(wire.tls.read, 4096)
        assert received == b"".join(encode_plain(number) for number in expected)
        wire.kill()


async def test_what_came_while_nobody_read_is_not_lost(tls: ssl.SSLContext, authority: trustme.CA) -> None:
    """An asynchronous handler stops the reading between two records; what is left is kept, and comes in order."""
    seen: list[str | bytes] = []

    class Slow(hubbub.Handler):
        async def message(self, data: str | bytes) -> None:
            seen.append(data)
            await asyncio.sleep(0.001 if len(seen) < 50 else 0)

    async with serving(Slow, ssl=tls, limits=hubbub.Limits(max_inbox=2)) as server:
        both = [Wire(trusting(authority)) for _ in range(2)]
        for wire in both:
            await wire.dial(server.port)
            await wire.upgrade()
        for number in range(100):
            for name, wire in enumerate(both):
                wire.tls.write(encode(1, b"%d %d" % (name, number) + b"." * 1000))
        for wire in both:
            wire.flush()
        await until(lambda: len(seen) == 200)
        for name in (b"0", b"1"):
            own = [str(data).split(".")[0] for data in seen if str(data).startswith(name.decode())]
            assert own == [f"{name.decode()} {number}" for number in range(100)]
        for wire in both:
            wire.kill()


def encode_plain(text: str) -> bytes:
    """A frame of the server's."""
    return bytes([0x81, len(text)]) + text.encode()
