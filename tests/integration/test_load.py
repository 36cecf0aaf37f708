"""`hubbub load` against servers that are sound, and against servers that are not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trustme

import hubbub
from support.processes import running
from support.serving import Echo, Recorder, serving, until

HUBBUB = [sys.executable, "-m", "hubbub"]
QUICK = ["-c", "6", "--rate", "100", "-d", "0.3", "--settle", "0.05", "--drain", "0.3"]


async def load(url: str, *options: str, **environment: str) -> tuple[int | None, dict[str, Any], str]:
    """Exit code, report as data, and what a person sees at 80 columns."""
    command = [*HUBBUB, "load", url, *QUICK, "--json", "-", *options]
    env = {"COLUMNS": "80", "NO_COLOR": "1", **environment}
    async with running(command, stderr=asyncio.subprocess.PIPE, env=env) as process:
        async with asyncio.timeout(20):
            out, err = await process.communicate()
    shown = err.decode()
    assert "Traceback" not in shown
    assert all(len(line) <= 80 for line in shown.splitlines()), shown
    return process.returncode, json.loads(out or "{}"), shown


class Room(hubbub.Handler):
    """The protocol of the README, with a place for faults."""

    def message(self, data: Any) -> None:
        assert self.hub is not None
        match json.loads(data):
            case {"join": room}:
                self.hub.join(room, self.socket)
            case {"say": text, "to": room}:
                self.publish(room, text)
            case _:
                self.close(3000, "invalid payload")

    def publish(self, room: str, text: str) -> None:
        assert self.hub is not None
        self.hub.broadcast(room, text)


@contextlib.asynccontextmanager
async def room_server(handler: type[hubbub.Handler] = Room, **settings: Any) -> AsyncIterator[str]:
    async with serving(handler, hub=hubbub.Hub(), **settings) as server:
        yield f"ws://127.0.0.1:{server.port}"


async def test_a_sound_chat_gets_a_clean_report(tmp_path: Path) -> None:
    examples = Path(__file__).parents[2] / "examples"
    async with running(
        [*HUBBUB, "serve", "chat:Chat", "--port", "0"], cwd=examples, stderr=asyncio.subprocess.STDOUT
    ) as server:
        assert server.stdout is not None
        found = None
        async with asyncio.timeout(20):
            while found is None:
                line = await server.stdout.readline()
                assert line, "the server ended"
                found = re.search(rb"ws://127.0.0.1:(\d+)", line)
        code, report, shown = await load(f"127.0.0.1:{int(found[1])}", "--rooms", "2", "--processes", "2")
    messages = report["messages"]
    assert code == 0
    assert report["sound"]
    assert (messages["planned"], messages["sent"]) == (30, 30)
    assert messages["expected"] == messages["received"] == 30 * 3
    assert messages["to_self"]
    assert report["connections"]["opened"] == 6
    assert sum(count for _, count in report["latency_ms"]["buckets"]) == 90
    assert 0 < report["latency_ms"]["median"] <= report["latency_ms"]["p99"] <= report["latency_ms"]["largest"]
    assert len(report["generator"]["busy"]) == 2
    for told in ("90 of 90 deliveries", "publishers get their own (detected)", "up to", "Everything came"):
        assert told in shown


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """A server's context, and the file of the authority that vouches for it."""
    authority, file = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context, str(file)


async def test_echo_over_tls_with_large_payloads(certificate: tuple[ssl.SSLContext, str]) -> None:
    context, authority = certificate
    async with serving(Echo.fresh(), ssl=context) as server:
        options = ["--echo", "--payload", "100000", "--ca", authority]
        code, report, _ = await load(f"wss://localhost:{server.port}", *options)
    assert (code, report["messages"]["received"]) == (0, 30)
    assert report["messages"]["received_bytes"] > 30 * 100_000


async def test_a_certificate_is_verified_unless_told_otherwise(certificate: tuple[ssl.SSLContext, str]) -> None:
    async with serving(Echo.fresh(), ssl=certificate[0]) as server:
        code, report, _ = await load(f"wss://localhost:{server.port}", "--echo")
        assert code == 1
        assert all(reason.startswith("TLS: ") for reason in report["connections"]["failed"])
        code, report, _ = await load(f"wss://localhost:{server.port}", "--echo", "--insecure")
        assert (code, report["messages"]["lost"]) == (0, 0)


