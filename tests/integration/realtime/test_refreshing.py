"""What expires, where the program decides whether it goes on."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from hubbub.realtime import Accepted, Bounds, Client, Connected, Denied, Namespace, Realtime, Refreshed, Tokens
from support.session_client import Peer

from .conftest import Place

OPEN = Namespace(
    presence=True, allow_presence_for_client=True, allow_subscribe_for_client=True, allow_user_limited_channels=True
)  # fmt: skip
QUICK = Bounds(pong_timeout=0.2, expired_grace=20)
SOON = 0.15  # seconds


async def serve(place: Place, tokens: Tokens | None = None) -> Realtime:
    rt = await place.serve(namespaces={"": OPEN}, bounds=QUICK, tokens=tokens)

    @rt.on_connect
    def connect(client: Client, data: bytes) -> Connected | None:
        if client.user:
            return None
        said = data.decode().strip('"')
        soon = time.time() + SOON
        return Connected(
            user="eve", expire_at=soon if "me" in said else None,
            channels={"mine": Accepted(expire_at=soon)} if "mine" in said else {},
        )  # fmt: skip

    @rt.on_subscribe("*")
    def subscribe(client: Client, channel: str) -> Accepted:
        return Accepted(expire_at=time.time() + SOON)

    return rt


async def shown(peer: Peer, channel: str) -> dict[str, Any]:
    found: dict[str, Any] = (await peer.ask(presence={"channel": channel}))["presence"]["presence"][peer.id]
    return found


async def test_a_connection_goes_on_for_as_long_as_the_program_says(bare: Place) -> None:
    rt = await serve(bare)
    answers = [Refreshed(expire_at=time.time() + 60, info={"n": 1}), None]
    asked: list[str] = []

    @rt.on_refresh
    async def refresh(client: Client) -> Refreshed | None:
        asked.append(client.user)
        await asyncio.sleep(0)
        return answers.pop(0)

    peer = bare.peer()
    assert "ttl" not in (await peer.connect(data="me"))["connect"]
    await peer.subscribe("#eve")
    await peer.until(lambda: asked == ["eve"])
    assert await shown(peer, "#eve") == {"user": "eve", "client": peer.id, "conn_info": {"n": 1}}
    await rt.refresh("eve", expire_at=time.time())
    assert await peer.ended() == 3005
    assert asked == ["eve", "eve"]


@pytest.mark.parametrize("no", [Denied("you are blocked"), Refreshed(expire_at=1.0)])
async def test_who_is_refused_ends_at_once(bare: Place, no: Denied | Refreshed) -> None:
    rt = await serve(bare)

    @rt.on_refresh
    def refresh(client: Client) -> Refreshed:
        if isinstance(no, Denied):
            raise no
        return no

    peer = await bare.connected(data="me")
    assert await peer.ended() == 3005


async def test_a_handler_that_fails_is_asked_again(bare: Place) -> None:
    rt = await serve(bare)
    answers: list[Any] = ["yes", ValueError("not yet"), Refreshed()]
    asked = asyncio.Event()

    @rt.on_refresh
    def refresh(client: Client) -> Any:
        if isinstance(answer := answers.pop(0), Exception):
            raise answer
        if not answers:
            asked.set()
        return answer

    peer = await bare.connected(data="me")
    await asyncio.wait_for(asked.wait(), 10)
    await asyncio.sleep(2 * SOON)
    assert not peer.code
    assert not answers


async def test_subscriptions_go_on_for_as_long_as_the_program_says(bare: Place) -> None:
    rt = await serve(bare)
    refused = ["bad"]
    asked: list[str] = []

    @rt.on_sub_refresh("*")
    async def refresh(client: Client, channel: str) -> Refreshed | None:
        asked.append(channel)
        return None if channel in refused else Refreshed(info=channel)

    peer, other = await bare.connected(data="mine"), await bare.connected()
    for channel in "good", "bad":
        assert "ttl" not in (await other.subscribe(channel))["subscribe"]
    await other.until(lambda: other.pushes)
    assert other.pushes == [
        {"channel": "bad", "unsubscribe": {"code": 2501, "reason": "subscription expired"}},
    ]
    await other.until(lambda: len(asked) == 3)
    assert (await shown(other, "good"))["chan_info"] == "good"
    assert (await shown(peer, "mine"))["chan_info"] == "mine"
    refused.append("mine")
    assert await (await bare.connected(data="mine")).ended() == 3006
    assert sorted(asked) == ["bad", "good", "mine", "mine"]
    assert not peer.code


async def test_who_has_a_token_needs_no_other(bare: Place, tokens: Tokens) -> None:
    rt = await serve(bare, tokens)
    asked: list[str] = []

    @rt.on_refresh
    def refresh(client: Client) -> Refreshed:
        asked.append(client.user)
        return Refreshed(expire_at=time.time() + 60)

    peer = bare.peer()
    token = tokens.make("ann", ttl=None, exp=time.time() + SOON)
    assert not (await peer.connect(token=token))["connect"].keys() & {"expires", "ttl"}
    await peer.until(lambda: asked == ["ann"])
    assert (await peer.ask(refresh={"token": tokens.make("ann", ttl=5)}))["refresh"]["ttl"] == 5, "but may bring one"
