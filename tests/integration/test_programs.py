"""`hubbub.run` as a whole program: signals, workers, a full descriptor table, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import hubbub
from hubbub import native
from support.client import RawClient, encode
from support.processes import running
from support.serving import until

PROGRAM = Path(__file__).parents[1] / "support" / "program.py"
LOOPS = ["uvloop", "asyncio"]


@contextlib.asynccontextmanager
async def program(
    loop: str = "auto", *, port: int = 0, workers: int = 1, descriptors: int = 0, **settings: Any
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    command = [sys.executable, str(PROGRAM), str(port), loop, str(workers), str(descriptors)]
    async with running(command, **settings) as process:
        if workers == 1:
            assert process.stdout is not None
            async with asyncio.timeout(10):
                port = int(await process.stdout.readline())
        else:
            await until(lambda: _answers(port), 10)
        yield process, port


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def ended(process: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(10):
        return await process.wait()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_in_good_order(loop: str, number: signal.Signals) -> None:
    async with program(loop) as (process, port):
        client, flooded = await RawClient.connect(port), await RawClient.connect(port, limit=1024)
        flooded.text("flood")
        assert str(await flooded.read()).startswith("0:")
        process.send_signal(number)
        assert await client.read_close() == (1001, "the server stops")
        client.send(encode(8, struct.pack("!H", 1001)))
        assert await client.at_end()
        with pytest.raises(OSError, match=r".*"):
            await RawClient.dial(port)
        for expected in range(1, 200):  # what waited leaves before the goodbye
            assert str(await flooded.read()).startswith(f"{expected}:")
        assert (await flooded.read_close())[0] == 1001
        flooded.send(encode(8, struct.pack("!H", 1001)))
        assert await ended(process) == 0


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_second_signal_exits_at_once(loop: str) -> None:
    async with program(loop) as (process, port):
        client = await RawClient.connect(port)
        process.send_signal(signal.SIGTERM)
        await client.read_close()  # not answered, so it would wait for close_timeout
        process.send_signal(signal.SIGINT)
        assert await ended(process) == 128 + signal.SIGINT


async def test_workers_share_a_port_and_are_replaced() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with program(port=port, workers=2) as (process, _):

        async def pid() -> int:
            client = await RawClient.connect(port)
            client.text("pid")
            found = int(await client.read())
            await client.close()
            return found

        pids: set[int] = set()
        async with asyncio.timeout(10):
            while len(pids) < 2:
                pids.add(await pid())
        victim = pids.pop()
        os.kill(victim, signal.SIGKILL)
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    if await pid() not in pids | {victim}:
                        break
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0
        with pytest.raises(OSError, match=r".*"):
            await RawClient.dial(port)


def test_arguments_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(hubbub.Misuse, match="one process"):
        hubbub.run(hubbub.Handler, hub=hubbub.Hub(), workers=2)
    with pytest.raises(hubbub.Misuse, match="share a TCP port"):
        hubbub.run(hubbub.Handler, uds="x.sock", workers=2)
    with pytest.raises(hubbub.Misuse, match="from 1"):
        hubbub.run(hubbub.Handler, workers=0)
    with pytest.raises(hubbub.Misuse, match="auto, uvloop or asyncio"):
        hubbub.run(hubbub.Handler, loop="twisted")


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_full_descriptor_table_costs_new_connections_only(loop: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        async with program(loop, descriptors=60, stderr=stderr) as (process, port):
            assert re.search(r"Max open files\s+60\s+60", Path(f"/proc/{process.pid}/limits").read_text())
            old = await RawClient.connect(port)
            rush = [await RawClient.dial(port) for _ in range(400)]  # the kernel takes them, the server cannot
            old.text("before")
            assert await old.read() == "before"
            began, spent = time.monotonic(), _cpu_seconds(process.pid)
            await asyncio.sleep(1)
            share = (_cpu_seconds(process.pid) - spent) / (time.monotonic() - began)
            assert share < 0.5  # it waits instead of spinning
            said = log.read_text()  # now and then, by us or by asyncio; uvloop accepts and drops, and says nothing
            assert said.count("out of system resource") + said.count("Too many open files") < 20
            assert "Too many open files" in said or not native.active()
            old.text("during")
            assert await old.read() == "during"
            for client in rush:
                client.kill()
            async with asyncio.timeout(5):  # they are accepted all the same, as many at a time as there are descriptors
                while True:
                    with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                        new = await RawClient.connect(port)
                        new.text("after")
                        assert await new.read() == "after"
                        break
            process.send_signal(signal.SIGTERM)
            old.kill()
            assert await ended(process) == 0


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


EXITING = """
import asyncio, sys, hubbub

