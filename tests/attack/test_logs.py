"""What peers send reaches the log escaped, and no more often than the rate allows."""

from __future__ import annotations

import struct

import pytest

from support.client import HEAD, RawClient, encode
from support.serving import until
from support.target import attacked

CONTROL = {chr(code) for code in range(32)} - {"\n"} | {chr(code) for code in range(127, 160)}


def judge(log: str) -> list[str]:
    """The lines, none of which a peer may have forged."""
    assert not CONTROL & set(log)
    lines = log.splitlines()
    assert all(line.startswith(("INFO ", "WARNING ")) for line in lines)
    assert not any("forged" in line.split(" ")[1:2] for line in lines)
    return lines


async def test_hostile_bytes_of_every_kind_cannot_forge_a_line() -> None:
    evil = "\x1b[2J\r\nINFO forged\x07\x9b"
    async with attacked(max_log_rate=1000) as target:
        for data in (
            HEAD.format(path="/" + evil) + "\r\n",
            HEAD.format(path="/") + f"X-Note: {evil}\r\n\r\n",
            f"{evil} / HTTP/1.1\r\n\r\n",
            HEAD.format(path="/") + f"Sec-WebSocket-Protocol: {evil}\r\n\r\n",
        ):
            client = await RawClient.dial(target.port)
            client.send(data.encode("latin-1"))
            await client.read_answer()
            assert client.status == 400
        for payload in (struct.pack("!H", 4000) + evil.encode(), struct.pack("!H", 1000) + evil.encode()[:-1]):
            client = await RawClient.connect(target.port)
            client.send(encode(8, payload))
            await client.read_close()
        lines = judge(target.log())
        assert sum("refused" in line for line in lines) == 4
        assert sum("with 1007" in line for line in lines) == 1


async def test_a_handler_that_quotes_its_peer_in_an_exception_forges_nothing() -> None:
    evil = "\x1b[2J\nINFO forged\r\x85INFO forged\u2028INFO forged\x07"
    async with attacked() as target:
        client = await RawClient.connect(target.port, "/raise")
        client.text(evil)
        assert await client.read_close() == (1011, "internal error")
        client.kill()
        await until(lambda: "ValueError" in target.log())
        log = target.log()
        assert not CONTROL & set(log)
        assert not any(line.startswith("INFO forged") for line in log.splitlines())
        assert await target.counted("server", "closed", "handler error") == 1


@pytest.mark.limit("max_log_rate")
@pytest.mark.parametrize("rate", [1, 10])
async def test_a_flood_of_faults_writes_no_more_lines_than_the_rate(rate: int) -> None:
    async with attacked(max_log_rate=rate) as target:
        for _ in range(100):
            client = await RawClient.dial(target.port)
            client.send(b"NONSENSE\r\n\r\n")
            await client.read_answer()
        for _ in range(100):
            client = await RawClient.connect(target.port)
            client.send(b"\xff")
            assert (await client.read_close())[0] == 1002
        suppressed = (await target.statistics())["server"]["log_lines_suppressed"]
        lines = judge(target.log())
        about_peers = [line for line in lines if "refused a connection" in line or "closing" in line]
        assert len(about_peers) == 200 - suppressed
        assert suppressed >= 100


@pytest.mark.limit("max_log_rate")
async def test_exceptions_that_peers_provoke_are_under_the_same_rate() -> None:
    async with attacked(max_log_rate=2) as target:
        for _ in range(50):
            client = await RawClient.connect(target.port, "/raise")
            client.text("x")
            assert (await client.read_close())[0] == 1011
        assert (await target.statistics())["server"]["log_lines_suppressed"] >= 20
        assert target.log().count("Traceback") <= 30
