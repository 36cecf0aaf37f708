"""A link to an engine through a process of ours: cut, deaf, mute, or losing and repeating whole messages.

It knows just enough of each protocol to tell messages apart, and which of them hand publications over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["Proxy", "local_messages", "nats_messages", "redis_messages"]

Cut = Callable[[bytearray], Iterator[tuple[bytes, bool]]]


def local_messages(buffer: bytearray) -> Iterator[tuple[bytes, bool]]:
    """Whole messages, taken out of the buffer, and whether each hands publications over."""
    while len(buffer) >= 4 and len(buffer) >= (end := 4 + int.from_bytes(buffer[:4], "big")):
        message = bytes(buffer[:end])
        del buffer[:end]
        yield message, message[4:6] == b"\x93\x29"  # an array of three, and the tag of Told


def nats_messages(buffer: bytearray) -> Iterator[tuple[bytes, bool]]:
    while (stop := buffer.find(b"\r\n")) >= 0:
        words = bytes(buffer[:stop]).split()
        end = stop + 2
        if words and words[0] in (b"MSG", b"HMSG"):
            end += int(words[-1]) + 2
        if len(buffer) < end:
            return
        message = bytes(buffer[:end])
        del buffer[:end]
        yield message, words[:1] == [b"HMSG"] and b".r." in words[1]


def redis_messages(buffer: bytearray) -> Iterator[tuple[bytes, bool]]:
    while (end := _resp_end(buffer, 0)) is not None:
        message = bytes(buffer[:end])
        del buffer[:end]
        yield message, message[:1] in b"*>" and b"message\r\n" in message[:40]


def _resp_end(buffer: bytearray, at: int) -> int | None:
    """Where the value that begins there ends; None: it is not all there."""
    stop = buffer.find(b"\r\n", at)
    if stop < 0:
        return None
    kind, size, end = buffer[at : at + 1], bytes(buffer[at + 1 : stop]), stop + 2
    if kind in (b"$", b"=", b"!"):
        end = end if size == b"-1" else end + int(size) + 2
        return end if end <= len(buffer) else None
    if kind in (b"*", b">", b"~", b"%", b"|"):
        for _ in range(max(int(size), 0) * (2 if kind in (b"%", b"|") else 1)):
            after = _resp_end(buffer, end)
            if after is None:
                return None
            end = after
    return end


class Proxy:
    """Between one node and the engine.

    Args:
        upstream: opens a connection to the engine.
        cut: takes whole messages out of what the engine sends.
    """

    def __init__(self, upstream: Callable[[], Any], cut: Cut) -> None:
        self.upstream = upstream
        self._cut = cut
        self._server: asyncio.Server | None = None
        self._links: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.deaf = False  # nothing comes from the engine
        self.mute = False  # nothing gets to it
        self.lose = 0  # so many publications that come are lost
        self.repeat = 0  # so many that come are handed over again, with three more between
        self.acted = 0

    async def listen(self, path: Path | None = None) -> int:
        """At a socket, or a port, which is returned."""
        if path is not None:
            self._server = await asyncio.start_unix_server(self._serve, str(path))
            return 0
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def repair(self) -> None:
        """Hear and speak again. What links of before have not passed on cannot be made good, so they are cut."""
        self.deaf = self.mute = False
        self.sever()

    def sever(self) -> None:
        """Cut all links."""
        for pair in list(self._links):
            for writer in pair:
                writer.transport.abort()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.sever()
        for task in list(self._tasks):
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            engine_reader, engine_writer = await self.upstream()
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, engine_writer)
        self._links.add(pair)
        ways = [
            asyncio.ensure_future(self._pass_on(reader, engine_writer)),
            asyncio.ensure_future(self._pass_back(engine_reader, writer)),
        ]
        self._tasks.update(ways)
        with suppress(asyncio.CancelledError):
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
            self._tasks.discard(way)
        self._links.discard(pair)
        for one in pair:
            one.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if not self.mute:
                    writer.write(data)
                    await writer.drain()

    async def _pass_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = bytearray()
        again: list[tuple[int, bytes]] = []
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if self.deaf:
                    continue
                buffer += data
                for message, publication in self._cut(buffer):
                    if publication and self.lose:
                        self.lose -= 1
                        self.acted += 1
                        continue
                    writer.write(message)
                    if publication:
                        again = [(left - 1, old) for left, old in again]
                        if self.repeat:
                            self.repeat -= 1
                            self.acted += 1
                            again.append((3, message))
                        for _, old in [one for one in again if one[0] <= 0]:
                            writer.write(old)
                        again = [one for one in again if one[0] > 0]
                await writer.drain()
