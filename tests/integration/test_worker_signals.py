"""Several workers and the signals that reach them: through their parent, and all of them at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from support.client import RawClient, encode
from support.processes import running
from support.serving import until

PROGRAM = Path(__file__).parents[1] / "support" / "program.py"


@contextlib.asynccontextmanager
async def workers(
    loop: str = "auto", before: Sequence[str] = ()
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Two workers in a process group of their own, as a terminal starts them; and their port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [*before, sys.executable, str(PROGRAM), str(port), loop, "2", "0"]
    async with running(command, start_new_session=True) as process:
        await until(lambda: _answers(port), 10)
        yield process, port


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def ended(process: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(10):
        return await process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_to_the_whole_group_stops_in_good_order(number: signal.Signals) -> None:
    async with workers() as (process, port):
        clients = [await RawClient.connect(port, limit=1024) for _ in range(4)]
        for client in clients:
            client.text("flood")
            assert str(await client.read()).startswith("0:")
        os.killpg(process.pid, number)  # a worker has it twice: from the terminal, and from its parent
        for client in clients:
            for expected in range(1, 200):
                assert str(await client.read()).startswith(f"{expected}:")
            assert await client.read_close() == (1001, "the server stops")
            client.send(encode(8, struct.pack("!H", 1001)))
        assert await ended(process) == 0


async def test_a_second_signal_ends_parent_and_workers_at_once() -> None:
    async with workers() as (process, port):
        clients = [await RawClient.connect(port) for _ in range(4)]
        process.send_signal(signal.SIGTERM)
        for client in clients:
            assert await client.read_close() == (1001, "the server stops")  # not answered
        process.send_signal(signal.SIGINT)
        assert await ended(process) == 128 + signal.SIGINT
        for client in clients:
            assert await client.at_end()


async def test_a_signal_while_a_worker_is_missing_is_obeyed() -> None:
    async with workers() as (process, port):
        client = await RawClient.connect(port)
        client.text("pid")
        os.kill(int(await client.read()), signal.SIGKILL)
        assert await client.at_end()
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0
        with pytest.raises(ConnectionRefusedError):
            await RawClient.dial(port)


async def pid_of(client: RawClient) -> int:
    client.text("pid")
    return int(await client.read())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_workers_stop_in_good_order_when_their_parent_was_killed(loop: str) -> None:
    async with workers(loop=loop) as (process, port):
        clients = [await RawClient.connect(port) for _ in range(8)]
        pids = {await pid_of(client) for client in clients}
        process.kill()
        assert await ended(process) == -signal.SIGKILL
        for client in clients:
            assert await client.read_close() == (1001, "the server stops")
            client.send(encode(8, struct.pack("!H", 1001)))
        await until(lambda: not _answers(port))
        await until(lambda: not any(alive(pid) for pid in pids))


def alive(pid: int) -> bool:
    """Whether it runs; what has ended and only waits for a parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


IGNORING = """
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.executable, sys.argv[1:])
"""


async def test_workers_are_replaced_where_the_end_of_children_is_ignored() -> None:
    async with workers(before=[sys.executable, "-c", IGNORING]) as (process, port):
        client = await RawClient.connect(port)
        killed = await pid_of(client)
        os.kill(killed, signal.SIGKILL)
        assert await client.at_end()
        found: set[int] = set()
        async with asyncio.timeout(10):
            while len(found - {killed}) < 2:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):  # it was still going
                    found.add(await pid_of(await RawClient.connect(port)))
        while RawClient.alive:
            RawClient.alive.pop().kill()
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0
        assert not _answers(port)
