"""What only the compiled fan-out has: calls to the kernel to count, threads, and descriptors of its own."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
import uvloop

import hubbub
from hubbub import Hub, Limits
from hubbub.hub.statistics import Counters, fanout
from hubbub.lock import lock
from support.outlets import PairSocket
from support.serving import until

pytestmark = pytest.mark.skipif(fanout is None, reason="the compiled part is not built")


async def test_each_call_to_the_kernel_is_counted() -> None:
    hub = Hub()
    user = PairSocket()
    hub.join("room", user)
    for number in range(200):
        hub.broadcast("room", str(number))
    user.outlet.write(hubbub.text("after them"))
    assert user.texts == [*map(str, range(200)), "after them"]
    assert hub.statistics().sends == 4  # of 64 pieces at most
    assert hub.statistics().deliveries == 200


async def test_of_a_batch_that_fits_in_part_that_part_is_counted() -> None:
    hub = Hub(overflow="drop-newest")
    user = PairSocket(Limits(max_backlog=30))
    hub.join("room", user)
    user.block()
    for number in range(5):
        hub.broadcast("room", f"{number:08}")  # ten bytes as a frame
    await until(lambda: user.drops)
    statistics = hub.statistics()
    assert (statistics.deliveries, statistics.bytes, statistics.drops) == (3, 30, {"overflow": 2})


def broadcast_as_the_last_act(hub: Hub, loop: asyncio.AbstractEventLoop, message: str) -> None:
    """On an event loop that stops in the same turn: what was left for its end does not happen."""
    loop.call_soon(hub.broadcast, "room", message)
    loop.call_soon(loop.stop)
    loop.run_forever()


async def test_a_loop_that_closes_before_it_hands_over_holds_nobody_up() -> None:
    hub = Hub()
    user = PairSocket()
    hub.join("room", user)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=broadcast_as_the_last_act, args=(hub, loop, "from one"))
    thread.start()
    thread.join()
    loop.close()
    hub.broadcast("room", "from another")
    await until(lambda: user.texts == ["from one", "from another"])


def test_a_signal_is_heard_while_waiting_for_room() -> None:
    hub = Hub(limits=Limits(max_mailbox=1))
    loop = asyncio.new_event_loop()

    async def join() -> None:
        hub.join("room", PairSocket())

    def interrupt(number: int, frame: object) -> None:
        raise InterruptedError

    loop.run_until_complete(join())
    broadcast_as_the_last_act(hub, loop, "fills it")
    before = signal.signal(signal.SIGUSR1, interrupt)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(InterruptedError):
            hub.broadcast("room", "waits", timeout=50)
    finally:
        signal.signal(signal.SIGUSR1, before)
        timer.join()
        loop.close()


async def test_the_pool_grows_while_shards_wait_and_no_further_than_it_may() -> None:
    hub = Hub(writers=1, max_writers=3)
    users = [[PairSocket() for _ in range(40)] for _ in range(6)]
    for room, members in enumerate(users):
        for user in members:
            hub.join(room, user)

    def publish() -> set[int]:
        sizes = set()
        for number in range(50):
            for room in range(6):
                hub.broadcast(room, str(number))
            statistics = hub.statistics()
            sizes.add(statistics.writers_busy + statistics.writers_idle)
        return sizes

    sizes = await asyncio.to_thread(publish)
    assert 1 < max(sizes) <= 3
    everything = [str(number) for number in range(50)]
    await until(lambda: all(user.texts == everything for members in users for user in members))


FORKING = """
import asyncio, os, sys
sys.path.insert(0, sys.argv[1])
import hubbub
from support.outlets import PairSocket
from support.serving import until

hub = hubbub.Hub()

async def use():
    reader, stalled = PairSocket(), PairSocket()
    hub.join("room", reader)
    stalled.block()
    stalled.outlet.write(hubbub.text("later"))  # wakes the poller
    await asyncio.to_thread(hub.broadcast, "room", "hello")  # wakes a writer
    await until(lambda: reader.texts == ["hello"])
    await stalled.unblock()
    await until(lambda: stalled.texts == ["later"])
    reader.close()
    stalled.close()

asyncio.run(use())
child = os.fork()
asyncio.run(use())  # both go on, with the same hub
if child == 0:
    os._exit(7)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) - 7)
"""


FORKING_IN_A_TURN = """
import asyncio, os, sys
sys.path.insert(0, sys.argv[1])
import hubbub
from support.outlets import PairSocket
from support.serving import until
from support.client import RawClient

