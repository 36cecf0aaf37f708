"""The hub called while its own thread is inside: by finalizers, by handlers of signals, at every step there is."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import hubbub
from hubbub import Hub, LimitReached, Limits, Overloaded
from hubbub.lock import inside, lock, put_off
from support.outlets import LocalSocket, NewSocket
from support.serving import until

SOURCE = Path(hubbub.__file__).parent


class Finalizer:
    """Calls a function when its last reference goes: as the meta of a member that leaves, that is under the lock."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call

    def __del__(self) -> None:
        assert inside()
        self.call()


def call_inside(hub: Hub, socket: LocalSocket, call: Callable[[], object]) -> None:
    hub.join("left", socket, Finalizer(call))
    assert hub.leave("left", socket)


async def test_a_finalizer_inside_may_call_everything(new_socket: NewSocket) -> None:
    hub, user, leaving, closing = Hub(), new_socket(), new_socket(), new_socket()
    hub.join("room", user)
    hub.join("room", leaving)
    hub.join("room", closing)
    told: list[object] = []

    def call() -> None:
        told.append((hub.count("room"), hub.is_member("room", user), hub.statistics().memberships))
        told.append([member.socket for member in hub.members("room")])
        told.append(hub.broadcast("room", "1"))
        told.append(leaving.outlet.write(hubbub.text("2")))
        told.append((hub.leave_all(leaving), hub.leave_all(leaving)))
        told.append((hub.leave("room", user), hub.join("room", user), hub.join("other", user)))
        told.append(hub.broadcast("room", "3", exclude=closing))
        told.append(closing.outlet.send("4"))
        told.append(closing.outlet.finish(b"\x81\x01."))

    call_inside(hub, user, call)
    assert told[:2] == [(3, True, 3), [user, leaving, closing]]
    assert told[2:] == [3, True, (1, 1), (True, False, True), 2, True, True]
    await until(lambda: [user.texts, leaving.texts, closing.texts] == [["1", "3"], ["1", "2"], ["1", "4", "."]])
    assert hub.channels_of(user) == ["room", "other"]
    assert (hub.count("room"), hub.statistics().memberships, hub.statistics().connections) == (1, 2, 2)
    assert not put_off


async def test_what_was_put_off_comes_before_what_follows(new_socket: NewSocket) -> None:
    hub, user = Hub(), new_socket()
    hub.join("room", user)
    call_inside(hub, user, lambda: [hub.broadcast("room", str(number)) for number in range(20)])
    assert hub.broadcast("room", "20") == 1
    call_inside(hub, user, lambda: hub.broadcast("room", "21"))
    user.outlet.write(hubbub.text("22"))
    await until(lambda: user.texts == [str(number) for number in range(23)])


async def test_a_broadcast_from_inside_never_waits_for_room(new_socket: NewSocket) -> None:
    hub, user = Hub(limits=Limits(max_mailbox=1)), new_socket()
    hub.join("room", user)
    hub.broadcast("room", "1")  # waits for the end of this turn
    raised: list[object] = []

    def call() -> None:
        with pytest.raises(Overloaded, match="inside") as caught:
            hub.broadcast("room", "2", timeout=30)
        raised.append(caught)

    call_inside(hub, new_socket(), call)
    assert len(raised) == 1
    assert hub.statistics().drops == {"overloaded": 1}
    await until(lambda: user.texts == ["1"])


async def test_limits_are_told_from_inside(new_socket: NewSocket) -> None:
    hub, user, raised = Hub(limits=Limits(max_channels=2)), new_socket(), []
    hub.join("room", user)

    def call() -> None:
        hub.join("other", user)
        hub.join("another", user)  # said later, for the second of them is not there yet

    call_inside(hub, user, call)
    with lock, pytest.raises(LimitReached) as caught:
        hub.join("another", user)
    raised.append(caught)
    assert hub.channels_of(user) == ["room", "other"]


