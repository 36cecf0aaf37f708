"""The benchmark's load, plain and over TLS: it finds no fault with hubbub, and does with servers that have some."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

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
    "paced": "--members 10 --pace 5",
}


TLS_MODES = {
    mode: f"--tls {MODES[mode]}" for mode in ("room", "burst", "rooms", "large messages", "churn", "stalled", "echo")
}


@pytest.fixture(scope="module")
def benchmarks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield


@pytest.fixture(scope="module")
def load(benchmarks: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import installed  # type: ignore[import-not-found]

    try:
        return cast("Path", installed.native(tmp_path_factory.mktemp("load")))
    except installed.Missing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def certificate(benchmarks: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import installed

    try:
        return cast("Path", installed.certificate(tmp_path_factory.mktemp("certificate")))
    except installed.Missing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with hubbub_room({"DEFLATE": "1"}) as port:
        yield port


@pytest.fixture(scope="module")
def tls_port(certificate: Path) -> Iterator[int]:
    with hubbub_room({"CERTIFICATE": str(certificate)}) as port:
        yield port


@contextmanager
def hubbub_room(environment: dict[str, str]) -> Iterator[int]:
    """The port of hubbub's rooms in a process of their own."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, str(BENCHMARKS / "servers/hubbub_room.py"), str(port)],
        env=os.environ | environment,
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


