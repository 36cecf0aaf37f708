"""Where a server listens: TCP, TLS, Unix sockets, several at once, sockets handed over, a shared port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import trustme

import hubbub
from hubbub import native
from support.client import HEAD, RawClient, encode
from support.serving import Echo, Recorder, serving, until

BOTH_LOOPS = True


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def echoes(client: RawClient) -> bool:
    client.text("hello")
    return client.status == 101 and await client.read() == "hello"


async def test_tls(tls: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async with serving(Echo.fresh(), ssl=tls) as server:
        client = await RawClient.connect(server.port, ssl=trusting)
        assert await echoes(client)
        assert server.urls == [f"wss://127.0.0.1:{server.port}"]
        assert await client.close() == (1000, "")
        assert await client.at_end()


async def test_a_slow_reader_over_tls_has_a_backlog_and_gets_everything_in_order(
    tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    handler = Recorder.fresh()
    hub = hubbub.Hub(limits=hubbub.Limits(max_backlog=64 * 1024 * 1024))
    async with serving(handler, hub=hub, ssl=tls) as server:
        client = await RawClient.connect(server.port, ssl=trusting, limit=1024)
        hub.join("room", handler.everyone[0].socket)
        sent = [f"{number}:" + "x" * 50_000 for number in range(300)]
        for number, message in enumerate(sent):
            if number % 2:
                hub.broadcast("room", message)
            else:
                handler.everyone[0].write(message)
        assert handler.everyone[0].buffered > 0
        assert [await client.read() for _ in sent] == sent
        await until(lambda: handler.everyone[0].buffered == 0)


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_what_the_kernel_keeps_for_a_client_is_unread(
    tls: ssl.SSLContext, trusting: ssl.SSLContext, encrypted: bool
) -> None:
    handler = Recorder.fresh()
    async with serving(handler, ssl=tls if encrypted else None) as server:
        client = await RawClient.connect(server.port, ssl=trusting if encrypted else None, limit=1024)
        client.writer.transport.pause_reading()
        socket = handler.everyone[0].socket
        while not socket.buffered:
            socket.write(bytes(100_000))
        assert socket.unread > socket.buffered
        client.writer.transport.resume_reading()
        reading = asyncio.ensure_future(client.reader.read(-1))
        await until(lambda: not socket.unread)
        reading.cancel()


@pytest.mark.limit("max_total_backlog")
@pytest.mark.limit("backlog_timeout")
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_large_messages_that_nobody_reads_are_counted_bounded_and_cut_in_time(
    tls: ssl.SSLContext, trusting: ssl.SSLContext, encrypted: bool
) -> None:
    handler = Recorder.fresh()
    most = 32 * 1024 * 1024
    limits = hubbub.Limits(max_backlog=most, max_total_backlog=most, backlog_timeout=0.3, close_timeout=0.1)
    hub = hubbub.Hub(limits=limits)
    async with serving(handler, hub=hub, ssl=tls if encrypted else None) as server:
        for _ in range(5):
            client = await RawClient.connect(server.port, ssl=trusting if encrypted else None, limit=1024)
            client.writer.transport.pause_reading()
        taken = [user.write(bytes(14 * 1024 * 1024)) for user in handler.everyone]
        assert taken[0]
        assert not taken[-1]
        assert 4 * 1024 * 1024 < hub.statistics().backlog <= most
        assert handler.everyone[0].buffered > 0
        await until(lambda: all(user.ends for user in handler.everyone), seconds=2)
        assert {user.ends[0].cause for user in handler.everyone} == {hubbub.Cause.OVERFLOW}
        assert hub.statistics().backlog == 0


async def test_a_client_that_speaks_plainly_to_a_tls_server_costs_nobody_else(
    tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with serving(Echo.fresh(), ssl=tls) as server:
        plain = await RawClient.dial(server.port)
        plain.send(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(plain.reader.read(), 5)
        assert await echoes(await RawClient.connect(server.port, ssl=trusting))


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "chat.sock")
    handler = Echo.fresh()
    async with serving(handler, uds=path) as server:
        assert server.addresses == [path]
        assert server.urls == [f"unix:{path}"]
        client = await RawClient.connect(uds=path)
        assert await echoes(client)
        assert handler.everyone[0].socket.peer is None
        with pytest.raises(hubbub.Misuse, match="no TCP port"):
            _ = server.port
    assert not os.path.exists(path)


async def test_a_unix_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "chat.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    async with serving(Echo.fresh(), uds=path):
        assert await echoes(await RawClient.connect(uds=path))


async def test_a_unix_socket_in_use_and_a_file_are_not_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "chat.sock")
    async with serving(Echo.fresh(), uds=path):
        with pytest.raises(OSError, match="another process does"):
            async with serving(Echo.fresh(), uds=path):
                pass
        assert await echoes(await RawClient.connect(uds=path))
    precious = tmp_path / "precious.txt"
    precious.write_text("data")
    with pytest.raises(hubbub.Misuse, match="not a socket"):
        async with serving(Echo.fresh(), uds=str(precious)):
            pass
    assert precious.read_text() == "data"


async def test_several_listeners_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "chat.sock")
    ours = socket.socket()
    ours.bind(("127.0.0.1", 0))
    async with serving(Echo.fresh(), port=0, host=["127.0.0.1", "127.0.0.2"], uds=path, sockets=[ours]) as server:
        assert len(server.addresses) == 4
        assert await echoes(await RawClient.connect(server.port))
        assert await echoes(await RawClient.connect(uds=path))
        assert await echoes(await RawClient.connect(ours.getsockname()[1]))


async def test_an_address_in_use_is_named() -> None:
    async with serving(Echo.fresh()) as server:
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{server.port}"):
            async with serving(Echo.fresh(), port=server.port):
                pass


async def test_several_servers_may_share_a_port() -> None:
    async with serving(Echo.fresh(), reuse_port=True) as first:
        async with serving(Echo.fresh(), port=first.port, reuse_port=True) as second:
            assert first.port == second.port
            for _ in range(8):
                assert await echoes(await RawClient.connect(first.port))
            await until(lambda: first.statistics().accepted + second.statistics().accepted == 8)


async def answer_to(port: int, request: bytes) -> bytes:
    client = await RawClient.dial(port)
    client.send(request)
    async with asyncio.timeout(2):  # at once: nothing waits for a timeout
        return await client.reader.read()


async def test_a_browser_that_asks_for_a_page_is_told_what_this_is() -> None:
    async with serving(Echo.fresh()) as server:
        head, _, body = (await answer_to(server.port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"HTTP/1.1 426 Upgrade Required"
        for line in (b"Upgrade: websocket", b"Connection: Upgrade, close", b"Content-Length: %d" % len(body)):
            assert line in lines
        assert b"Content-Type: text/plain; charset=utf-8" in lines
        assert body.startswith(b"This is a WebSocket server")
        assert server.statistics().refused == {"upgrade": 1}


async def test_tls_on_a_port_without_it_is_ended_at_once_and_counted(trusting: ssl.SSLContext) -> None:
    async with serving(Echo.fresh()) as server:
        async with asyncio.timeout(2):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await RawClient.dial(server.port, ssl=trusting)
        await until(lambda: server.statistics().refused == {"tls": 1})


async def test_a_request_without_tls_on_a_port_with_it_is_told_so_at_once(tls: ssl.SSLContext) -> None:
    async with serving(Echo.fresh(), ssl=tls) as server:
        client = await RawClient.dial(server.port)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(2):
            said = b""
            with contextlib.suppress(ConnectionError):
                said = await client.reader.read()
        if native.active():  # an event loop's transport ends it without a word
            assert said.startswith(b"HTTP/1.1 400 ")
            assert b"speaks TLS" in said
            assert server.statistics().refused == {"tls": 1}
        else:
            assert b"HTTP" not in said


async def test_a_subprotocol_that_is_no_token_is_not_echoed() -> None:
    class First(Recorder):
        def handshake(self, request: hubbub.Request) -> str | None:
            return request.subprotocols[0] if request.subprotocols else None

    async with serving(First.fresh()) as server:
        client = await RawClient.connect(server.port, headers="Sec-WebSocket-Protocol: a b\r\n")
        assert client.status == 101
        assert "sec-websocket-protocol" not in client.headers


async def test_an_empty_line_and_a_proxys_form_begin_a_request_too() -> None:
    handler = Echo.fresh()
    async with serving(handler) as server:
        client = await RawClient.dial(server.port)
        client.send(b"\r\n" + HEAD.replace("{path}", "ws://example.com").encode() + b"\r\n")
        await client.read_answer()
        assert await echoes(client)
        assert handler.everyone[0].events[0][1].path == "/"


def _descriptor(transport: Any) -> int:
    """Of the compiled transport, or of asyncio's."""
    return int((transport if hasattr(transport, "fileno") else transport.get_extra_info("socket")).fileno())


