"""The compiled way in: what a Transport tells its protocol of what a real socket does, in which order, and no more."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import resource
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import hubbub
from hubbub.native import compiled
from hubbub.rounds import round_of
from support.client import encode
from support.outlets import PairSocket
from support.serving import until

BOTH_LOOPS = True
SIZE = 64  # bytes of the read buffer

reactor: Any = compiled("_reactor")
codec: Any = compiled("_codec")
pytestmark = pytest.mark.skipif(reactor is None, reason="the compiled part is not built")


class Recording:
    """A protocol that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.on_read: Callable[[], object] = lambda: None
        self.wants = True
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.told.append("made")

    def received(self, data: memoryview) -> None:
        self.told.append(bytes(data))
        self.on_read()

    def whole(self, data: str | bytes) -> None:
        self.told.append(data)
        self.on_read()

    phase = "some"
    held = False

    def message(self, data: str | bytes) -> None:
        self.told.append(("message", data))
        self.on_read()

    def found(self, received: Any) -> bool:
        self.told.append(("found", received))
        self.on_read()
        return self.wants

    def fault(self, error: Exception) -> None:
        self.told.append(("fault", str(error)))
        self.transport.parse(None)

    def keep(self, data: bytes) -> None:
        self.told.append(("keep", data))
        self.transport.pause_reading()

    def read_to_end(self, fresh: bool) -> None:
        self.told.append("read")

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def eof_received(self) -> bool:
        self.told.append("eof")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.told.append(("lost", error))

    @property
    def data(self) -> bytes:
        return b"".join(item for item in self.told if type(item) is bytes)

    @property
    def lost(self) -> bool:
        return type(self.told[-1]) is tuple and self.told[-1][0] == "lost"


