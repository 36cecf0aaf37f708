"""One room on hubbub's own server: every connection is in it, and what any of them sends goes to all."""

from __future__ import annotations

import sys

import hubbub

hub = hubbub.Hub()


class Room(hubbub.Handler):
    def opened(self) -> None:
        hub.join("room", self.socket)

    def message(self, data: str | bytes) -> None:
        hub.broadcast("room", data)


if __name__ == "__main__":
    hubbub.run(Room, hub=hub, port=int(sys.argv[1]))
