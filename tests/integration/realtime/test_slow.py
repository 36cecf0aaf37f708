"""Clients that read slowly, or not for a while: what is said to them comes, late, and they are told what does not."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

import hubbub
from hubbub.realtime import Bounds, Client, History, Namespace, Realtime
from support.session_client import Peer

from .conftest import Place

OPEN = Namespace(history=History(1000, 60), force_recovery=True)
SMALL = hubbub.Limits(max_backlog=4096)
STEP = 0.03  # seconds between two reads


async def narrow(place: Place) -> Peer:
    """A peer for which the kernel keeps little."""
    host, port = "127.0.0.1", int(place.url.split(":")[2].split("/")[0])
    connecting = socket.socket()
    connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
    connecting.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connecting, (host, port))
    peer = place.peer()
    await peer.open(sock=connecting)
    assert "connect" in await peer.ask(connect={})
    return peer


async def read_in_steps(peer: Peer) -> None:
    transport = peer.socket.transport
    try:
        while True:
            transport.pause_reading()
            await asyncio.sleep(STEP)
            transport.resume_reading()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    finally:
        transport.resume_reading()


def numbers(peer: Peer) -> list[int]:
    return [body["number"] for body in peer.bodies("room")]


async def publish(rt: Realtime, numbers: range, size: int) -> None:
    for number in numbers:
        await rt.publish("room", {"number": number, "text": "x" * size})


async def test_a_long_reply_may_take_longer_than_a_pong(bare: Place) -> None:
    """The ping stands behind it: a client that reads, however slowly, is not taken for dead."""
    rt = await bare.serve(
        insecure=True, namespaces={"": OPEN}, bounds=Bounds(ping=0.2, pong_timeout=0.15, max_publications=1000)
    )
    peer = await narrow(bare)
    await peer.subscribe("room")
    await peer.ask(unsubscribe={"channel": "room"})
    await publish(rt, range(200), 5000)
    reading = asyncio.ensure_future(read_in_steps(peer))
    assert (await peer.subscribe("room"))["subscribe"]["recovered"]
    reading.cancel()
    assert numbers(peer) == list(range(200))
    assert peer.heard.count({}) >= 1
    assert rt.statistics().disconnects == {}


async def test_a_client_that_reads_nothing_owes_a_pong(bare: Place) -> None:
    rt = await bare.serve(insecure=True, namespaces={"": OPEN}, bounds=Bounds(ping=0.2, pong_timeout=0.15))
    peer = await narrow(bare)
    peer.socket.transport.pause_reading()
    await asyncio.sleep(0.6)
    assert rt.statistics().disconnects == {3012: 1}
    peer.kill()


async def test_a_ping_for_which_there_is_no_room_costs_nothing(bare: Place) -> None:
    """It is no message of a channel, and none of those is missing."""
    rt = await bare.serve(
        insecure=True, namespaces={"": Namespace()}, limits=SMALL, bounds=Bounds(ping=0.1, pong_timeout=0.09)
    )

    @rt.rpc("all")
    def answer(client: Client, data: bytes) -> str:
        return "x" * 8_000_000

    peer = await narrow(bare)
    await peer.subscribe("room")
    await publish(rt, range(1), 10)
    await peer.until(lambda: numbers(peer) == [0])
    peer.socket.transport.pause_reading()
    asked = asyncio.ensure_future(peer.ask(rpc={"method": "all", "data": None}))
    await asyncio.sleep(0.4)
    peer.socket.transport.resume_reading()
    assert len((await asked)["rpc"]["data"]) == 8_000_000
    assert rt.statistics().disconnects == {}


async def test_what_waits_to_be_told_is_not_dropped_over_and_over(bare: Place) -> None:
    rt = await bare.serve(insecure=True, namespaces={"": OPEN}, limits=SMALL)
    peer = await narrow(bare)
    await peer.subscribe("room")
    peer.socket.transport.pause_reading()

    def dropped() -> dict[str, int]:
        return dict(rt.hub.statistics().drops)

    count = 0
    while not dropped():
        await publish(rt, range(count, count := count + 20), 20_000)
    await asyncio.sleep(0.05)
    before = dropped()
    await asyncio.sleep(0.25)
    assert dropped() == before
    peer.socket.transport.resume_reading()
    await peer.until(lambda: peer.gaps)
    assert (await peer.subscribe("room"))["subscribe"]["recovered"]
    await peer.until(lambda: len(numbers(peer)) == count)
    assert numbers(peer) == list(range(count))


async def test_a_publication_that_cannot_be_handed_out_is_told_as_a_gap(
    bare: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rt = await bare.serve(insecure=True, namespaces={"": OPEN})
    peer = await bare.connected()
    await peer.subscribe("room")
    await publish(rt, range(1), 10)
    forms = rt._service.channels._forms
    real = forms.hand_out

    def fail(*arguments: Any) -> int:
        monkeypatch.setattr(forms, "hand_out", real)
        raise ValueError("a form that cannot be made")

    monkeypatch.setattr(forms, "hand_out", fail)
    await publish(rt, range(1, 2), 10)
    await peer.until(lambda: peer.gaps)
    assert peer.gaps == ["room ends"]
    await publish(rt, range(2, 3), 10)
    assert (await peer.subscribe("room"))["subscribe"]["recovered"]
    await publish(rt, range(3, 4), 10)
    await peer.until(lambda: len(numbers(peer)) == 4)
    assert numbers(peer) == [0, 1, 2, 3]
    assert "could not be handed out" in caplog.text