@pytest.mark.parametrize("mode", TLS_MODES)
def test_hubbub_delivers_everything_once_and_in_order_over_tls(load: Path, tls_port: int, mode: str) -> None:
    figures, _ = run(load, tls_port, f"--tls {MODES[mode]}")
    assert {name: figures[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert figures["finished"]
    assert figures["deliveries"] > 0
    assert figures["tls"].startswith("TLS 1.3")


@pytest.mark.parametrize("tls", ["", "--tls"], ids=["plain", "tls"])
def test_connections_are_opened_and_closed_over_and_over(load: Path, tls: str, request: pytest.FixtureRequest) -> None:
    port = request.getfixturevalue("tls_port" if tls else "port")
    figures, _ = run(load, port, f"--members 20 --window 10 --accept {tls}")
    assert figures["accepted"] > 20
    assert figures["accepted_per_s"] > 0
    assert {name: figures[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)


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


def serve_badly(
    listener: socket.socket, members: int, fault: str, tls: ssl.SSLContext | None = None, *, ahead: bool = False
) -> None:
    """A room in which the last member gets what `spoil` makes of it: after the others, or ahead of them."""
    clients: list[socket.socket] = []
    try:
        for _ in range(members):
            client, _ = listener.accept()
            client = tls.wrap_socket(client, server_side=True) if tls else client
            clients.append(client)
            client.recv(4096)
            client.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        waiting, number, held, others = b"", 0, list[bytes](), b""
        while data := clients[0].recv(65536):
            waiting += data
            while len(waiting) >= 70:  # 64 bytes of payload, masked with zeros
                frame, waiting = b"\x82\x40" + waiting[6:70], waiting[70:]
                spoilt, others = spoil(number, frame, held, fault), others + frame
                if ahead:
                    clients[-1].sendall(spoilt)
                if not (ahead and number == SWAP):  # which the others get together with the one behind it
                    for client in clients[:-1]:
                        client.sendall(others)
                    others = b""
                if not ahead:
                    clients[-1].sendall(spoilt)
                number += 1
    except OSError:
        pass  # the load has gone
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("fault", ["lost", "duplicates", "out_of_order", "damaged"])
@pytest.mark.parametrize("over", ["plain", "tls"])
def test_the_load_sees_a_servers_faults(load: Path, fault: str, over: str, request: pytest.FixtureRequest) -> None:
    tls = None
    if over == "tls":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(request.getfixturevalue("certificate"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve_badly, args=(listener, 4, fault, tls))
        server.start()
        figures, _ = run(load, listener.getsockname()[1], "--members 4 --in-flight 4" + " --tls" * (over == "tls"))
        server.join(10)
    assert figures[fault] == 1
    assert {name for name in FAULTS if figures[name]} == {fault}


def test_a_fault_of_whoever_is_first_is_not_laid_on_the_others(load: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve_badly, args=(listener, 4, "out_of_order"), kwargs={"ahead": True})
        server.start()
        figures, _ = run(load, listener.getsockname()[1], "--members 4 --in-flight 4")
        server.join(10)
    assert {name: figures[name] for name in FAULTS if figures[name]} == {"out_of_order": 1}


@pytest.mark.usefixtures("benchmarks")
def test_a_share_of_the_floor_compares_runs_of_one_round() -> None:
    import chart  # type: ignore[import-not-found]
    import report  # type: ignore[import-not-found]

    floor = [{"round": 0, "deliveries_per_s": 100.0}, {"round": 1, "deliveries_per_s": 400.0}]
    ours = [{"round": 0, "deliveries_per_s": 50.0}, {"round": 1, "deliveries_per_s": 400.0}]
    assert report.shares(ours, floor) == [0.5, 1.0]
    results = {"workloads": {"room": {"title": "A room", "runs": {"floor in C": floor, "hubbub": ours}}}}
    assert ">0.75</text>" in chart.charts(results)["room"]


def run_of(number: int, rate: float, cpu: float) -> dict[str, Any]:
    return {"round": number, "deliveries_per_s": rate, "cpu_us": cpu}


@pytest.mark.usefixtures("benchmarks")
def test_who_is_ahead_is_told_by_rounds_and_in_a_summary() -> None:
    import ahead  # type: ignore[import-not-found]
    import report
    from workloads import WORKLOADS  # type: ignore[import-not-found]

    ours = [run_of(0, 100.0, 10.0), run_of(1, 200.0, 5.0)]
    runs = {
        "floor in C": [run_of(0, 1e6, 0.1)],
        "hubbub": ours,
        "hubbub (pure Python)": [run_of(0, 1e6, 0.1)],
        "Bun": [run_of(0, 90.0, 8.0), run_of(1, 180.0, 4.5)],
        "picows": [run_of(0, 90.0, 10.0)],
    }
    told = ahead.line(WORKLOADS["room"], runs)
    assert told == "Where a peer is ahead: Bun needs 0.85 (0.80-0.90) of hubbub's CPU a delivery."
    table = report.summary({"workloads": {"room": {"runs": runs}}})
    assert "| room     | Bun  | 0.90     | 0.85 (0.80-0.90) | -          |" in table.splitlines()
    del runs["Bun"]
    assert ahead.line(WORKLOADS["room"], runs) == "Where a peer is ahead: nowhere."
    assert "In none of these workloads." in report.summary({"workloads": {"room": {"runs": runs}}})
    assert ahead.line(WORKLOADS["room"], {"hubbub": ours}) == ""


@pytest.mark.usefixtures("benchmarks")
def test_accepts_are_compared_by_connection_and_asgi_servers_by_event_loop() -> None:
    import ahead
    from workloads import WORKLOADS

    accepts = {
        name: [{"round": 0, "accepted_per_s": rate, "accept_cpu_us": cpu, "bytes_per_connection": 1000.0}]
        for name, rate, cpu in (("hubbub", 100.0, 10.0), ("Bun", 150.0, 5.0))
    }
    told = "Bun has 1.50 of hubbub's rate and needs 0.50 of hubbub's CPU a connection."
    assert ahead.line(WORKLOADS["idle"], accepts) == f"Where a peer is ahead: {told}"
    echoes = {
        "uvicorn, hubbub, uvloop": [run_of(0, 100.0, 10.0)],
        "uvicorn, hubbub, asyncio": [run_of(0, 50.0, 20.0)],
        "uvicorn, websockets-sansio, uvloop": [run_of(0, 90.0, 11.0)],
        "uvicorn, websockets-sansio, asyncio": [run_of(0, 50.0, 10.0)],
    }
    told = "uvicorn, websockets-sansio, asyncio needs 0.50 of uvicorn, hubbub, asyncio's CPU an echo."
    assert ahead.line(WORKLOADS["asgi-raw"], echoes) == f"Where a peer is ahead: {told}"
