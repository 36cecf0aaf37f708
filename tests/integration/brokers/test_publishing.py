"""Publishing without a hub: from code, and from a shell."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import hubbub
from integration.brokers.test_hubs import member, relay_of, stop
from support.processes import running
from support.serving import until


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


async def test_what_is_published_elsewhere_reaches_members(tmp_path: Path) -> None:
    url = f"local:{tmp_path}/own.sock"
    hub = hubbub.Hub(broker=url)
    async with member(hub) as (client, _):
        done = await asyncio.to_thread(hubbub.publish, "room", "from a thread", broker=url)
        assert (done.offset, done.suppressed) == (1, "")
        assert await client.read() == "from a thread"
        await hubbub.publish_async("room", b"from a task", broker=url, key="k")
        again = await hubbub.publish_async("room", b"from a task", broker=url, key="k")
        assert (again.offset, again.suppressed) == (2, "repeated")
        assert await client.read() == b"from a task"
        for arguments, data, expected in (
            (["room", "from a shell"], None, "from a shell"),
            (["room", "-"], b"from a pipe", "from a pipe"),
            (["room", "-", "--binary"], b"\xff", b"\xff"),
        ):
            told = await asyncio.to_thread(run, [*arguments, "--broker", url], data)
            assert told.returncode == 0, told
            assert told.stdout.startswith(b"published as number ")
            assert await client.read() == expected
        relay = relay_of(hub)
    await hub.close()
    stop(relay)


def run(arguments: list[str], data: bytes | None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "hubbub", "publish", *arguments]
    return subprocess.run(command, input=data, capture_output=True, timeout=30, check=False, env=os.environ)


def test_who_forgets_the_broker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUBBUB_BROKER", raising=False)
    with pytest.raises(hubbub.Misuse, match="HUBBUB_BROKER"):
        hubbub.publish("room", "x")
    with pytest.raises(hubbub.Misuse, match="no other process"):
        hubbub.publish("room", "x", broker="memory:")


async def test_an_event_loop_is_not_blocked() -> None:
    with pytest.raises(hubbub.Misuse, match="publish_async"):
        hubbub.publish("room", "x", broker="local:")


def test_a_broker_that_cannot_be_reached_is_told_without_its_credentials() -> None:
    with pytest.raises(hubbub.BrokerUnavailable, match="no link to the broker") as caught:
        hubbub.publish("room", "x", broker="nats://user:secret@127.0.0.1:1", timeout=0.3)
    assert "secret" not in str(caught.value)


def test_doctor_looks_at_the_broker(tmp_path: Path) -> None:
    def doctor(url: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hubbub", "doctor", "--broker", url]
        return subprocess.run(command, capture_output=True, timeout=30, check=False, text=True)

    well = doctor(f"sqlite:{tmp_path}/kept.db")
    assert well.returncode == 0, well.stderr
    assert "round trip" in well.stdout
    assert "SQLite" in well.stdout
    ill = doctor("nats://user:secret@127.0.0.1:1")
    assert ill.returncode == 1
    assert "not reached" in ill.stdout
    assert "secret" not in ill.stdout + ill.stderr


def test_a_relay_keeps_nothing_of_the_process_that_started_it(tmp_path: Path) -> None:
    """Who reads that process's output to its end waits for that process alone, and its port is free again."""
    program = """
import socket, hubbub
listening = socket.create_server(("127.0.0.1", 0))
listening.set_inheritable(True)  # as servers do for their workers
hubbub.publish("room", "x", broker="local:")
print(listening.getsockname()[1])
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=True)
    with socket.socket(socket.AF_UNIX) as relay:
        relay.connect(str(tmp_path / "hubbub" / "default.sock"))  # it is still there
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(done.stdout)), 5)


def test_what_a_relay_complains_of_is_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"this is no database" * 100)
    done = run(["room", "x", "--broker", f"sqlite:{tmp_path}/broken.db", "--timeout", "2"], None)
    assert done.returncode == 1
    assert b"file is not a database" in done.stderr


async def test_who_publishes_where_nobody_is_learns_that(tmp_path: Path) -> None:
    hub = hubbub.Hub(broker="local:here")
    async with member(hub) as (client, _):
        here = await asyncio.to_thread(run, ["room", "x", "--broker", "local:here"], None)
        assert (here.returncode, here.stderr) == (0, b"")
        assert await client.read() == "x"
        there = await asyncio.to_thread(run, ["room", "x", "--broker", "local:there"], None)
        assert there.returncode == 0
        assert f"no other process was there: {tmp_path}/hubbub/there.sock".encode() in there.stderr
        relay = relay_of(hub)
    await hub.close()
    stop(relay)


async def test_a_relay_that_runs_as_a_service_owns_its_file(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hubbub", "relay"]
    file = f"{tmp_path}/kept.db"
    async with running([*command, "--sqlite", file]) as relay:
        await until(lambda: list((tmp_path / "hubbub").glob("*.sock")), 20)
        hub = hubbub.Hub(broker=f"sqlite:{file}")
        await hub.publish("room", "x")
        assert relay_of(hub) == relay.pid
        await hub.close()
        other = [*command, f"{tmp_path}/other.sock", "--sqlite", file]
        async with running(other, stderr=asyncio.subprocess.PIPE) as second:
            assert second.stderr is not None
            assert b"waiting until it ends" in await second.stderr.readline()


async def test_a_relay_that_runs_as_a_service_waits_for_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says that it is ready, when it listens or waits: what is to be started after it has not to wait for more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{tmp_path}/notify")
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/notify")
        command = [sys.executable, "-m", "hubbub", "relay", f"{tmp_path}/own.sock"]
        async with running(command) as first:
            assert await asyncio.to_thread(manager.recv, 64) == b"READY=1"
            assert (tmp_path / "own.sock").exists()
            hub = hubbub.Hub(broker=f"local:{tmp_path}/own.sock")
            await hub.publish("room", "x")
            assert relay_of(hub) == first.pid
            async with running(command) as second:
                assert await asyncio.to_thread(manager.recv, 64) == b"READY=1"
                first.terminate()
                await until(lambda: relay_of(hub) == second.pid)
                await hub.publish("room", "x")
                await hub.close()


async def test_a_relay_without_a_place_says_so_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hubbub.brokers.relay", f"{tmp_path}/none/own.sock"]
    async with running(command, stderr=asyncio.subprocess.PIPE) as relay:
        assert relay.stderr is not None
        said = (await relay.stderr.read()).decode()
        assert await relay.wait() == 1
    assert said.endswith(f"there is no folder {tmp_path}/none for the socket own.sock\n")
    assert said.count("\n") == 1


PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "publish-from-anywhere.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", range(len(BLOCKS)))
async def test_what_the_page_shows_works(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBUB_BROKER", "local:")
    hub = hubbub.Hub()
    async with member(hub, "lobby") as (client, _):
        async with running([sys.executable, "-c", BLOCKS[block]]) as publisher:
            assert await publisher.wait() == 0
        assert await client.read() == "The build is done."
        relay = relay_of(hub)
    await hub.close()
    stop(relay)
