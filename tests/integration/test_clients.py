"""Other people's clients: websockets, aiohttp, picows and Node's ws, with and without compression."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import aiohttp
import picows
import pytest
import websockets.asyncio.client

import hubbub
from support.processes import running
from support.serving import Echo, Recorder, serving, until

BOTH_LOOPS = True

LONG = "long enough to be compressed " * 100

compressions = pytest.mark.parametrize(
    "compression", [None, hubbub.Deflate(), hubbub.Deflate(client_context_takeover=True)]
)


@compressions
async def test_websockets(compression: hubbub.Deflate | None) -> None:
    handler = Echo.fresh()
    async with serving(handler, compression=compression) as server:
        async with websockets.asyncio.client.connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as client:
            assert bool(client.protocol.extensions) is bool(compression)
            for message in ("früh", b"\x00\xff", "", LONG, LONG, bytes(100_000)):
                await client.send(message)
                assert await client.recv() == message
            await client.send(["in ", "several ", "fragments"])
            assert await client.recv() == "in several fragments"
            await (await client.ping())
            handler.everyone[0].ping()
            await client.close(3999, "done")
        await until(lambda: handler.everyone[0].ends)
        assert handler.everyone[0].ends == [hubbub.Closed(hubbub.Cause.CLIENT, 3999, "done")]


@compressions
async def test_aiohttp(compression: hubbub.Deflate | None) -> None:
    handler = Echo.fresh()
    async with serving(handler, compression=compression) as server:
        async with aiohttp.ClientSession() as session:
            offered = 15 if compression else 0
            async with session.ws_connect(f"http://127.0.0.1:{server.port}/", compress=offered) as client:
                for text in ("früh", "", LONG, LONG):
                    await client.send_str(text)
                    assert await client.receive_str() == text
                await client.send_bytes(bytes(100_000))
                assert await client.receive_bytes() == bytes(100_000)
                await client.ping()
                handler.everyone[0].close(4001, "bye")
                assert (await client.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
                assert client.close_code == 4001


async def test_picows() -> None:
    received: asyncio.Queue[bytes] = asyncio.Queue()

    class Listener(picows.WSListener):
        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            if frame.msg_type in (picows.WSMsgType.TEXT, picows.WSMsgType.BINARY):
                received.put_nowait(frame.get_payload_as_bytes())

    handler = Echo.fresh()
    async with serving(handler) as server:
        transport, _ = await picows.ws_connect(Listener, f"ws://127.0.0.1:{server.port}/")
        for payload in (b"hello", b"", bytes(70_000)):
            transport.send(picows.WSMsgType.BINARY, payload)
            assert await received.get() == payload
        transport.send_close(picows.WSCloseCode.OK, b"done")
        await until(lambda: handler.everyone[0].ends)
        assert handler.everyone[0].ends == [hubbub.Closed(hubbub.Cause.CLIENT, 1000, "done")]


NODE_CLIENT = """
const { WebSocket } = require("ws");
const [port, compressed] = process.argv.slice(2);
const socket = new WebSocket(`ws://127.0.0.1:${port}/`, ["chat"], { perMessageDeflate: compressed === "1" });
const seen = [];
socket.on("open", () => {
  socket.send("früh"); socket.send(Buffer.from([0, 255])); socket.send("x".repeat(100000));
  socket.send("frag", { fin: false }); socket.send("ments");
  socket.ping("are you there");
});
socket.on("pong", (data) => seen.push(`pong ${data}`));
socket.on("message", (data, binary) => {
  seen.push(binary ? data.toString("hex") : data.length > 100 ? data.length : data.toString());
  if (data.toString() === "fragments") socket.close(3001, "done");
});
socket.on("close", (code, reason) => console.log(JSON.stringify(
  { seen: seen.sort(), code, reason: reason.toString(), extensions: socket.extensions, protocol: socket.protocol })));
socket.on("error", (error) => { console.log(JSON.stringify({ error: String(error) })); });
"""


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.timeout(180)
async def test_nodes_ws(node_ws: Path, compressed: bool) -> None:
    class Chooser(Echo):
        def handshake(self, request: hubbub.Request) -> Any:
            return request.subprotocols[0]

    script = node_ws / "client.js"
    script.write_text(NODE_CLIENT)
    handler = Chooser.fresh()
    async with serving(handler, compression=hubbub.Deflate() if compressed else None) as server:
        node = shutil.which("node") or "node"
        command = [node, str(script), str(server.port), str(int(compressed))]
        async with running(command, cwd=node_ws, env={"NODE_PATH": str(node_ws / "node_modules")}) as process:
            async with asyncio.timeout(20):
                out, _ = await process.communicate()
        result = json.loads(out)
        assert result == {
            "seen": sorted(["früh", "00ff", 100000, "fragments", "pong are you there"], key=str),
            "code": 3001,
            "reason": "",
            "extensions": "permessage-deflate" if compressed else "",
            "protocol": "chat",
        }
        await until(lambda: handler.everyone[0].ends)
        assert handler.everyone[0].ends == [hubbub.Closed(hubbub.Cause.CLIENT, 3001, "done")]


async def test_a_broadcast_reaches_clients_with_and_without_compression() -> None:
    hub = hubbub.Hub()

    class Member(Recorder):
        def opened(self) -> None:
            hub.join("room", self.socket)

    handler = Member.fresh()
    async with serving(handler, hub=hub, compression=hubbub.Deflate()) as server:
        url = f"ws://127.0.0.1:{server.port}/"
        async with (
            websockets.asyncio.client.connect(url, proxy=None) as deflating,
            websockets.asyncio.client.connect(url, proxy=None, compression=None) as plain,
        ):
            await until(lambda: hub.count("room") == 2)
            for message in (LONG, "short", bytes(5000)):
                assert hub.broadcast("room", message) == 2
                assert await deflating.recv() == await plain.recv() == message