async def test_places_headers_and_subprotocols_and_every_option_as_a_variable() -> None:
    class Strict(Echo):
        def handshake(self, request: hubbub.Request) -> str | None:
            super().handshake(request)
            return request.subprotocols[1]

    handler = Strict.fresh()
    async with serving(handler) as server:
        code, report, _ = await load(
            f"ws://127.0.0.1:{server.port}/users/{{connection}}",
            HUBBUB_LOAD_HEADER="Authorization: Bearer {connection} of many\nX-Room: {room}",
            HUBBUB_LOAD_SUBPROTOCOL="one two",
            HUBBUB_LOAD_ECHO="1",
            HUBBUB_LOAD_PROCESSES="2",
        )
    assert (code, report["messages"]["received"]) == (0, 30)
    assert report["plan"]["headers"] == ["Authorization", "X-Room"]
    requests = [dict(one.events)["handshake"] for one in handler.everyone]
    assert {request.path for request in requests} == {f"/users/{number}" for number in range(6)}
    authorized = {request.headers["authorization"] for request in requests}
    assert authorized == {f"Bearer {number} of many" for number in range(6)}


async def test_rooms_taken_from_the_path_by_a_server_that_sends_to_all_others() -> None:
    class ByPath(hubbub.Handler):
        room = ""

        def handshake(self, request: hubbub.Request) -> None:
            self.room = request.path

        def opened(self) -> None:
            assert self.hub is not None
            self.hub.join(self.room, self.socket)

        def message(self, data: Any) -> None:
            assert self.hub is not None
            self.hub.broadcast(self.room, f"<{data}>", exclude=self.socket)

    async with room_server(ByPath) as url:
        options = ["--rooms", "3", "--join", "", "--say", "{payload}"]
        code, report, shown = await load(f"{url}/rooms/{{room}}", *options)
        assert (code, report["messages"]["received"], report["messages"]["to_self"]) == (0, 30, False)
        assert "publishers do not get their own (detected)" in shown
        code, report, _ = await load(f"{url}/rooms/{{room}}", *options, "--self")
        assert (code, report["messages"]["lost"]) == (1, 30)


def faulty(act: Any) -> type[Room]:
    """A room whose publishing is `act(broadcast, number, state, text)`."""

    class Faulty(Room):
        count = 0
        held: ClassVar[list[str]] = []

        def publish(self, room: str, text: str) -> None:
            assert self.hub is not None
            hub, kind = self.hub, type(self)
            kind.count += 1
            act(lambda text: hub.broadcast(room, text), kind.count, kind.held, text)

    return Faulty


def drop(broadcast: Any, count: int, held: Any, text: str) -> None:
    if count % 10:
        broadcast(text)


def repeat(broadcast: Any, count: int, held: Any, text: str) -> None:
    broadcast(text)
    if count % 10 == 0:
        broadcast(text)


def reorder(broadcast: Any, count: int, held: Any, text: str) -> None:
    held.append(text)
    if len(held) == 2:
        broadcast(held.pop())
        broadcast(held.pop())


@pytest.mark.parametrize(("act", "name"), [(drop, "lost"), (repeat, "duplicates"), (reorder, "reordered")])
async def test_faults_are_found_and_counted(act: Any, name: str) -> None:
    members = 1 if act is reorder else 6  # with one publisher it is certain who was overtaken
    async with room_server(faulty(act)) as url:
        code, report, shown = await load(url, "-c", str(members))  # 30 messages
    assert code == 1
    assert not report["sound"]
    count = {"lost": 3, "duplicates": 3, "reordered": 15}[name] * members
    counts = {key: report["messages"][key] for key in ("lost", "duplicates", "reordered", "strays")}
    assert counts == {"lost": 0, "duplicates": 0, "reordered": 0, "strays": 0, name: count}
    assert f"Not all is well: {count} " in shown


