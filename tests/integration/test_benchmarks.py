"""The benchmark's load generator: it finds no fault with hubbub, and does with servers that have some."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FAULTS = ("lost", "duplicates", "out_of_order", "damaged", "disconnected", "unfinished")

MODES = {
    "room": "--members 50",
    "burst": "--members 50 --in-flight 16",
    "rooms": "--members 60 --rooms 6 --all",
    "large messages": "--members 20 --size 70000 --in-flight 4",
    "churn": "--members 50 --churn 2",
    "stalled": "--members 50 --stalled 0.1 --in-flight 4",
    "echo": "--members 20 --rooms 20 --all --path /echo",
    "json": "--members 20 --size 1024 --json",
    "compressed": "--members 20 --size 1024 --json --deflate --in-flight 4",
    "buffered": "--members 40 --buffer",
}


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler) is None:
        pytest.skip(f"no C compiler {compiler!r} here")
    program = tmp_path_factory.mktemp("load") / "load"
    sources = [str(path) for path in (BENCHMARKS / "native").glob("*.c") if path.name != "floor.c"]
    command = [compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(program), *sources]
    if subprocess.run([*command, "-lz"], check=False, capture_output=True).returncode:
        subprocess.run([*command, "-DNO_ZLIB"], check=True)
    return program


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, str(BENCHMARKS / "servers/hubbub_room.py"), str(port)],
        env=os.environ | {"DEFLATE": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield port
    finally:
        server.kill()
        server.communicate()


def run(load: Path, port: int, mode: str) -> tuple[dict[str, Any], str]:
    command = [str(load), "--port", str(port), "--seconds", "0.2", "--warm", "0.05", *mode.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("mode", MODES)
def test_hubbub_delivers_everything_once_and_in_order(load: Path, port: int, mode: str) -> None:
    figures, complaints = run(load, port, MODES[mode])
    assert {name: figures[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert figures["finished"]
    assert figures["deliveries"] > 0
    assert figures["compressed"] == (mode == "compressed")
    if "without zlib" in complaints:
        pytest.skip("no zlib header here: compressed messages were counted, not inflated")


def test_idle_connections_are_held_until_they_are_no_longer_wanted(load: Path, port: int) -> None:
    command = [str(load), "--port", str(port), "--members", "200", "--idle"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["accepted_per_s"] > 0
        assert process.poll() is None
        process.communicate(timeout=10)
    assert process.returncode == 0


SKIP, TWICE, SWAP = 5, 9, 13  # the numbers of the messages that the server below spoils


def spoil(number: int, frame: bytes, held: list[bytes], fault: str) -> bytes:
    """What one member gets in place of a frame."""
    if fault == "lost" and number == SKIP:
        return b""
    if fault == "duplicates" and number == TWICE:
        return frame * 2
    if fault == "out_of_order" and number == SWAP:
        held.append(frame)
        return b""
    if fault == "damaged" and number == SKIP:
        return frame[:-1].replace(b"\x82\x40", b"\x82\x3f")
    return frame + (held.pop() if held else b"")


def serve_badly(listener: socket.socket, members: int, fault: str) -> None:
    """A room in which the last member gets what `spoil` makes of it."""
    clients: list[socket.socket] = []
    try:
        for _ in range(members):
            client, _ = listener.accept()
            clients.append(client)
            client.recv(4096)
            client.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        waiting, number, held = b"", 0, list[bytes]()
        while data := clients[0].recv(65536):
            waiting += data
            while len(waiting) >= 70:  # 64 bytes of payload, masked with zeros
                frame, waiting = b"\x82\x40" + waiting[6:70], waiting[70:]
                for client in clients[:-1]:
                    client.sendall(frame)
                clients[-1].sendall(spoil(number, frame, held, fault))
                number += 1
    except OSError:
        pass  # the load has gone
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("fault", ["lost", "duplicates", "out_of_order", "damaged"])
def test_the_load_sees_a_servers_faults(load: Path, fault: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve_badly, args=(listener, 4, fault))
        server.start()
        figures, _ = run(load, listener.getsockname()[1], "--members 4 --in-flight 4")
        server.join(10)
    assert figures[fault] == 1
    assert {name for name in FAULTS if figures[name]} == {fault}


def test_a_share_of_the_floor_compares_runs_of_one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import chart  # type: ignore[import-not-found]
    import report  # type: ignore[import-not-found]

    floor = [{"round": 0, "deliveries_per_s": 100.0}, {"round": 1, "deliveries_per_s": 400.0}]
    ours = [{"round": 0, "deliveries_per_s": 50.0}, {"round": 1, "deliveries_per_s": 400.0}]
    assert report.shares(ours, floor) == [0.5, 1.0]
    results = {"workloads": {"room": {"title": "A room", "runs": {"floor in C": floor, "hubbub": ours}}}}
    assert ">0.75</text>" in chart.charts(results)["room"]
