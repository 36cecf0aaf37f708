"""A server to attack: a program of its own, so that its memory can be watched, and the test's hold on it.

The program echoes. `/sink` takes messages and says nothing, `/room` joins the channel "room", `/raise` raises what it
is sent, `/stuck` never finishes with a message, `/late` decides on the handshake after half a second, and `/control`
answers `statistics` with JSON and `say:COUNT:SIZE` with that many broadcasts to the room.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import hubbub
from support.client import RawClient
from support.processes import running

MIB = 1024 * 1024


class Target:
    """The running program. Statistics and memory are asked of it while the attack goes on."""

    def __init__(self, pid: int, port: int, control: RawClient, log: Path) -> None:
        self.pid = pid
        self.port = port
        self.echoes = 0  # answers that the well-behaved client has had
        self._control = control
        self._log = log

    async def statistics(self) -> dict[str, dict[str, Any]]:
        """The server's and the hub's snapshots, by "server" and "hub"."""
        self._control.text("statistics")
        answer: dict[str, dict[str, Any]] = json.loads(await self._control.read())
        return answer

    async def counted(self, part: str, name: str, key: str | None, least: int = 1) -> int:
        """Wait until a count of the statistics is so large; then returns it."""
        async with asyncio.timeout(10):
            while True:
                value = (await self.statistics())[part][name]
                count = int(value if key is None else value.get(key, 0))
                if count >= least:
                    return count
                await asyncio.sleep(0.01)

    async def say(self, count: int, size: int) -> None:
        """Have it broadcast so many messages of so many bytes to the room; no mailbox holds any on return."""
        self._control.text(f"say:{count}:{size}")
        assert await self._control.read() == "said"
        while (await self.statistics())["hub"]["waiting"]:
            pass

    async def clog(self, size: int = 32 * 1024) -> int:
        """Broadcast until a member takes no more. Returns the bytes that wait for it beyond the transport's."""
        while not (backlog := (await self.statistics())["hub"]["backlog"]):
            await self.say(1, size)
        return int(backlog)

    def memory(self, field: str = "VmHWM") -> int:
        """Bytes resident: the most there ever were, or with "VmRSS" now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(field + ":"))

    def log(self) -> str:
        """All that it has logged, byte for byte."""
        return self._log.read_bytes().decode()

    async def keep_echoing(self) -> None:
        """Be the well-behaved client beside the attack."""
        client = await RawClient.connect(self.port, "/good")
        while True:
            client.text(f"well-behaved {self.echoes}")
            assert await client.read() == f"well-behaved {self.echoes}"
            self.echoes += 1
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def attacked(
    most: int = 16 * MIB, *, overflow: str = "disconnect", compression: bool = False, **limits: Any
) -> AsyncIterator[Target]:
    """A target under these limits. At the end it must still echo, and never have grown by more than `most` bytes."""
    settings = json.dumps({"overflow": overflow, "compression": compression, "limits": limits})
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("wb") as stderr:
            async with running([sys.executable, __file__, settings], stderr=stderr, env=_env()) as process:
                assert process.stdout is not None
                async with asyncio.timeout(10):
                    line = await process.stdout.readline()
                assert line, log.read_text()
                port = int(line)
                target = Target(process.pid, port, await RawClient.connect(port, "/control"), log)
                await target.statistics()
                friend = asyncio.create_task(target.keep_echoing())
                try:
                    before = target.memory("VmRSS")
                    yield target
                    await _still_well(target, friend)
                    grown = target.memory() - before
                    assert grown < most, f"memory grew by {grown / MIB:.1f} MiB"
                finally:
                    friend.cancel()
                    await asyncio.gather(friend, return_exceptions=True)
                    while RawClient.alive:
                        RawClient.alive.pop().kill()


def _env() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).parent.parent)}


async def _still_well(target: Target, friend: asyncio.Task[None]) -> None:
    async with asyncio.timeout(5):
        enough = target.echoes + 2
        while target.echoes < enough and not friend.done():
            await asyncio.sleep(0.005)
    if friend.done():
        await friend


class Victim(hubbub.Handler):
    """What the program serves."""

    path = ""

    def handshake(self, request: hubbub.Request) -> Awaitable[None] | None:
        self.path = request.path
        return asyncio.sleep(0.5) if self.path == "/late" else None

    def opened(self) -> None:
        if self.path == "/room":
            assert self.hub is not None
            self.hub.join("room", self.socket)

    def message(self, data: Any) -> Awaitable[None] | None:
        if self.path == "/stuck":
            return asyncio.sleep(3600)
        if self.path == "/control":
            self._command(data.split(":"))
        elif self.path == "/raise":
            raise ValueError(data)
        elif self.path not in ("/sink", "/room"):
            self.write(data)
        return None

    def _command(self, words: list[str]) -> None:
        assert self.hub is not None
        match words:
            case ["statistics"]:
                assert server is not None
                answer = {"server": _plain(server.statistics()), "hub": _plain(self.hub.statistics())}
                self.write(json.dumps(answer))
            case ["say", count, size]:
                for number in range(int(count)):
                    self.hub.broadcast("room", f"{number:06d}".ljust(int(size), "."))
                self.write("said")


server: hubbub.Server | None = None


def _plain(snapshot: Any) -> dict[str, Any]:
    values = {field.name: getattr(snapshot, field.name) for field in fields(snapshot)}
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}


def _started(started: hubbub.Server) -> None:
    global server
    server = started
    print(started.port, flush=True)


def main() -> None:
    settings = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", encoding="utf-8")
    hubbub.run(
        Victim,
        hub=hubbub.Hub(overflow=settings["overflow"], limits=hubbub.Limits(**settings["limits"])),
        port=0,
        compression=hubbub.Deflate() if settings["compression"] else None,
        started=_started,
    )


if __name__ == "__main__":
    main()
