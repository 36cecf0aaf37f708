"""One process of a world of sessions: a real-time server, whose program publishes into one channel as well.

SIGTERM ends it in good order. Orders and files are those of `faults/worker.py`.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from typing import Any

import hubbub
from faults.worker import ROOM, Worker, main
from hubbub.brokers import Publication
from hubbub.realtime import Accepted, Bounds, Client, Connected, History, Namespace, Realtime
from hubbub.realtime.bodies import Sent, event_of

NAME = b"r:" + ROOM.encode()  # of its publications, at the broker
BODY = 700  # characters of a publication: most of it is the same in all, so that patches are worth it
SEND_BUFFER = 4096  # bytes, which the kernel doubles: a reader that stalls is noticed soon
BACKLOG = 4 * 1024


def padded(item: str) -> str:
    return item.ljust(BODY, ".")


def item_of(publication: Publication) -> str:
    event = event_of(publication.body)
    assert isinstance(event, Sent)
    return str(json.loads(event.data)).rstrip(".")


class SessionWorker(Worker):
    def begin(self, given: dict[str, Any]) -> None:
        namespace = Namespace(
            history=History(given["history"], 3600), force_recovery=True, allowed_delta_types=("fossil",),
            delta_publish=True,
        )  # fmt: skip
        self.realtime = Realtime(
            broker=given["url"], insecure=True, namespaces={"": namespace},
            limits=hubbub.Limits(ping_interval=3600, max_backlog=BACKLOG),
            bounds=Bounds(ping=2, pong_timeout=1.9, max_publications=2000),
        )  # fmt: skip
        self.realtime.on_connect(_connect)
        self.note(self.realtime._service.channels, lambda name, p: item_of(p) if name == NAME else None)

    async def say(self, item: str) -> tuple[str, int]:
        done = await self.realtime.publish(ROOM, padded(item))
        return done.epoch, done.offset

    def statistics(self) -> Any:
        return self.realtime.statistics().broker

    def serving(self, port: int) -> Any:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._leave)
        listening = socket.create_server(("127.0.0.1", port))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        return hubbub.serve(self.realtime.handler, hub=self.realtime.hub, sockets=[listening])

    def _leave(self) -> None:
        self.obey("stop")
        self.leaving.set_result(None)

    async def left(self) -> None:
        await self.realtime.close()


def _connect(client: Client, data: bytes) -> Connected:
    return Connected(channels={ROOM: Accepted()} if data == b'"server"' else {})


if __name__ == "__main__":
    asyncio.run(main(SessionWorker))