async def use():
    user = PairSocket()
    hub = hubbub.Hub()
    hub.join("room", user)
    hub.broadcast("room", "hello")
    await until(lambda: user.texts == ["hello"])
    user.close()

class Forking(hubbub.Handler):
    def message(self, data):
        child = os.fork()
        if child == 0:
            asyncio._set_running_loop(None)
            code = 1
            try:
                asyncio.run(use())
                code = 0
            finally:
                os._exit(code)
        self.write(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))

async def serve():
    async with hubbub.serve(Forking, port=0) as server:
        client = await RawClient.connect(server.port)
        client.text("fork")
        answer = await client.read()
        client.kill()
    return answer

sys.exit(int(asyncio.run(serve())))
"""


@pytest.mark.parametrize("program", [FORKING, FORKING_IN_A_TURN], ids=["between turns", "in a turn"])
def test_writers_and_poller_live_again_in_a_forked_process(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(Path(__file__).parents[2])],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("end", ["detach", "collect"])
async def test_a_forked_child_ends_no_stream_of_its_parent(end: str) -> None:
    ours, peers = socket.socketpair()
    for side in (ours, peers):
        side.setblocking(False)
    loop, owner = asyncio.get_running_loop(), PairSocket()
    outlet = fanout.Outlet(ours.detach(), owner, loop, Limits(), Counters(), owned=True)
    outlet.start(None, b"")
    outlet.write(hubbub.binary(bytes(1 << 19)))
    assert outlet.clogged
    child = os.fork()
    if not child:
        if end == "detach":
            outlet.detach()
        del outlet
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    left = 10 + (1 << 19)
    while left:  # the parent's poller still serves it, too
        left -= len(await loop.sock_recv(peers, 1 << 16))
    with pytest.raises(BlockingIOError):
        peers.recv(1)
    outlet.detach()
    assert peers.recv(1) == b""
    peers.close()


FAILED_START = """
import asyncio, os, resource, sys
sys.path.insert(0, sys.argv[1])
import hubbub
from support.outlets import PairSocket
from support.serving import until

async def main():
    user = PairSocket()
    free = [os.dup(0) for _ in range(4)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[0] + 1, hard))  # one of the two that the poller needs
    for number in free:
        os.close(number)
    assert not user.outlet.write(hubbub.binary(bytes(1 << 20)))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await until(lambda: user.cuts == ["error"])
    return [os.dup(0) for _ in range(4)]  # these numbers are others' now

numbers = asyncio.run(main())
child = os.fork()
if not child:
    for number in numbers:
        os.fstat(number)
    os._exit(7)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) - 7)
"""


def test_a_poller_that_could_not_start_closes_nothing_of_others_in_a_child() -> None:
    arguments = [sys.executable, "-W", "ignore", "-c", FAILED_START, str(Path(__file__).parents[2])]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_hub_hears_that_a_loop_was_closed_with_connections_open(new_loop: Any) -> None:
    hub, loop = Hub(), new_loop()

    async def join() -> PairSocket:
        user = PairSocket()
        assert hub.join("room", user)
        return user

    user = loop.run_until_complete(join())
    loop.close()
    assert not user.outlet.open
    assert (hub.count("room"), hub.statistics().connections, hub.broadcast("room", "x")) == (0, 0, 0)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
async def test_a_running_loop_refuses_to_be_closed_and_its_connections_live_on(new_loop: Any) -> None:
    hub, loop = Hub(), new_loop()

    async def close_it() -> None:
        user = PairSocket()
        hub.join("room", user)
        with pytest.raises(RuntimeError, match="running"):
            loop.close()
        assert user.outlet.write(hubbub.text("still here"))
        assert user.texts == ["still here"]

    try:
        await asyncio.to_thread(loop.run_until_complete, close_it())
    finally:
        loop.close()


@pytest.mark.filterwarnings("ignore:unclosed event loop")
def test_a_loop_that_is_collected_waits_for_no_hub() -> None:
    hub, loop = Hub(), asyncio.new_event_loop()

    async def adopt() -> None:
        hub._adopt(PairSocket().outlet)

    loop.run_until_complete(adopt())
    user, collected = PairSocket.open.pop(), weakref.ref(loop)
    ends = user._ours, user._peers
    with lock:  # as a thread may that makes an object, which makes the collector run
        del user, loop
        gc.collect()
    assert collected() is None
    for end in ends:
        end.close()


async def test_a_timeout_that_never_comes_is_one() -> None:
    user = PairSocket(Limits(backlog_timeout=math.inf))
    user.block()
    assert user.outlet.write(hubbub.text("patience"))
    await user.unblock()
    await until(lambda: user.texts == ["patience"])
