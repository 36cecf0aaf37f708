"""A server and its hub under many threads at once, while clients come and vanish.

HAMMER_SECONDS lets it go on for longer than the moment that it takes among the other tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
from collections.abc import Callable

import pytest

import hubbub
from support.client import RawClient
from support.serving import serving, until

SECONDS = float(os.environ.get("HAMMER_SECONDS", "0.5"))
STEADY, RESTLESS, AUTHORS = 4, 6, 2

pytestmark = pytest.mark.timeout(60 + 3 * SECONDS)


class Crowd:
    """The server's sockets, and the threads that work on them."""

    def __init__(self) -> None:
        limits = hubbub.Limits(ping_interval=3600)  # the clients are too simple to answer
        self.hub = hubbub.Hub(shards=lambda channel: 3 if channel == "room" else 1, max_writers=3, limits=limits)
        self.steady: list[hubbub.Socket] = []
        self.restless: list[hubbub.Socket] = []
        self.handed = 0  # messages times members
        self.stop = threading.Event()
        self.failures: list[BaseException] = []

    def handler(self) -> type[hubbub.Handler]:
        crowd = self

        class InTheRoom(hubbub.Handler):
            def handshake(self, request: hubbub.Request) -> None:
                self.mine = crowd.steady if request.path == "/steady" else crowd.restless

            def opened(self) -> None:
                crowd.hub.join("room", self.socket)
                self.mine.append(self.socket)

            def closed(self, reason: hubbub.Closed) -> None:
                assert crowd.hub.channels_of(self.socket) == []
                if self.socket in self.mine:
                    self.mine.remove(self.socket)

        return InTheRoom

    def publish(self, author: int) -> None:
        """Broadcasts, and after each a word to one member alone, which is not to overtake it."""
        number = handed = 0
        while not self.stop.wait(0.002):
            for _ in range(5):
                handed += self.hub.broadcast("room", f"room {author} {number}")
                random.choice(self.steady).write(f"word {author} {number}")
                number += 1
        self.handed += handed

    def join_and_leave(self) -> None:
        while not self.stop.wait(0.001):
            everyone = [*self.steady, *self.restless]
            for socket in random.sample(everyone, min(4, len(everyone))):
                self.hub.join("aside", socket)
            for socket in random.sample(everyone, min(4, len(everyone))):
                self.hub.leave("aside", socket)
            self.handed += self.hub.broadcast("aside", "psst", exclude=self.steady)

    def close_some(self) -> None:
        while not self.stop.wait(0.003):
            for socket in self.restless[:1]:
                self.hub.leave_all(socket)
                socket.write("farewell")
                socket.close(3000, "enough")
                assert not socket.write("too late")

    def work(self, task: Callable[..., None], *arguments: int) -> threading.Thread:
        def run() -> None:
            try:
                task(*arguments)
            except BaseException as error:
                self.failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread


async def come_and_vanish(port: int, stop: threading.Event) -> None:
    while not stop.is_set():
        client = await RawClient.connect(port)
        for _ in range(random.randrange(8)):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await client.reader.read(1000)
        client.kill()
        RawClient.alive.remove(client)


async def read_until_the_end(client: RawClient) -> list[str]:
    data = bytearray()
    while not data.endswith(b"\x81\x07the end"):
        more = await client.reader.read(1 << 16)
        assert more, "the connection was lost"
        data += more
    texts, at = [], 0
    while at < len(data):
        assert data[at] == 0x81
        start = at + 2
        at = start + data[at + 1]
        texts.append(data[start:at].decode())
    return texts


def check_order(texts: list[str]) -> list[str]:
    """Nothing is missing and nothing overtakes, of every author. Returns what the whole room got."""
    latest = dict.fromkeys(map(str, range(AUTHORS)), -1)
    for text in texts:
        match text.split():
            case ["room", author, number]:
                assert int(number) == latest[author] + 1
                latest[author] += 1
            case ["word", author, number]:
                assert int(number) == latest[author]
    return [text for text in texts if text.startswith("room")]


async def test_order_and_accounts_hold_under_threads_while_clients_come_and_vanish() -> None:
    crowd = Crowd()
    async with serving(crowd.handler(), hub=crowd.hub) as server:
        clients = [await RawClient.connect(server.port, "/steady") for _ in range(STEADY)]
        await until(lambda: len(crowd.steady) == STEADY)
        readers = [asyncio.ensure_future(read_until_the_end(client)) for client in clients]
        restless = [asyncio.ensure_future(come_and_vanish(server.port, crowd.stop)) for _ in range(RESTLESS)]
        threads = [crowd.work(crowd.publish, author) for author in range(AUTHORS)]
        threads += [crowd.work(crowd.join_and_leave), crowd.work(crowd.close_some)]
        await asyncio.sleep(SECONDS)
        crowd.stop.set()
        await asyncio.gather(*restless, *(asyncio.to_thread(thread.join) for thread in threads))
        assert crowd.failures == []
        await until(lambda: not crowd.restless)
        crowd.handed += crowd.hub.broadcast("room", "the end")
        rooms = [check_order(texts) for texts in await asyncio.gather(*readers)]
        assert rooms[0]
        assert all(room == rooms[0] for room in rooms)
        await until(lambda: crowd.hub.statistics().waiting == 0)
        statistics = crowd.hub.statistics()
        assert (statistics.connections, statistics.backlog, statistics.writer_failures) == (STEADY, 0, 0)
        assert statistics.deliveries <= crowd.handed <= statistics.deliveries + sum(statistics.drops.values())
    assert crowd.hub.statistics().memberships == 0
