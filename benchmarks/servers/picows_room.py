"""Rooms on picows, on uvloop: one `send` for each member, called from the frame's callback."""

from __future__ import annotations

import sys
from collections import defaultdict

import stall
import tls
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

rooms: defaultdict[str, set[WSTransport]] = defaultdict(set)


class Room(WSListener):
    def __init__(self, path: str) -> None:
        self.members = rooms[path]

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.members.add(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
            return
        data = frame.get_payload_as_bytes()
        for member in self.members:
            member.send(WSMsgType.BINARY, data)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.members.discard(transport)


class Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        transport.send(WSMsgType.BINARY, frame.get_payload_as_memoryview())


def listener(request: WSUpgradeRequest) -> WSListener:
    path = request.path.decode()
    return Echo() if path == "/echo" else Room(path)


async def main() -> None:
    stall.watch()
    server = await ws_create_server(listener, "127.0.0.1", int(sys.argv[1]), backlog=4096, ssl=tls.context())
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
