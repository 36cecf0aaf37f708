"""Where connections come from, and why they do not."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from pathlib import Path

import pytest

from hubbub.errors import Misuse, ProtocolError
from hubbub.load.dial import PORTS, Dialler, reason, source, tls_context
from hubbub.load.plan import Plan, Target


def test_beyond_the_ports_of_one_address_others_of_loopback_are_taken() -> None:
    assert source("127.0.0.1", PORTS - 1) is None
    assert source("127.0.0.1", PORTS) == "127.0.0.2"
    assert source("127.0.0.1", 1_000_000) == "127.0.0.51"
    assert source("192.0.2.1", 1_000_000) is None


async def test_they_connect_from_there() -> None:
    peers: list[str] = []

    def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername")[0])
        writer.close()

    async with await asyncio.start_server(accepted, "127.0.0.1", 0) as server:
        dialler = Dialler(Target.parse(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        for number in (0, PORTS):
            ended = asyncio.get_running_loop().create_future()
            await dialler.open(_Ending(ended), number, None)
            await ended
    assert peers == ["127.0.0.1", "127.0.0.2"]


async def test_the_address_that_answers_is_tried_first_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        looked = 0

        async def look_up(*_: object, **__: object) -> list[object]:
            nonlocal looked
            looked += 1
            tcp = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            return [(*tcp, ("127.0.0.9", port)), (*tcp, ("127.0.0.1", port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
        dialler = Dialler(Target.parse(f"ws://two.example:{port}"))
        for _ in range(2):
            ended = asyncio.get_running_loop().create_future()
            await dialler.open(_Ending(ended), 0, None)
            await ended
    assert looked == 1


class _Ending(asyncio.Protocol):
    def __init__(self, ended: asyncio.Future[None]) -> None:
        self._ended = ended

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended.set_result(None)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "no answer within 3 s"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"), "connection refused"),
        (OSError(errno.EMFILE, "x"), "too many open files"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name or service not known"),
        (ssl.SSLError(1, "[SSL] wrong"), "TLS: [SSL] wrong"),
        (ProtocolError("refused with HTTP 403"), "refused with HTTP 403"),
        (ValueError(), "ValueError"),
        (ValueError("\x1b[2J"), r"\x1b[2J"),
    ],
)
def test_reasons_are_short_and_alike(error: BaseException, said: str) -> None:
    assert reason(error, 3.0) == said


def test_tls_is_for_wss_and_strict_unless_told_otherwise(tmp_path: Path) -> None:
    assert tls_context(Plan(url="ws://a.example")) is None
    strict = tls_context(Plan(url="wss://a.example"))
    assert strict is not None
    assert strict.verify_mode == ssl.CERT_REQUIRED
    lax = tls_context(Plan(url="wss://a.example", insecure=True))
    assert lax is not None
    assert lax.verify_mode == ssl.CERT_NONE
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("nonsense")
    with pytest.raises(Misuse):
        tls_context(Plan(url="wss://a.example", ca=nonsense))
