"""A client of real-time sessions that shows everything, and recovers as the published ones do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

import msgspec
import websockets

from hubbub.realtime.protocol import JSON, PROTOBUF
from hubbub.realtime.protocol.commands import Command
from hubbub.realtime.protocol.json import is_json
from hubbub.realtime.protocol.replies import Reply

__all__ = ["Peer", "PeerClosed"]


class PeerClosed(Exception):
    """The server has closed the connection; the close code is its argument."""


class Peer:
    """One connection after the other. What is pushed is in `pushes`, publications are in `got`, by channel.

    Commands and replies are in JSON to whoever uses it, also where Protobuf is spoken.
    """

    def __init__(self, url: str, protobuf: bool = False) -> None:
        self.url = url
        self.protobuf = protobuf
        self.id = ""
        self.pushes: list[dict[str, Any]] = []
        self.got: dict[str, list[dict[str, Any]]] = {}
        self.positions: dict[str, tuple[int, str]] = {}
        self.gaps: list[str] = []  # channels of which it was told that something is missing
        self.code = 0
        self.reason = ""
        self.heard: list[dict[str, Any]] = []  # everything, in order
        self.answers_pings = True
        self._numbers = count(1)
        self._asked: dict[int, tuple[asyncio.Future[dict[str, Any]], str]] = {}
        self._reading: asyncio.Task[None] | None = None
        self.socket: Any = None

    async def open(self, **settings: Any) -> Peer:
        """Without a connect command."""
        if self.protobuf:
            settings.setdefault("subprotocols", ["centrifuge-protobuf"])
        self.socket = await websockets.connect(self.url, compression=None, open_timeout=20, max_size=None, **settings)
        self._reading = asyncio.get_running_loop().create_task(self._read())
        return self

    async def connect(self, **request: Any) -> dict[str, Any]:
        """Raises: PeerClosed."""
        await self.open()
        reply = await self.ask(connect=request)
        self.id = reply.get("connect", {}).get("client", "")
        return reply

    async def ask(self, **request: Any) -> dict[str, Any]:
        """The reply to one command. Raises: PeerClosed."""
        number = next(self._numbers)
        asked = asyncio.get_running_loop().create_future()
        self._asked[number] = asked, request.get("subscribe", {}).get("channel", "")
        await self.send({"id": number, **request})
        return await asyncio.wait_for(asked, 20)

    async def send(self, *commands: dict[str, Any]) -> None:
        """Write these in one frame."""
        try:
            await self.socket.send(self._frame(commands))
        except websockets.ConnectionClosed as error:
            raise PeerClosed(error.rcvd.code if error.rcvd else 1006) from None

    async def subscribe(self, channel: str, **request: Any) -> dict[str, Any]:
        """And recover, if it was there before. Raises: PeerClosed."""
        if channel in self.positions:
            offset, epoch = self.positions[channel]
            request = {"recover": True, "offset": offset, "epoch": epoch, **request}
        return await self.ask(subscribe={"channel": channel, **request})

    def _subscribed(self, channel: str, result: dict[str, Any]) -> None:
        if result.get("positioned"):
            if result.get("was_recovering") and not result.get("recovered"):
                self.gaps.append(channel)
            self.positions[channel] = (result.get("offset", 0), result.get("epoch", ""))
            for publication in result.get("publications", ()):
                self._take(channel, publication)

    async def ended(self) -> int:
        """The code with which the server closes the connection."""
        assert self._reading is not None
        await asyncio.wait_for(asyncio.shield(self._reading), 20)
        return self.code

    async def until(self, true: Callable[[], object], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not true():
                await asyncio.sleep(0.002)

    def bodies(self, channel: str) -> list[Any]:
        return [publication["data"] for publication in self.got.get(channel, ())]

    def kill(self) -> None:
        """Cut the connection."""
        if self.socket is not None:
            self.socket.transport.abort()

    async def close(self) -> None:
        if self.socket is not None:
            await self.socket.close()
        if self._reading is not None:
            await asyncio.wait([self._reading])

    async def _read(self) -> None:
        try:
            async for frame in self.socket:
                for said in self._said(frame):
                    await self._hear(said)
        except websockets.ConnectionClosed:
            pass
        self.code = self.socket.close_code or 1006
        self.reason = self.socket.close_reason or ""
        for asked, _ in self._asked.values():
            if not asked.done():
                asked.set_exception(PeerClosed(self.code))
                asked.exception()

    def _frame(self, commands: Iterable[dict[str, Any]]) -> str | bytes:
        lines = [json.dumps(command) for command in commands]
        if not self.protobuf:
            return "\n".join(lines)
        return PROTOBUF.join([PROTOBUF.encode(msgspec.json.decode(line, type=Command)) for line in lines])

    def _said(self, frame: str | bytes) -> list[dict[str, Any]]:
        if isinstance(frame, str):
            return [json.loads(line) for line in frame.split("\n")]
        return [json.loads(JSON.encode(_shown(reply))) for reply in PROTOBUF.replies(frame)]

    async def _hear(self, said: dict[str, Any]) -> None:
        self.heard.append(said)
        if "id" in said:
            asked, channel = self._asked.pop(said["id"], (None, ""))
            if channel and "subscribe" in said:
                self._subscribed(channel, said["subscribe"])
            if asked is not None and not asked.done():
                asked.set_result(said)
        elif "push" in said:
            pushed = said["push"]
            self.pushes.append(pushed)
            if "pub" in pushed:
                self._take(pushed["channel"], pushed["pub"])
            elif "unsubscribe" in pushed and pushed["unsubscribe"]["code"] >= 2500:
                self.gaps.append(f"{pushed['channel']} ends")
        elif not said and self.answers_pings:
            await self.socket.send(b"\0" if self.protobuf else "{}")

    def _take(self, channel: str, publication: dict[str, Any]) -> None:
        self.got.setdefault(channel, []).append(publication)
        if "offset" in publication:
            epoch = publication.get("epoch") or self.positions.get(channel, (0, ""))[1]
            self.positions[channel] = (publication["offset"], epoch)


def _shown(reply: Reply) -> Reply:
    """With patches as texts, as JSON has them, and with what is no JSON as a text of as many letters."""
    subs = [reply.subscribe, *(reply.connect.subs.values() if reply.connect is not None else ())]
    found = [publication for result in subs if result is not None for publication in result.publications]
    if reply.push is not None and reply.push.pub is not None:
        found.append(reply.push.pub)
    for publication in found:
        if publication.delta:
            publication.data = JSON.document(bytes(publication.data))
    for said in (*found, *filter(None, subs)):
        if not is_json(bytes(said.data) or b"null"):
            said.data = JSON.document(bytes(said.data).decode("latin-1").encode())
    return reply
