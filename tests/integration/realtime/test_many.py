"""Hundreds of sessions that come and go while others publish: what one gets is one sequence, whatever its form."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from typing import Any

import pytest
from centrifuge.fossil import apply_delta

from hubbub.realtime import Accepted, Client, Connected, History, Namespace
from support.session_client import Peer, PeerClosed

from .conftest import Place

OPEN = Namespace(
    history=History(5000, 60), force_recovery=True, allowed_delta_types=("fossil",), delta_publish=True, presence=True,
)  # fmt: skip
TEXT = "what all of them have in common " * 4


def numbers(peer: Peer, channel: str) -> list[int]:
    """Of all its publications, of which some may be patches."""
    base, found = b"", []
    for publication in peer.got.get(channel, ()):
        data = publication["data"]
        if publication.get("delta"):
            base = bytes(apply_delta(base, data.encode()))
        else:
            base = data.encode() if isinstance(data, str) else json.dumps(data, separators=(",", ":")).encode()
        found.append(json.loads(base)["number"])
    return found


@pytest.mark.parametrize("request_", [{}, {"delta": "fossil"}], ids=["whole", "patches"])
async def test_subscribing_while_others_publish(bare: Place, request_: dict[str, Any]) -> None:
    rt = await bare.serve(insecure=True, namespaces={"": OPEN})
    chance = random.Random(3)
    over = False

    async def come_and_go(peer: Peer) -> None:
        while not over:
            await asyncio.sleep(chance.uniform(0, 0.3))
            reply = await peer.subscribe("room", **request_)
            assert "subscribe" in reply, reply
            await asyncio.sleep(chance.uniform(0, 0.3))
            if not over and chance.random() < 0.7:
                await peer.ask(unsubscribe={"channel": "room"})
            elif not over:
                with suppress(PeerClosed):
                    peer.kill()
                    await peer.close()
                    await peer.connect()
            else:
                return

    peers = [await bare.connected() for _ in range(60)]
    going = [asyncio.ensure_future(come_and_go(peer)) for peer in peers]
    count = 0
    for _ in range(150):
        for _ in range(chance.randrange(4)):
            count += 1
            await rt.publish("room", {"number": count, "text": TEXT})
        await asyncio.sleep(0.008)
    over = True
    await asyncio.gather(*going)
    count += 1
    await rt.publish("room", {"number": count, "text": TEXT})
    for peer in peers:
        await peer.ask(unsubscribe={"channel": "room"})
        await peer.subscribe("room", **request_)
        got = numbers(peer, "room")
        assert got == list(range(got[0], count + 1))
        assert not peer.gaps
    assert (
        sum(publication.get("delta", False) for peer in peers for publication in peer.got["room"]) > 0 or not request_
    )


async def test_a_slow_reader_of_patches(bare: Place) -> None:
    rt = await bare.serve(insecure=True, namespaces={"": OPEN})
    peer, other = await bare.connected(), await bare.connected()
    for reader in peer, other:
        await reader.subscribe("room", delta="fossil")
    peer.socket.transport.pause_reading()
    chance = random.Random(1)
    for number in range(1, 200):
        await rt.publish("room", {"number": number, "text": chance.randbytes(20_000).hex()})
    peer.socket.transport.resume_reading()
    for number in range(200, 230):
        await rt.publish("room", {"number": number, "text": TEXT})
        await asyncio.sleep(0.002)
    await other.until(lambda: len(other.got["room"]) == 229)
    assert numbers(other, "room") == list(range(1, 230))
    await peer.until(lambda: peer.gaps)
    assert "recovered" in (await peer.subscribe("room", delta="fossil"))["subscribe"]
    await peer.until(lambda: len(peer.got["room"]) == 229)
    assert numbers(peer, "room") == list(range(1, 230))


async def test_a_slow_reader_of_channels_of_the_server(bare: Place) -> None:
    """An unsubscribe push would only remove them: the connection ends, and the client recovers with the next one."""
    rt = await bare.serve(insecure=True, namespaces={"": OPEN})

    @rt.on_connect
    def connect(client: Client, data: bytes) -> Connected:
        return Connected(channels={"room": Accepted()})

    peer = await bare.connected()
    peer.socket.transport.pause_reading()
    for number in range(300):
        await rt.publish("room", {"number": number, "text": "x" * 40_000})
    peer.socket.transport.resume_reading()
    assert await peer.ended() == 3010


async def test_a_slow_reader_without_history(bare: Place) -> None:
    rt = await bare.serve(insecure=True, namespaces={"": Namespace()})
    peer = await bare.connected()
    await peer.subscribe("room")
    peer.socket.transport.pause_reading()
    for _ in range(300):
        await rt.publish("room", "x" * 40_000)
    peer.socket.transport.resume_reading()
    assert await peer.ended() == 3008
    assert peer.reason == "slow"