async def test_messages_that_reach_other_rooms_are_found() -> None:
    class Leaky(Room):
        def publish(self, room: str, text: str) -> None:
            assert self.hub is not None
            for number in range(2):
                self.hub.broadcast(f"load-{number}", text)

    async with room_server(Leaky) as url:
        code, report, shown = await load(url, "--rooms", "2")
    assert (code, report["messages"]["strays"], report["messages"]["lost"]) == (1, 90, 0)
    assert "90 astray" in shown


async def test_refusals_are_reported_with_their_reason() -> None:
    class Closed(Recorder):
        def handshake(self, request: hubbub.Request) -> str | None:
            if int(request.query["number"]) % 2:
                raise hubbub.Reject("no_entry", status=403)
            return None

    async with serving(Closed.fresh()) as server:
        code, report, shown = await load(f"ws://127.0.0.1:{server.port}/?number={{connection}}")
    assert code == 1
    assert report["connections"]["failed"] == {"refused with HTTP 403 Forbidden, error: no_entry": 3}
    assert report["connections"]["opened"] == 3
    assert "Nothing came back" in " ".join(shown.split())
    assert report["messages"]["lost"] == report["messages"]["expected"] == 90


async def test_connections_that_the_server_ends_are_reported_with_what_it_said() -> None:
    async with room_server() as url:
        code, report, shown = await load(url, "--join", '{"enter": "{room}"}')
    assert code == 1
    assert report["connections"]["gone"] == {"closed by the server with 3000, invalid payload": 6}
    assert "closed by the server with 3000, invalid payload" in shown


async def test_a_server_that_never_answers_costs_the_timeout_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, report, _ = await load(f"ws://127.0.0.1:{silent.getsockname()[1]}", "--timeout", "0.2")
    assert code == 1
    assert report["connections"]["failed"] == {"no answer within 0.2 s": 6}


