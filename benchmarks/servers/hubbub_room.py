"""Rooms on hubbub's own server: the path names the room, and what any member sends goes to all of it.

WRITERS sets how many writers the hub has, DEFLATE accepts compression, CERTIFICATE (see tls.py) asks for TLS, LOOP
chooses the event loop, HUBBUB_NATIVE the twin, WORKERS how many processes there are, and HUBBUB_BROKER what joins them.
"""

from __future__ import annotations

import os
import sys

import stall
import tls

import hubbub

writers = os.environ.get("WRITERS")
hub = hubbub.Hub(writers=int(writers), max_writers=int(writers)) if writers else hubbub.Hub()


class Room(hubbub.Handler):
    def handshake(self, request: hubbub.Request) -> None:
        self.room = request.path

    def opened(self) -> None:
        if self.room != "/echo":
            hub.join(self.room, self.socket)

    def message(self, data: str | bytes) -> None:
        if self.room == "/echo":
            self.write(data)
        else:
            hub.broadcast(self.room, data)


def counts() -> dict[str, float]:
    now = hub.statistics()
    return {"sends": now.sends, "handed_over": now.deliveries}


def ready(_server: hubbub.Server) -> None:
    stall.watch(counts)
    print("ready", flush=True)


if __name__ == "__main__":
    hubbub.run(
        Room,
        hub=hub,
        port=int(sys.argv[1]),
        compression=hubbub.Deflate() if os.environ.get("DEFLATE") else None,
        ssl=tls.context(),
        loop=os.environ.get("LOOP", "auto"),
        workers=int(os.environ.get("WORKERS", "1")),
        started=ready,
    )
