"""Rooms on socketify, which is uWebSockets: a topic, and one `publish` to it."""

from __future__ import annotations

import os
import sys

import stall
from socketify import App, AppListenOptions, CompressOptions, OpCode

deflate = bool(os.environ.get("DEFLATE"))
limits = {
    "compression": CompressOptions.SHARED_COMPRESSOR if deflate else CompressOptions.DISABLED,
    "max_payload_length": 1 << 20,
    "max_backpressure": 1 << 24,
    "idle_timeout": 0,
}
app = App()


def upgrade(response, request, context):  # type: ignore[no-untyped-def]
    response.upgrade(
        request.get_header("sec-websocket-key"),
        request.get_header("sec-websocket-protocol"),
        request.get_header("sec-websocket-extensions"),
        context,
        request.get_parameter(0),
    )


def opened(socket):  # type: ignore[no-untyped-def]
    socket.subscribe(socket.get_user_data())


def message(socket, data, _opcode):  # type: ignore[no-untyped-def]
    app.publish(socket.get_user_data(), data, OpCode.BINARY, deflate)


def echo(socket, data, opcode):  # type: ignore[no-untyped-def]
    socket.send(data, opcode)


app.ws("/room/:room", limits | {"upgrade": upgrade, "open": opened, "message": message})
app.ws("/echo", limits | {"message": echo})
app.loop.loop.call_soon(stall.watch)
app.listen(AppListenOptions(port=int(sys.argv[1]), host="127.0.0.1"))
app.run()