async def test_small_messages_do_not_wait_for_company() -> None:
    ours = socket.socket()  # made without naming TCP, for which asyncio does not turn Nagle's algorithm off
    ours.bind(("127.0.0.1", 0))
    for settings in ({"port": 0}, {"sockets": [ours]}):
        handler = Recorder.fresh()
        async with serving(handler, **settings) as server:
            await RawClient.connect(server.port)
            transport = handler.everyone[0].socket._link.transport
            with socket.fromfd(_descriptor(transport), socket.AF_INET, socket.SOCK_STREAM) as accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


class Late:
    """An outlet whose owner hears of a thread's close only after it has dealt with the peer's answer."""

    def __init__(self, outlet: Any) -> None:
        self.outlet = outlet
        self.answered = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.outlet, name)

    def call_owner(self, *call: Any) -> None:
        assert self.answered.wait(5)
        self.outlet.call_owner(*call)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_a_close_by_a_thread_is_never_told_as_the_clients(
    tls: ssl.SSLContext, trusting: ssl.SSLContext, secure: bool
) -> None:
    handler = Recorder.fresh()
    async with serving(handler, ssl=tls if secure else None) as server:
        client = await RawClient.connect(server.port, ssl=trusting if secure else None)
        recorder = handler.everyone[0]
        late: Any = Late(recorder.socket._outlet)
        recorder.socket._outlet = late
        closing = asyncio.create_task(asyncio.to_thread(recorder.socket.close, 3000, "enough"))
        assert await client.read_close() == (3000, "enough")
        client.send(encode(8, b"\x0b\xb8"))
        await until(lambda: recorder.ends)
        late.answered.set()
        assert await closing
        assert recorder.ends == [hubbub.Closed(hubbub.Cause.SERVER, 3000, "enough")]


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_a_copy_of_the_descriptor_elsewhere_does_not_keep_the_stream_open(
    tls: ssl.SSLContext, trusting: ssl.SSLContext, secure: bool
) -> None:
    before = {*os.listdir("/proc/self/fd")}
    handler = Recorder.fresh()
    async with serving(handler, ssl=tls if secure else None) as server:
        client = await RawClient.connect(server.port, ssl=trusting if secure else None)
        port = client.writer.get_extra_info("sockname")[1]
        copies = []
        for name in {*os.listdir("/proc/self/fd")} - before:  # as a forked child has them
            with contextlib.suppress(OSError):
                copy = socket.socket(fileno=os.dup(int(name)))
                with contextlib.suppress(OSError, IndexError):
                    if copy.getpeername()[1] == port:
                        copies.append(copy)
                        continue
                copy.detach() if copy.type != socket.SOCK_STREAM else copy.close()
        assert copies
        handler.everyone[0].socket.close()
        assert await client.close()
        assert await client.at_end()
        for copy in copies:
            copy.close()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_the_peer_is_known_to_the_end(tls: ssl.SSLContext, trusting: ssl.SSLContext, secure: bool) -> None:
    peers: list[Any] = []

    class Remembering(hubbub.Handler):
        def opened(self) -> None:
            peers.append(self.socket.peer)

        def closed(self, reason: hubbub.Closed) -> None:
            peers.append(self.socket.peer)

    async with serving(Remembering, ssl=tls if secure else None) as server:
        client = await RawClient.connect(server.port, ssl=trusting if secure else None)
        name = client.writer.get_extra_info("sockname")
        assert await client.close() == (1000, "")
        await until(lambda: len(peers) == 2)
    assert peers == [name, name]