async def test_a_put_off_change_that_fails_is_logged_and_the_next_is_made(
    new_socket: NewSocket, caplog: pytest.LogCaptureFixture
) -> None:
    hub, user = Hub(limits=Limits(max_channels=2)), new_socket()
    hub.join("room", user)
    call_inside(hub, user, lambda: [hub.join(name, user) for name in ("a", "b")] + [hub.broadcast("a", "x")])
    await until(lambda: user.texts == ["x"])
    assert "max_channels" in caplog.text


@contextlib.contextmanager
def interrupted(at: int, handler: Callable[[], object]) -> Iterator[list[int]]:
    """Call a handler at that step of what hubbub runs in Python, as a signal would. Yields how many steps are left."""
    left = [at]

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(str(SOURCE)):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            left[0] -= 1
            if left[0] == 0:
                sys.settrace(None)
                handler()
                sys.settrace(trace)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield left
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("call", ["join", "leave", "broadcast", "write", "finish", "statistics", "members"])
async def test_a_handler_may_come_at_every_step(new_socket: NewSocket, call: str) -> None:
    step = 0
    while True:
        step += 1
        hub, user, other = Hub(shards=lambda channel: 1), new_socket(), new_socket()
        for name in ("room", "more"):
            hub.join(name, other)
            hub.join(name, user)
        hub.broadcast("more", "first")
        calls: dict[str, Callable[[], object]] = {
            "join": lambda: hub.join("third", user),  # noqa: B023  made and used in this round
            "leave": lambda: hub.leave("room", user),  # noqa: B023
            "broadcast": lambda: hub.broadcast("room", "call"),  # noqa: B023
            "write": lambda: user.outlet.write(hubbub.text("call")),  # noqa: B023
            "finish": lambda: user.outlet.finish(b"\x81\x04last"),  # noqa: B023
            "statistics": lambda: hub.statistics(),  # noqa: B023
            "members": lambda: list(hub.members("room")),  # noqa: B023
        }

        def handler() -> None:
            for number in "12":
                hub.broadcast("more", number)  # noqa: B023
                other.outlet.write(hubbub.text("w" + number))  # noqa: B023
            hub.leave_all(other)  # noqa: B023
            hub.broadcast("more", "never to other")  # noqa: B023

        with interrupted(step, handler) as left:
            calls[call]()
        if left[0] > 0:
            break
        mine = ["first", "1", "w1", "2", "w2"]
        await until(lambda: len(set(other.texts) - {"call"}) == len(mine))  # noqa: B023
        assert [text for text in other.texts if text != "call"] == mine, step
        assert hub.channels_of(other) == []
        assert hub.channels_of(user) == {
            "join": ["room", "more", "third"],
            "leave": ["more"],
            "finish": [],
        }.get(call, ["room", "more"])
        assert hub.count("more") == (0 if call == "finish" else 1)
        assert not put_off
    assert step > 10


async def test_nothing_is_logged_inside(new_socket: NewSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A logging handler has a lock of its own, and may publish to a hub."""
    hub, failing, user = Hub(), new_socket(), new_socket()
    hub.join("log", user)
    hub.join("room", failing)
    seen: list[bool] = []

    class Publishing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(inside())
            hub.broadcast("log", "x")

    publishing = Publishing()
    logging.getLogger("hubbub").addHandler(publishing)
    try:
        if hasattr(failing, "sink"):

            def fail(data: bytes) -> None:
                raise TypeError("not this one")

            failing.outlet.transmit = fail
            hub.broadcast("room", "x")
            await until(lambda: failing.cuts == ["error"])
        call_inside(hub, user, lambda: put_off.append((hub._channels.remove, (hub,))))
        await until(lambda: user.texts == ["x"] * len(seen))
    finally:
        logging.getLogger("hubbub").removeHandler(publishing)
    assert seen
    assert not any(seen)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process")
async def test_a_child_finds_the_lock_free(new_socket: NewSocket) -> None:
    hub, user = Hub(), new_socket()
    hub.join("room", user)
    taken, stop = threading.Event(), threading.Event()

    def hold() -> None:
        while not stop.is_set():
            with lock:
                taken.set()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(5)
    for _ in range(20):
        child = os.fork()
        if child == 0:
            os._exit(0 if lock.acquire(timeout=5) and hub.statistics().memberships == 1 else 1)
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    thread.join()
