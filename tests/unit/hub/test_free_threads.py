"""What the GIL used to see to: attributes, counted references and accounts, under threads that run at once.

Where there is a GIL these tests hold as well, and find less.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator

import pytest

import hubbub
from hubbub import Hub, Limits, native
from hubbub.hub.statistics import fanout
from support.outlets import LocalSocket, NewSocket, PairSocket
from support.serving import until

compiled = pytest.mark.skipif(fanout is None, reason="the compiled part is not built")


@pytest.fixture(autouse=True)
def many_switches() -> Iterator[None]:
    """Of threads that do have to share a GIL."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


async def at_once(*tasks: Callable[[], None]) -> None:
    """Run each on a thread of its own, all from the same moment on; what one of them raises is raised."""
    gate = threading.Barrier(len(tasks))

    def run(task: Callable[[], None]) -> None:
        gate.wait(10)
        task()

    await asyncio.gather(*(asyncio.to_thread(run, task) for task in tasks))


@compiled
@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python always has its GIL")
def test_the_compiled_parts_leave_the_gil_off() -> None:
    modules = ", ".join(f"hubbub.native.{name}" for name in native.MODULES)
    program = f"import sys, {modules}; sys.exit(sys._is_gil_enabled())"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


@compiled
async def test_outlets_that_other_threads_let_go_of_are_not_told_any_more() -> None:
    """The loop follows each notice to its outlet while another thread drops the last reference to it."""
    limits = Limits(max_backlog=1)
    sockets: list[PairSocket] = []
    for _ in range(300):
        sockets.append(user := PairSocket(limits))
        user.outlet.overflow = "drop-newest"
        user.block()
        user.outlet.write(hubbub.text("waits"))
    ends = [end for user in sockets for end in (user._ours, user._peers)]
    PairSocket.open.clear()

    def write_and_let_go(mine: list[PairSocket]) -> None:
        while mine:
            mine[-1].outlet.write(hubbub.text("one too many"))
            del mine[-1].outlet  # the owner lives on: the outlet's end alone is at stake
            mine.pop()

    parts = [sockets[at::3] for at in range(3)]
    del user
    sockets.clear()
    await at_once(*(lambda mine=part: write_and_let_go(mine) for part in parts))  # type: ignore[misc]
    for end in ends:
        end.close()


async def test_of_many_threads_that_write_every_message_is_counted(new_socket: NewSocket) -> None:
    hub = Hub()
    user = new_socket()
    hub.join("room", user)

    def write() -> None:
        for _ in range(500):
            assert user.outlet.write(hubbub.text("x"))

    await at_once(write, write, write)
    await until(lambda: len(user.texts) == 1500)
    if isinstance(user, PairSocket):
        assert (hub.statistics().writes, hub.statistics().bytes) == (1500, 1500 * 3)


async def test_joins_leaves_and_broadcasts_of_many_threads_add_up(new_socket: NewSocket) -> None:
    hub = Hub(shards=lambda channel: 2)
    users = [new_socket() for _ in range(8)]
    handed = [0] * 3

    def churn(mine: list[LocalSocket], number: int) -> None:
        for round in range(60):
            for user in mine:
                assert hub.join(round % 3, user)
            handed[number] += sum(hub.broadcast(channel, "x") for channel in range(3))
            for user in mine:
                assert hub.leave(round % 3, user)

    await at_once(
        lambda: churn(users[:3], 0),
        lambda: churn(users[3:5], 1),
        lambda: churn(users[5:], 2),
    )
    await until(lambda: sum(len(user.texts) for user in users) == sum(handed))
    statistics = hub.statistics()
    assert (statistics.deliveries, statistics.memberships, statistics.channels) == (sum(handed), 0, 0)


async def test_a_socket_in_two_hubs_loses_neither_membership(new_socket: NewSocket) -> None:
    hubs = [Hub(), Hub()]
    user = new_socket()

    def churn(hub: Hub) -> None:
        for _ in range(200):
            assert hub.join("room", user)
            assert hub.is_member("room", user)
            assert hub.leave("room", user)
        assert hub.join("room", user)

    await at_once(*(lambda hub=hub: churn(hub) for hub in hubs))  # type: ignore[misc]
    assert [hub.count("room") for hub in hubs] == [1, 1]
    user.outlet.finish(b"")
    assert [hub.count("room") for hub in hubs] == [0, 0]


async def test_a_socket_that_closes_while_it_joins_is_in_no_channel(new_socket: NewSocket) -> None:
    hubs = [Hub(), Hub()]
    for _ in range(40):
        user = new_socket()
        await at_once(
            lambda: hubs[0].join("room", user),  # noqa: B023  they have ended before the next round
            lambda: hubs[1].join("room", user),  # noqa: B023
            lambda: user.outlet.finish(b"\x88\x00"),  # noqa: B023
        )
        assert [hub.count("room") for hub in hubs] == [0, 0]
        assert [hub.statistics().connections for hub in hubs] == [0, 0]