class Exiting(hubbub.Handler):
    def message(self, data):
        if data == "async":
            return self.later()
        raise {error}

    async def later(self):
        await asyncio.sleep(0)
        raise {error}

hubbub.run(Exiting, port=0, loop=sys.argv[1], started=lambda server: print(server.port, flush=True))
"""


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("wish", ["", "0"], ids=["chosen", "pure"])
@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize(("error", "codes"), [("SystemExit(3)", {3}), ("KeyboardInterrupt", {130, -signal.SIGINT})])
async def test_an_exit_out_of_a_callback_ends_the_program_in_good_order(
    loop: str, wish: str, how: str, error: str, codes: set[int]
) -> None:
    command = [sys.executable, "-c", EXITING.replace("{error}", error), loop]
    async with running(command, env={"HUBBUB_NATIVE": wish}, stderr=asyncio.subprocess.DEVNULL) as process:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        other, one = await RawClient.connect(port), await RawClient.connect(port)
        one.text(how)
        assert await one.read_close() == (1011, "internal error")
        assert await other.read_close() == (1001, "the server stops")
        for client in (one, other):
            client.send(encode(8, b"\x03\xe9"))
        assert await ended(process) in codes


CONFIGURED = """
import logging, sys, hubbub
{how}
hubbub.run(hubbub.Handler, port=0, started=lambda server: print(server.port, flush=True))
"""


async def lines_of_a_start(program: str, **environment: str) -> list[str]:
    """What a program writes to stderr until it was stopped."""
    async with running([sys.executable, "-c", program], env=environment, stderr=asyncio.subprocess.PIPE) as process:
        assert process.stdout is not None
        await process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), 10)
    return errors.decode().splitlines()


@pytest.mark.parametrize(
    ("wish", "twin"), [("0", "pure Python: HUBBUB_NATIVE=0 says so"), ("", native.describe())], ids=["pure", "chosen"]
)
async def test_a_program_that_configured_no_logging_says_where_it_listens(wish: str, twin: str) -> None:
    first, *_ = await lines_of_a_start(CONFIGURED.format(how=""), HUBBUB_NATIVE=wish)
    said = re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ INFO hubbub: listening on (ws://\S+) \((.*)\)", first)
    assert said is not None
    assert said[1].startswith("ws://127.0.0.1:")
    assert said[2].partition(", ")[2] == twin


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("logging.basicConfig(format='MINE %(message)s')", 0),
        ("logging.basicConfig(format='MINE %(message)s', level='INFO')", 2),
        ("logging.getLogger('hubbub').addHandler(logging.NullHandler())", 0),
        ("logging.getLogger('hubbub').setLevel('ERROR')", 0),
    ],
)
async def test_a_program_that_configured_its_logging_has_it_so(how: str, expected: int) -> None:
    lines = await lines_of_a_start(CONFIGURED.format(how=how))
    assert len(lines) == expected
    assert all(line.startswith("MINE ") for line in lines)


async def test_serve_leaves_logging_alone() -> None:
    before = logging.getLogger("hubbub").handlers[:], logging.getLogger("hubbub").level
    async with hubbub.serve(hubbub.Handler, port=0):
        assert (logging.getLogger("hubbub").handlers, logging.getLogger("hubbub").level) == before