class Place:
    """A listening socket, what accepts there, and who connected."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.protocols: list[Recording] = []
        self.failures: list[OSError] = []
        self.clients: list[socket.socket] = []
        self.make: Callable[[], Any] = Recording
        loop = asyncio.get_running_loop()
        self.reactor = reactor.Reactor(loop, memoryview(bytearray(SIZE)), round_of(loop))
        self.acceptor = reactor.Acceptor(self.reactor, listening.fileno(), self._make, self.failures.append)
        self.acceptor.start()

    def _make(self) -> Any:
        made = self.make()
        self.protocols.append(made)
        return made

    def dial(self, name: str | None = None) -> socket.socket:
        client = socket.socket(self.listening.family)
        if name is not None:
            client.bind(name)
        client.connect(self.listening.getsockname())
        client.setblocking(False)
        self.clients.append(client)
        return client

    async def connect(self, name: str | None = None) -> tuple[socket.socket, Recording]:
        """A client, bound to that name, and the protocol on the other side."""
        client, count = self.dial(name), len(self.protocols)
        await until(lambda: len(self.protocols) > count and self.protocols[count].told)
        return client, self.protocols[count]

    def close(self) -> None:
        self.acceptor.close()
        self.listening.close()
        for protocol in self.protocols:
            if protocol.transport is not None:
                protocol.transport.abort()
        for client in self.clients:
            client.close()


def listening(family: socket.AddressFamily = socket.AF_INET, address: Any = ("127.0.0.1", 0)) -> socket.socket:
    made = socket.socket(family)
    made.bind(address)
    made.listen(64)
    made.setblocking(False)
    return made


@contextlib.asynccontextmanager
async def at(made: socket.socket) -> AsyncIterator[Place]:
    place = Place(made)
    try:
        yield place
    finally:
        place.close()
        await asyncio.sleep(0.01)
        place.reactor.close()


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with at(listening()) as made:
        yield made


@pytest.mark.parametrize("size", [1, SIZE - 1, SIZE, SIZE + 1, 4 * SIZE, 9 * SIZE, 50 * SIZE + 7])
async def test_all_that_came_is_read_and_then_the_end(place: Place, size: int) -> None:
    client = place.dial()
    data = os.urandom(size)
    client.sendall(data)
    client.close()  # before anything is accepted: the end is no event of its own
    await until(lambda: place.protocols and place.protocols[0].lost)
    told = place.protocols[0].told
    assert place.protocols[0].data == data
    assert told[0] == "made"
    assert told[-2:] == ["eof", ("lost", None)]


async def test_what_comes_later_is_read_as_it_comes(place: Place) -> None:
    client, protocol = await place.connect()
    for part in (b"first", bytes(SIZE), b"", b"last"):
        client.sendall(part)
        await until(lambda part=part: protocol.data.endswith(part))  # type: ignore[misc]
    client.close()
    await until(lambda: protocol.lost)
    assert protocol.data == b"first" + bytes(SIZE) + b"last"


async def test_what_comes_behind_urgent_data_is_read_at_once(place: Place) -> None:
    client, protocol = await place.connect()
    client.sendall(b"before")
    client.send(b"!", socket.MSG_OOB)
    client.sendall(b"behind")  # where the first read stops short, and no event of its own
    await until(lambda: protocol.data == b"beforebehind")


async def test_what_comes_behind_passed_descriptors_is_read_at_once(tmp_path: Path) -> None:
    async with at(listening(socket.AF_UNIX, str(tmp_path / "socket"))) as place:
        client, protocol = await place.connect()
        with client.dup() as passed:
            socket.send_fds(client, [b"before"], [passed.fileno()])
        client.sendall(b"behind")
        await until(lambda: protocol.data == b"beforebehind")


async def test_who_is_paused_hears_nothing_until_reading_resumes(place: Place) -> None:
    client, protocol = await place.connect()
    protocol.on_read = lambda: protocol.transport.pause_reading()
    client.sendall(bytes(3 * SIZE))
    client.close()
    for reads in (1, 2, 3):
        await until(lambda reads=reads: len(protocol.data) == reads * SIZE)  # type: ignore[misc]
        await asyncio.sleep(0.01)
        assert len(protocol.data) == reads * SIZE
        protocol.transport.resume_reading()
    await until(lambda: protocol.lost)
    assert protocol.told[-2] == "eof"


async def test_a_reset_is_told_with_its_error(place: Place) -> None:
    client, protocol = await place.connect()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    await until(lambda: protocol.lost)
    assert protocol.told[-1][1].errno == errno.ECONNRESET


async def test_what_the_kernel_does_not_take_at_once_leaves_before_the_end(place: Place) -> None:
    client, protocol = await place.connect()
    data = os.urandom(8 * 1024 * 1024)
    protocol.transport.write(data[:-5])
    assert protocol.told[-1] == "pause"
    assert 0 < protocol.transport.get_write_buffer_size() < len(data)
    protocol.transport.write(data[-5:])
    protocol.transport.write_eof()
    got = bytearray()
    while part := await asyncio.get_running_loop().sock_recv(client, 1 << 20):
        got += part
    assert got == data
    assert protocol.told[-1] == "resume"
    client.sendall(b"heard")  # our half only has ended
    await until(lambda: protocol.data == b"heard")


async def test_closing_waits_for_what_was_written(place: Place) -> None:
    client, protocol = await place.connect()
    data = os.urandom(4 * 1024 * 1024)
    protocol.transport.write(data)
    protocol.transport.close()
    assert protocol.transport.is_closing()
    protocol.transport.write(b"too late")
    got = bytearray()
    while part := await asyncio.get_running_loop().sock_recv(client, 1 << 20):
        got += part
    assert got == data
    await until(lambda: protocol.lost)


async def test_who_closes_reads_no_more(place: Place) -> None:
    client, protocol = await place.connect()
    protocol.transport.write(bytes(4 * 1024 * 1024))
    protocol.transport.close()
    client.sendall(b"nobody reads this")
    await asyncio.sleep(0.01)
    client.close()
    await until(lambda: protocol.lost)
    assert protocol.data == b""


async def test_an_abort_throws_away_what_waits_and_is_told_once_and_later(place: Place) -> None:
    client, protocol = await place.connect()
    protocol.transport.write(bytes(4 * 1024 * 1024))
    protocol.transport.abort()
    protocol.transport.abort()
    assert not protocol.lost
    await until(lambda: protocol.lost)
    assert protocol.told.count(("lost", None)) == 1
    assert protocol.transport.fileno() == -1
    client.close()


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
async def test_a_protocol_that_raises_costs_its_own_connection_only(place: Place, error: type[BaseException]) -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    (bad, raising), (good, other) = await place.connect(), await place.connect()
    raising.on_read = lambda: (_ for _ in ()).throw(error)
    bad.sendall(b"x")
    good.sendall(b"x")
    await until(lambda: raising.lost and other.data == b"x")
    assert type(raising.told[-1][1]) is error
    assert [type(failure["exception"]) for failure in failures] == [error]


async def test_a_protocol_that_cannot_be_made_costs_its_connection_only(place: Place) -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    place.make = lambda: int("no number")
    client = place.dial()
    await until(lambda: failures)
    assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
    place.make = Recording
    client, protocol = await place.connect()
    client.sendall(b"x")
    await until(lambda: protocol.data == b"x")


async def test_what_ends_the_program_leaves_nobody_unheard(place: Place) -> None:
    clients = [await place.connect() for _ in range(5)]
    for client, protocol in clients:
        protocol.on_read = lambda: (_ for _ in ()).throw(SystemExit)
        client.sendall(bytes(SIZE * 2))
    with pytest.raises(SystemExit):
        place.reactor.turn()
    for _, protocol in clients:
        protocol.on_read = lambda: None
    await until(lambda: all(len(protocol.data) == SIZE * 2 for _, protocol in clients))


async def test_a_turn_holds_no_more_than_one_full_read_back_from_the_writers(place: Place) -> None:
    hub = hubbub.Hub(limits=hubbub.Limits(max_mailbox=2))
    client, protocol = await place.connect()
    user = PairSocket()
    assert hub.join("room", user)
    protocol.on_read = lambda: [hub.broadcast("room", "x") for _ in range(2)]
    client.sendall(bytes(4 * SIZE))
    place.reactor.turn()
    assert user.texts == ["x"] * 8
    assert not protocol.transport.is_closing()
    user.close()


async def test_who_was_closed_in_this_turn_hears_nothing_more_of_it(place: Place) -> None:
    clients = [await place.connect() for _ in range(8)]

    def close_the_others(first: Recording) -> None:
        for _, other in clients:
            if other is not first:
                other.transport.abort()

    for client, protocol in clients:
        protocol.on_read = lambda protocol=protocol: close_the_others(protocol)  # type: ignore[misc]
        client.sendall(b"x")
    place.reactor.turn()
    assert [protocol.data for _, protocol in clients].count(b"x") == 1


async def test_a_loop_goes_round_once_for_a_turn_whatever_is_left(place: Place) -> None:
    """What one round has no time for is left to the next: the loop has its own things to do in between."""
    clients = [await place.connect() for _ in range(8)]
    heard: list[int] = []
    rounds = 0

    def count_rounds() -> None:
        nonlocal rounds
        rounds += 1
        if len(heard) < len(clients):
            asyncio.get_running_loop().call_soon(count_rounds)

    for number, (client, protocol) in enumerate(clients):

        def hear(number: int = number) -> None:
            heard.append(number)
            time.sleep(0.003)  # more than a round has

        protocol.on_read = hear
        client.sendall(b"x")
    count_rounds()
    await until(lambda: len(heard) == len(clients))
    assert rounds >= len(clients)
    assert sorted(heard) == list(range(len(clients)))


async def test_a_number_that_was_given_to_another_socket_is_left_alone(place: Place) -> None:
    (client, protocol), strangers = await place.connect(), []
    number = protocol.transport.fileno()
    protocol.transport.abort()
    await until(lambda: protocol.lost)
    while not strangers or strangers[-1].fileno() < number:
        strangers.append(socket.socket())
    protocol.transport.write(b"x")
    protocol.transport.pause_reading()
    protocol.transport.resume_reading()
    protocol.transport.write_eof()
    protocol.transport.close()
    await asyncio.sleep(0.01)
    for stranger in strangers:
        assert stranger.fileno() >= 0
        stranger.close()
    client.close()


async def test_messages_are_parsed_and_a_fault_ends_that(place: Place) -> None:
    client, protocol = await place.connect()
    protocol.transport.parse(codec.Reader(max_message_size=1000, max_fragments=4, agreed=None))

    async def told(data: bytes) -> list[Any]:
        count = len(protocol.told)
        client.sendall(data)
        await until(lambda: len(protocol.told) > count)
        return protocol.told[count:]

    assert await told(encode(1, b"one")) == ["one"]
    assert await told(encode(2, b"two")) == [b"two"]
    assert await told(encode(1, b"a") + encode(1, b"b")) == [("found", "a"), ("found", "b"), "read"]
    half = encode(2, b"begun in one read, ended in the next")
    assert await told(half[:9]) == ["read"]
    assert await told(half[9:]) == [("found", b"begun in one read, ended in the next"), "read"]
    assert (await told(encode(1, b"c") + b"\xf1\x80"))[:2] == [("found", "c"), ("fault", "a reserved bit is set")]
    assert await told(b"\xf1\x80") == [b"\xf1\x80"]  # bytes again, for nobody can parse them


async def test_what_nobody_wants_now_is_kept_and_reading_waits_for_it(place: Place) -> None:
    client, protocol = await place.connect()
    protocol.transport.parse(codec.Reader(max_message_size=1000, max_fragments=4, agreed=None))
    protocol.wants = False
    rest = encode(1, b"b") + b"\x81"
    client.sendall(encode(1, b"a") + rest)
    await until(lambda: ("keep", rest) in protocol.told)
    client.sendall(b"\x80")
    assert protocol.told == ["made", ("found", "a"), ("keep", rest)]
    protocol.transport.resume_reading()  # `rest` was taken in elsewhere
    await until(lambda: protocol.told[-1] != ("keep", rest))


@pytest.mark.parametrize(
    ("family", "address", "name"),
    [
        (socket.AF_INET, ("127.0.0.1", 0), None),
        (socket.AF_INET6, ("::1", 0), None),
        (socket.AF_UNIX, "socket", None),
        (socket.AF_UNIX, "socket", "client"),
        (socket.AF_UNIX, "socket", "\0client"),
    ],
)
async def test_the_peers_address_outlives_the_connection(
    family: Any, address: Any, name: str | None, tmp_path: Path
) -> None:
    if family == socket.AF_UNIX:
        address = str(tmp_path / address)
        name = name and (str(tmp_path / name) if name.isalpha() else f"{name} {tmp_path}")
    try:
        made = listening(family, address)
    except OSError as error:
        pytest.skip(f"not to be had here: {error}")
    async with at(made) as place:
        client, protocol = await place.connect(name)
        expected = client.getsockname() or None
        assert protocol.transport.get_extra_info("peername") == expected
        assert protocol.transport.get_extra_info("cipher", "none") == "none"
        client.close()
        await until(lambda: protocol.lost)
        assert protocol.transport.get_extra_info("peername") == expected


async def test_without_descriptors_it_stops_and_begins_again_when_told(place: Place) -> None:
    client = place.dial()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, before[1]))
    try:
        await until(lambda: place.failures)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert [failure.errno for failure in place.failures] == [errno.EMFILE]
    client.sendall(b"still here")
    await asyncio.sleep(0.01)
    assert not place.protocols
    place.acceptor.start()
    await until(lambda: place.protocols and place.protocols[0].data == b"still here")


async def test_a_child_of_a_fork_that_ends_takes_nothing_from_its_parent(place: Place) -> None:
    client, protocol = await place.connect()
    child = os.fork()
    if not child:
        protocol.transport.abort()  # and the loop never runs again
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    client.sendall(b"x")
    await until(lambda: protocol.data == b"x")
    protocol.transport.abort()
    await until(lambda: protocol.lost)
    assert await asyncio.get_running_loop().sock_recv(client, 1) == b""


async def test_a_child_of_a_fork_that_collects_a_transport_ends_no_stream_of_its_parent(place: Place) -> None:
    client, protocol = await place.connect()
    child = os.fork()
    if not child:
        place.protocols.clear()
        protocol.transport = None
        del protocol, place
        gc.collect()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    client.sendall(b"x")
    await until(lambda: protocol.data == b"x")
    with pytest.raises(BlockingIOError):
        client.recv(1)


async def test_what_was_never_closed_is_closed_when_it_is_collected() -> None:
    place = Place(listening())
    client, protocol = await place.connect()
    place.acceptor.close()
    place.reactor.close()
    place.listening.close()
    place.protocols.clear()
    del place
    protocol.transport = None
    del protocol
    gc.collect()
    assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
    client.close()


def test_a_transport_is_made_by_an_acceptor_only() -> None:
    with pytest.raises(TypeError):
        reactor.Transport().close()
    with pytest.raises(AttributeError):
        reactor.Transport.__new__(reactor.Transport).close()
