"""A hub whose sockets live on several event loops, which begin, stop and end: compiled and not, plain and over TLS."""

from __future__ import annotations

import asyncio
import gc
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

import hubbub
from support.client import RawClient
from support.serving import Recorder

CA = trustme.CA()
CONTEXT = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
CA.issue_cert("127.0.0.1", "localhost").configure_cert(CONTEXT)


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"ssl": CONTEXT} if request.param == "tls" else {}


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return context


class Life:
    """A loop on a thread of its own, with a server whose clients join a room."""

    def __init__(self, hub: hubbub.Hub, tls: dict[str, Any], *, debug: bool = False) -> None:
        self.handler = Recorder.fresh()
        self._ready, self._go = threading.Event(), threading.Event()
        self._hub, self._tls, self._debug = hub, tls, debug
        self.client: RawClient
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        assert self._ready.wait(10)

    def _run(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_debug(self._debug)
        self.loop.run_until_complete(self._begin())
        self._ready.set()
        self.loop.run_forever()
        self.loop.close()

    async def _begin(self) -> None:
        self.server = await hubbub.serve(self.handler, port=0, **self._tls).__aenter__()
        settings = {"ssl": trusting()} if self._tls else {}
        self.client = await RawClient.connect(self.server.port, **settings)
        RawClient.alive.remove(self.client)  # it dies with this loop
        while not self.handler.everyone or len(self.handler.everyone[0].events) < 2:
            await asyncio.sleep(0.001)

    @property
    def socket(self) -> hubbub.Socket:
        return self.handler.everyone[0].socket

    def read(self) -> str | bytes:
        return asyncio.run_coroutine_threadsafe(self.client.read(), self.loop).result(5)

    def end(self) -> None:
        """The loop stops and is closed, with its connections open."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def begin() -> Iterator[Callable[..., Life]]:
    lives: list[Life] = []

    def make(*arguments: Any, **settings: Any) -> Life:
        lives.append(Life(*arguments, **settings))
        return lives[-1]

    yield make
    while lives:
        life = lives.pop()
        if life.thread.is_alive():
            life.end()
    del life
    gc.collect()  # what a closed loop leaves behind complains here, and in no other test


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
def test_a_first_join_from_a_thread_brings_messages_at_once(
    begin: Callable[..., Life], tls: dict[str, Any], debug: bool
) -> None:
    hub = hubbub.Hub()
    life = begin(hub, tls, debug=debug)
    hub.join("room", life.socket)
    for number in range(5):
        time.sleep(0.02)  # the loop sleeps
        began = time.monotonic()
        assert hub.broadcast("room", str(number)) == 1
        assert life.read() == str(number)
        assert time.monotonic() - began < 0.3


def test_members_on_other_loops_go_on_when_one_ends(begin: Callable[..., Life], tls: dict[str, Any]) -> None:
    hub = hubbub.Hub()
    one, other = begin(hub, tls), begin(hub, tls)
    for life in (one, other):
        hub.join("room", life.socket)
    assert hub.broadcast("room", "to both") == 2
    assert (one.read(), other.read()) == ("to both", "to both")
    one.end()
    assert hub.count("room") == 1
    assert hub.statistics().connections == 1
    for text in ("to one", "and again"):
        assert hub.broadcast("room", text) == 1
        assert other.read() == text
    assert hub.statistics().waiting == 0


def test_what_waits_for_a_loop_that_ends_is_counted_as_lost(begin: Callable[..., Life], tls: dict[str, Any]) -> None:
    hub = hubbub.Hub()
    life = begin(hub, tls)
    hub.join("room", life.socket)
    life.end()
    assert not life.socket.is_open
    assert hub.channels_of(life.socket) == []
    assert (hub.count("room"), hub.statistics().connections, hub.statistics().channels) == (0, 0, 0)
    assert hub.broadcast("room", "nobody hears it") == 0


def test_a_hub_outlives_many_loops(begin: Callable[..., Life], tls: dict[str, Any]) -> None:
    hub = hubbub.Hub()
    for _ in range(3):
        life = begin(hub, tls)
        hub.join("room", life.socket)
        hub.broadcast("room", "hello")
        assert life.read() == "hello"
        life.end()
    assert hub.statistics().connections == 0