async def test_where_nobody_listens_it_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    code, report, _ = await load(f"ws://127.0.0.1:{port}", "--ramp", "0")
    assert code == 1
    assert report["connections"]["failed"] == {"connection refused": 6}
    assert report["messages"]["sent"] == 0


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n", b"", b"HTTP/1.1 101 x\r\n\r\n", b"\x00" * 70_000])
async def test_what_is_no_websocket_server_is_an_error_of_the_connection(answer: bytes) -> None:
    async def hostile(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(hostile, "127.0.0.1", 0) as server:
        code, report, _ = await load(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert code == 1
    assert sum(report["connections"]["failed"].values()) == 6


async def test_a_server_that_falls_behind_is_not_said_to_lose() -> None:
    class Slow(Room):
        def publish(self, room: str, text: str) -> None:
            assert self.hub is not None
            pause = 0.02 * (Slow.count + 1)  # 30 messages in 0.3 s go out in 0.9
            Slow.count += 1
            asyncio.get_running_loop().call_later(pause, super().publish, room, text)

        count = 0

    async with room_server(Slow) as url:
        code, report, shown = await load(url, "--drain", "0.2")
        assert code == 1
        assert 0 < report["messages"]["lost"] < report["messages"]["expected"]
        assert "part of what counts as lost is late" in " ".join(shown.split())
        Slow.count = 0
        code, report, _ = await load(url, "--drain", "5")
        assert (code, report["messages"]["lost"]) == (0, 0)


class Counting(Room):
    """Counts what is published; a deaf one keeps it to itself."""

    count = 0
    deaf = False

    def publish(self, room: str, text: str) -> None:
        type(self).count += 1
        if not self.deaf:
            super().publish(room, text)


@contextlib.asynccontextmanager
async def in_foreground(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Callable[[], None]]]:
    """A running `hubbub load`, and what Ctrl+C does: a signal to it and to all that it has started."""
    command = [*HUBBUB, "load", *arguments]
    async with running(command, stderr=asyncio.subprocess.PIPE, start_new_session=True) as process:
        yield process, lambda: os.killpg(process.pid, signal.SIGINT)


async def test_interrupted_once_it_reports_what_there_is() -> None:
    handler = type("Counting", (Counting,), {})
    async with room_server(handler) as url:
        async with in_foreground(url, *QUICK, "-d", "60", "--json", "-") as (process, interrupt):
            await until(lambda: handler.count > 5, 10)
            interrupt()
            async with asyncio.timeout(10):
                out, err = await process.communicate()
    report = json.loads(out)
    assert process.returncode == 0
    assert report["interrupted"]
    assert b"interrupted after" in err
    assert b"Traceback" not in err
    assert report["messages"]["sent"] == handler.count < 6000
    assert report["messages"]["lost"] == 0


async def test_interrupted_while_it_connects_it_waits_for_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        command = [*HUBBUB, "load", f"ws://127.0.0.1:{silent.getsockname()[1]}", "--timeout", "60", "-c", "1"]
        async with running(command, stderr=asyncio.subprocess.PIPE) as process:
            silent.settimeout(10)
            connection, _ = await asyncio.to_thread(silent.accept)
            with connection:
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(10):
                    await process.communicate()
    assert process.returncode == 1


async def test_interrupted_twice_it_exits_at_once() -> None:
    handler = type("Deaf", (Counting,), {"deaf": True})
    async with room_server(handler) as url:
        options = [*QUICK, "-d", "60", "--drain", "60", "--json", "-"]
        async with in_foreground(url, *options) as (process, interrupt):
            await until(lambda: handler.count > 5, 10)
            interrupt()
            seen = 0
            while seen != handler.count:  # it publishes no more
                seen = handler.count
                await asyncio.sleep(0.05)
            interrupt()
            async with asyncio.timeout(10):
                out, err = await process.communicate()
    assert process.returncode == 130
    assert out == b""
    assert b"Traceback" not in err


def workers(pid: int) -> list[int]:
    """The processes that a running `hubbub load` has started, without multiprocessing's own."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
async def test_a_process_that_dies_is_reported_and_the_others_go_on() -> None:
    handler = type("Counting", (Counting,), {})
    async with room_server(handler) as url:
        command = [*HUBBUB, "load", url, *QUICK, "-d", "60", "--processes", "2", "--json", "-"]
        async with running(command, stderr=asyncio.subprocess.PIPE) as process:
            await until(lambda: handler.count > 5, 10)
            os.kill(workers(process.pid)[0], signal.SIGKILL)
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(10):
                out, _ = await process.communicate()
    report = json.loads(out)
    assert process.returncode == 1
    assert report["connections"]["failed"] == {"a process of the load generator ended by itself": 3}
    assert report["connections"]["opened"] == 3


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
async def test_processes_whose_parent_is_killed_end_too() -> None:
    handler = type("Counting", (Counting,), {})
    async with room_server(handler) as url:
        async with running([*HUBBUB, "load", url, *QUICK, "-d", "60"], stderr=asyncio.subprocess.PIPE) as process:
            await until(lambda: handler.count > 5, 10)
            (worker,) = workers(process.pid)
            process.kill()
            await process.wait()
            await until(lambda: not Path(f"/proc/{worker}/cmdline").exists(), 10)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["http://a"], "not a ws:// or wss:// address"),
        (["ws://a", "--rooms", "101"], "101 rooms need at least as many connections"),
        (["ws://a", "--say", "hello"], "holds {payload} somewhere"),
        (["ws://a", "--payload", "10"], "at least 33 bytes"),
        (["ws://a", "--rate", "0"], "rate is above zero"),
        (["ws://a", "--header", "nonsense"], "Name: value"),
        (["ws://a", "--header", "Upgrade: x"], "may not be sent"),
        (["wss://a", "--ca", "/nowhere"], "does not exist"),
        (["wss://a", "--ca", __file__], "holds no certificates"),
        (["ws://a", "--json", "/nowhere/report"], "cannot write the report"),
    ],
)
async def test_wrong_usage_exits_with_2_and_says_what_to_do(arguments: list[str], complaint: str) -> None:
    async with running([*HUBBUB, "load", *arguments], stderr=asyncio.subprocess.PIPE) as process:
        async with asyncio.timeout(10):
            _, err = await process.communicate()
    assert process.returncode == 2
    text = " ".join(err.decode().replace("│", " ").split())
    assert complaint in text
    assert "Traceback" not in text
