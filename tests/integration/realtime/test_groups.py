"""One join for the first session of a user, and one leave after the last, on whatever nodes they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from hubbub.realtime import Connected, Namespace, Realtime
from support.serving import serving
from support.session_client import Peer

TOLD: dict[str, Any] = {"join_leave": True, "force_push_join_leave": True, "group_by_user": True, "presence": True}


class Nodes:
    def __init__(self) -> None:
        self.all: list[Realtime] = []
        self.urls: list[str] = []
        self.peers: list[Peer] = []

    async def peer(self, user: str, node: int = 0, channel: str = "room") -> Peer:
        peer = Peer(self.urls[node])
        self.peers.append(peer)
        await peer.connect(data=user)
        await peer.subscribe(channel)
        return peer


@pytest.fixture(params=["local"])
async def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Nodes]:
    made = Nodes()
    async with AsyncExitStack() as stack:
        for _ in range(2):
            rt = Realtime(
                broker=f"{request.param}:{tmp_path / 'relay'}", insecure=True,
                namespaces={
                    "": Namespace(**TOLD), "grace": Namespace(**TOLD, leave_grace=0.3),
                    "each": Namespace(**{**TOLD, "group_by_user": False}),
                },
            )  # fmt: skip

            @rt.on_connect
            def connect(client: object, data: bytes) -> Connected:
                return Connected(user=data.decode().strip('"'))

            server = await stack.enter_async_context(serving(rt.handler, hub=rt.hub))
            stack.push_async_callback(rt.close)
            made.all.append(rt)
            made.urls.append(f"ws://127.0.0.1:{server.port}")
        yield made
        for peer in made.peers:
            await peer.close()


def told(peer: Peer) -> list[tuple[str, str]]:
    """What a peer heard of others' coming and going."""
    return [
        (kind, pushed[kind]["info"]["user"])
        for pushed in peer.pushes
        for kind in ("join", "leave")
        if kind in pushed and pushed[kind]["info"]["user"] != "watcher"
    ]


async def test_sessions_of_a_user_are_one_to_others(nodes: Nodes) -> None:
    watcher = await nodes.peer("watcher")
    ann = [await nodes.peer("ann", node) for node in (0, 1, 0)]
    bob = await nodes.peer("bob", 1)
    await watcher.until(lambda: ("join", "bob") in told(watcher))
    await asyncio.sleep(0.1)
    assert sorted(told(watcher)) == [("join", "ann"), ("join", "bob")]
    for peer in (ann[0], ann[1], bob):
        await peer.close()
    await watcher.until(lambda: ("leave", "bob") in told(watcher))
    await asyncio.sleep(0.1)
    assert ("leave", "ann") not in told(watcher), "one session is left"
    await ann[2].close()
    await watcher.until(lambda: ("leave", "ann") in told(watcher))
    assert sorted(told(watcher)) == [("join", "ann"), ("join", "bob"), ("leave", "ann"), ("leave", "bob")]


async def test_sessions_that_come_to_two_nodes_at_once_are_one(nodes: Nodes) -> None:
    watcher = await nodes.peer("watcher")
    for _ in range(5):
        peers = await asyncio.gather(nodes.peer("ann", 0), nodes.peer("ann", 1))
        await watcher.until(lambda: told(watcher) and told(watcher)[-1] == ("join", "ann"))
        await asyncio.gather(*(peer.close() for peer in peers))
        await watcher.until(lambda: told(watcher)[-1] == ("leave", "ann"))
    await asyncio.sleep(0.1)
    assert told(watcher) == [("join", "ann"), ("leave", "ann")] * 5


async def test_who_is_back_in_time_was_never_gone(nodes: Nodes) -> None:
    watcher = await nodes.peer("watcher", 1, "grace:room")
    ann = await nodes.peer("ann", 0, "grace:room")
    await watcher.until(lambda: told(watcher) == [("join", "ann")])
    ann.kill()
    await asyncio.sleep(0.1)
    back = await nodes.peer("ann", 1, "grace:room")
    await asyncio.sleep(0.4)
    assert told(watcher) == [("join", "ann")]
    back.kill()
    await watcher.until(lambda: told(watcher) == [("join", "ann"), ("leave", "ann")])


async def test_who_says_goodbye_is_gone_at_once(nodes: Nodes) -> None:
    watcher = await nodes.peer("watcher", 0, "grace:room")
    ann = await nodes.peer("ann", 0, "grace:room")
    await watcher.until(lambda: told(watcher) == [("join", "ann")])
    await ann.ask(unsubscribe={"channel": "grace:room"})
    await watcher.until(lambda: told(watcher) == [("join", "ann"), ("leave", "ann")], 0.25)


@pytest.mark.parametrize("nodes", ["local", "sqlite"], indirect=True)
@pytest.mark.parametrize("channel", ["room", "each:room"])
async def test_a_node_that_was_taken_for_dead_has_its_users_after_all(nodes: Nodes, channel: str) -> None:
    watcher = await nodes.peer("watcher", 0, channel)
    ann = await nodes.peer("ann", 1, channel)
    await watcher.until(lambda: told(watcher) == [("join", "ann")])
    first, second = (rt._service.node for rt in nodes.all)
    assert first._stay is not None
    first._stay.colleagues.lose(second.id)
    for peer in watcher, ann:
        await peer.until(lambda: told(peer)[-2:] == [("leave", "ann"), ("join", "ann")])  # noqa: B023
    while {entry.user for entry in (await nodes.all[0].presence(channel)).values()} != {"watcher", "ann"}:
        await asyncio.sleep(0.01)
    await ann.close()
    await watcher.until(lambda: told(watcher)[1:] == [("leave", "ann"), ("join", "ann"), ("leave", "ann")])


async def test_what_a_node_missed_of_its_own_end_it_denies_all_the_same(nodes: Nodes) -> None:
    """Its link was broken when the others gave it up."""
    watcher, _ = await nodes.peer("watcher", 0), await nodes.peer("ann", 1)
    await watcher.until(lambda: told(watcher) == [("join", "ann")])
    first, second = (rt._service for rt in nodes.all)
    deaf, second.channels._known = second.channels._known, {}  # it does not hear what the other one says
    first.groups.lost("room", "ann", "a client", second.node.id)
    await watcher.until(lambda: told(watcher)[1:] == [("leave", "ann")])
    second.channels._known = deaf
    second.channels.missed(b"j:room", None)
    await watcher.until(lambda: told(watcher)[2:] == [("join", "ann")])
