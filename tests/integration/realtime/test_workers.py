"""Sessions on several workers of one server."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

import hubbub
from engine_process import free_port
from hubbub.realtime import Realtime
from support.processes import running
from support.session_client import Peer

PROGRAM = """
import sys
import hubbub
from hubbub.realtime import History, Namespace, Realtime

rt = Realtime(broker=sys.argv[1], insecure=True, namespaces={"": Namespace(history=History(100, 60), presence=True)})
hubbub.run(rt.handler, hub=rt.hub, port=int(sys.argv[2]), workers=3)
"""


async def test_workers_share_channels_histories_and_presence(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", PROGRAM, f"local:{tmp_path / 'relay'}", str(port)]
    async with running(command, stderr=asyncio.subprocess.PIPE) as server:
        assert server.stderr is not None
        listening = 0
        while listening < 3:
            listening += b"listening on" in await asyncio.wait_for(server.stderr.readline(), 20)
        peers = [Peer(f"ws://127.0.0.1:{port}") for _ in range(12)]
        for peer in peers:
            await peer.connect()
            assert "subscribe" in await peer.subscribe("room")
        for number, peer in enumerate(peers):
            assert "publish" in await peer.ask(publish={"channel": "room", "data": number})
        for peer in peers:
            await peer.until(lambda: len(peer.got.get("room", ())) == len(peers))  # noqa: B023
        assert len({str(peer.bodies("room")) for peer in peers}) == 1
        stats = (await peers[0].ask(presence_stats={"channel": "room"}))["presence_stats"]
        assert stats["num_clients"] == len(peers)
        history = (await peers[1].ask(history={"channel": "room", "limit": -1}))["history"]
        assert [publication["data"] for publication in history["publications"]] == peers[0].bodies("room")
        for peer in peers:
            await peer.close()


def test_several_workers_need_a_broker_that_joins_them() -> None:
    rt = Realtime(broker="memory:", insecure=True)
    with pytest.raises(hubbub.Misuse, match="local:"):
        hubbub.run(rt.handler, hub=rt.hub, workers=2)
