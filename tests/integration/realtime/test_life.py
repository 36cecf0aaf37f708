"""Pings, tokens that expire, and what becomes of a connection meanwhile."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from typing import Any

import pytest

from hubbub.realtime import Accepted, Bounds, Client, Connected, History, Namespace, Realtime, Tokens

from .conftest import Place

SOON = 0.3  # seconds until a token expires
QUICK = Bounds(ping=0.2, pong_timeout=0.1, expired_grace=0.2)
OPEN = Namespace(
    allow_subscribe_for_client=True, presence=True, join_leave=True, force_push_join_leave=True,
    allow_presence_for_client=True, history=History(10, 60), force_recovery=True, allow_user_limited_channels=True,
    allow_publish_for_subscriber=True,
)  # fmt: skip


async def test_pings_come_as_long_as_they_are_answered(place: Place) -> None:
    await place.serve(insecure=True, bounds=QUICK)
    peer = await place.connected()
    started = time.monotonic()
    await peer.until(lambda: peer.heard.count({}) == 4)
    assert time.monotonic() - started >= 0.6
    peer.answers_pings = False
    assert await peer.ended() == 3012
    assert peer.reason == "no pong"


async def test_pings_of_websocket_alone(bare: Place) -> None:
    """For people with a command line tool, which answers those by itself."""
    await bare.serve(insecure=True, bounds=QUICK)
    bare.url += "?cf_ws_frame_ping_pong=true"
    peer = bare.peer()
    assert not (await peer.connect())["connect"].keys() & {"ping", "pong"}
    await asyncio.sleep(0.5)
    assert {} not in peer.heard
    assert "unsubscribe" in await peer.ask(unsubscribe={"channel": "one"})


async def test_a_pong_answers_one_ping(place: Place) -> None:
    await place.serve(insecure=True, bounds=QUICK)
    peer = await place.connected()
    await peer.until(lambda: {} in peer.heard)
    await peer.send({})
    assert await peer.ended() == 3501


async def test_other_commands_are_no_pongs(bare: Place) -> None:
    await bare.serve(insecure=True, bounds=QUICK)
    peer = await bare.connected()
    peer.answers_pings = False
    await peer.until(lambda: {} in peer.heard)
    await peer.ask(unsubscribe={"channel": "one"})
    assert await peer.ended() == 3012


async def test_a_session_that_is_looked_at_early_has_its_time_for_the_pong(bare: Place) -> None:
    """As when a subscription expires between ping and pong."""
    rt = await bare.serve(namespaces={"": OPEN}, bounds=Bounds(ping=0.9, pong_timeout=0.8, expired_grace=0.05))

    @rt.on_connect
    def connect(client: Client, data: bytes) -> Connected:
        return Connected(user="eve")

    @rt.on_subscribe("*")
    def subscribe(client: Client, channel: str) -> Accepted:
        return Accepted(expire_at=time.time() + 0.1)

    peer = await bare.connected()
    peer.answers_pings = False
    await peer.until(lambda: {} in peer.heard)
    await peer.subscribe("one")
    await peer.until(lambda: any("unsubscribe" in push for push in peer.pushes))
    await asyncio.sleep(0.2)
    await peer.send({})
    assert "subscribe" in await peer.subscribe("two")


async def test_a_pong_that_stands_behind_a_slow_command(place: Place) -> None:
    rt = await place.serve(insecure=True, bounds=QUICK)

    @rt.rpc("wait")
    async def wait(client: Client, data: Any) -> str:
        await asyncio.sleep(0.7)
        return "done"

    peer = await place.connected()
    assert (await peer.ask(rpc={"method": "wait"}))["rpc"] == {"data": "done"}
    assert peer.heard.count({}) > 1, "and pings go on"
    await asyncio.sleep(0.3)
    assert "unsubscribe" in await peer.ask(unsubscribe={"channel": "one"})


async def test_a_connection_that_expires(place: Place, tokens: Tokens) -> None:
    await place.serve(tokens=tokens, namespaces={"": OPEN}, bounds=QUICK)
    peer = place.peer()
    connected = (await peer.connect(token=tokens.make("eve", ttl=None, exp=time.time() + SOON)))["connect"]
    assert (connected["expires"], connected["ttl"]) == (True, 1)
    assert await peer.ended() == 3005
    assert peer.reason == "connection expired"


async def test_a_connection_that_is_refreshed(bare: Place, tokens: Tokens) -> None:
    await bare.serve(tokens=tokens, namespaces={"": OPEN}, bounds=QUICK)
    peer = await bare.connected(token=tokens.make("eve", ttl=None, exp=time.time() + SOON))
    refreshed = (await peer.ask(refresh={"token": tokens.make("eve", ttl=100)}))["refresh"]
    assert (refreshed["expires"], 98 <= refreshed["ttl"] <= 100) == (True, True)
    await asyncio.sleep(2 * SOON)
    assert "unsubscribe" in await peer.ask(unsubscribe={"channel": "one"})
    assert (await peer.ask(refresh={"token": tokens.make("eve", ttl=None, exp=time.time() + 50, expire_at=0)})) == {
        "id": 4, "refresh": {},
    }  # fmt: skip


CONNECTS: list[tuple[dict[str, Any], Any]] = [
    ({"ttl": -1}, 109),
    ({"ttl": 100, "nbf": 1e10}, 109),
    ({"ttl": 100, "channel": "one"}, 3500),
    ({"ttl": 100, "sub": 12}, 3500),
    ({"ttl": None}, 3500),
    ({"ttl": 100, "subs": {"nowhere:one": {}}}, 102),
    ({"ttl": 100, "expire_at": 1}, 110),
]


@pytest.mark.parametrize(("claims", "code"), CONNECTS)
async def test_tokens_that_do_not_connect(bare: Place, tokens: Tokens, claims: dict[str, Any], code: int) -> None:
    await bare.serve(tokens=tokens, namespaces={"": OPEN})
    peer = await bare.peer().open()
    await peer.send({"id": 1, "connect": {"token": tokens.make("eve", **claims)}})
    if code >= 3000:
        assert await peer.ended() == code
    else:
        await peer.until(lambda: peer.heard)
        assert peer.heard[0]["error"]["code"] == code


async def test_tokens_of_others(place: Place, tokens: Tokens) -> None:
    await place.serve(tokens=tokens, namespaces={"": OPEN})
    other = Tokens(hmac="some other secret, as long as the first one")
    for token in other.make("eve", ttl=10), "x", "x.y.z":
        peer = await place.peer().open()
        await peer.send({"id": 1, "connect": {"token": token}})
        assert await peer.ended() == 3500
    for token, code in (
        (tokens.make("eve", ttl=-1), 3005), (other.make("eve", ttl=9), 3500), (tokens.make("adam", ttl=9), 3500),
    ):  # fmt: skip
        peer = await place.connected(token=tokens.make("eve", ttl=10))
        await peer.send({"id": 9, "refresh": {"token": token}})
        assert await peer.ended() == code


async def test_what_a_token_says_of_the_client(place: Place, tokens: Tokens) -> None:
    await place.serve(tokens=tokens, namespaces={"": OPEN}, personal="")
    said = {
        "info": {"name": "Eve"}, "meta": {"secret": 1}, "channels": ["not this"],
        "subs": {
            "one": {"data": {"welcome": 1}, "info": {"chair": 1}},
            "two": {"override": {"presence": {"value": False}}},
        },
    }  # fmt: skip
    peer = place.peer()
    connected = (await peer.connect(token=tokens.make("eve", ttl=10, **said)))["connect"]
    assert connected["subs"].keys() == {"one", "two", "#eve"}
    assert connected["subs"]["one"]["data"] == {"welcome": 1}
    assert "secret" not in str(peer.heard)
    info = {"user": "eve", "client": peer.id, "conn_info": {"name": "Eve"}}
    assert (await peer.ask(presence={"channel": "one"}))["presence"]["presence"] == {
        peer.id: {**info, "chan_info": {"chair": 1}}
    }
    assert (await peer.ask(presence={"channel": "two"}))["presence"]["presence"] == {}
    await peer.ask(publish={"channel": "one", "data": 1})
    assert peer.got["one"][0]["info"] == {**info, "chan_info": {"chair": 1}}
    assert (await peer.subscribe("one", recover=False))["error"]["code"] == 105
    assert "unsubscribe" in await peer.ask(unsubscribe={"channel": "one"})
    assert "subscribe" in await peer.subscribe("one")


SUBSCRIBES: list[tuple[str, dict[str, Any], int]] = [
    ("$one", {"channel": "$one", "ttl": 10}, 0),
    ("closed:one", {"channel": "closed:one", "ttl": 10}, 0),
    ("$one", {"channel": "$one", "ttl": -1}, 109),
    ("$one", {"channel": "$two", "ttl": 10}, 3500),
    ("$one", {"channel": "$one", "ttl": 10, "user": "adam"}, 3500),
    ("$one", {"channel": "$one", "ttl": 10, "client": "someone"}, 3500),
    ("$one", {"ttl": 10}, 103),
    ("$one", {"channel": "$one", "ttl": 10, "expire_at": 1}, 110),
    ("$one", {"channel": "$one", "ttl": None}, 103),
    ("one#adam,eve", {}, 0),
    ("one#adam", {}, 103),
    ("one#adam", {"channel": "one#adam", "ttl": 10}, 0),
]


@pytest.mark.parametrize(("channel", "claims", "code"), SUBSCRIBES)
async def test_tokens_of_subscriptions(
    bare: Place, tokens: Tokens, channel: str, claims: dict[str, Any], code: int
) -> None:
    await bare.serve(tokens=tokens, namespaces={"": OPEN, "closed": Namespace()})
    peer = await bare.connected(token=tokens.make("eve", ttl=10))
    token = tokens.make(**{"user": "eve", **claims}) if claims else ""
    await peer.send({"id": 2, "subscribe": {"channel": channel, "token": token}})
    if code >= 3000:
        assert await peer.ended() == code
    else:
        await peer.until(lambda: len(peer.heard) > 1)
        reply = peer.heard[1]
        assert reply.get("error", {}).get("code", 0) == code
        if claims and not code:
            assert reply["subscribe"]["expires"]
            assert 9 <= reply["subscribe"]["ttl"] <= 10


async def subscribed(place: Place, tokens: Tokens, ttl: float) -> tuple[Realtime, Any]:
    rt = await place.serve(tokens=tokens, namespaces={"": OPEN}, bounds=QUICK)
    peer = await place.connected(token=tokens.make("eve", ttl=100))
    token = tokens.make("eve", ttl=None, exp=time.time() + ttl, channel="$one")
    await peer.ask(subscribe={"channel": "$one", "token": token})
    return rt, peer


async def test_a_subscription_that_expires(bare: Place, tokens: Tokens) -> None:
    rt, peer = await subscribed(bare, tokens, SOON)
    await peer.until(lambda: any("unsubscribe" in push for push in peer.pushes))
    assert peer.pushes[-1] == {
        "channel": "$one", "unsubscribe": {"code": 2501, "reason": "subscription expired"},
    }  # fmt: skip
    await rt.publish("$one", 1)
    assert "unsubscribe" in await peer.ask(unsubscribe={"channel": "$one"})
    assert not peer.got


async def test_a_server_side_subscription_that_expires(bare: Place) -> None:
    rt = await bare.serve(namespaces={"": OPEN}, bounds=QUICK)

    @rt.on_connect
    def connect(client: Client, data: bytes) -> Connected:
        return Connected(user="eve", channels={"one": Accepted(expire_at=time.time() + 0.3)})

    peer = await bare.connected()
    assert await peer.ended() == 3006


async def test_a_subscription_that_is_refreshed(bare: Place, tokens: Tokens) -> None:
    _, peer = await subscribed(bare, tokens, SOON)
    good = tokens.make("eve", ttl=100, channel="$one")
    for request in {"channel": "$one", "token": good}, {"token": good}:  # centrifuge-python 0.5 leaves the channel out
        refreshed = (await peer.ask(sub_refresh=request))["sub_refresh"]
        assert (refreshed["expires"], 98 <= refreshed["ttl"] <= 100) == (True, True)
    await asyncio.sleep(2 * SOON)
    assert not any("unsubscribe" in push for push in peer.pushes)
    assert (await peer.ask(sub_refresh={"channel": "$one"}))["error"]["code"] == 107
    elsewhere = {"channel": "two", "token": tokens.make("eve", ttl=100, channel="two")}
    assert (await peer.ask(sub_refresh=elsewhere))["error"]["code"] == 103


@pytest.mark.parametrize(
    ("claims", "code"),
    [({"ttl": -1}, 3006), ({"ttl": 9, "user": "adam"}, 3500), ({"ttl": 9, "channel": "$two"}, 3500), ({}, 3500)],
)
async def test_refreshes_that_end_the_connection(
    bare: Place, tokens: Tokens, claims: dict[str, Any], code: int
) -> None:
    _, peer = await subscribed(bare, tokens, 10)
    token = tokens.make(**{"user": "eve", "channel": "$one", **claims}) if claims else "x"
    await peer.send({"id": 9, "sub_refresh": {"channel": "$one", "token": token}})
    assert await peer.ended() == code


async def test_what_tokens_carry_that_is_no_json(bare: Place, tokens: Tokens) -> None:
    """What others see has to be; what is for the client alone, if it speaks JSON."""
    await bare.serve(tokens=tokens, namespaces={"": OPEN})
    binary = b64encode(b"\x00\xff").decode()
    for said, code in (
        ({"b64info": binary}, 3500),
        ({"subs": {"one": {"b64info": binary}}}, 103),
        ({"subs": {"one": {"b64data": binary}}}, 0 if bare.protobuf else 3506),
        ({"b64info": b64encode(b'{"a": 1}').decode()}, 0),
    ):
        peer = await bare.peer().open()
        await peer.send({"id": 1, "connect": {"token": tokens.make("eve", ttl=10, **said)}})
        if code > 3000:
            assert await peer.ended() == code
        else:
            await peer.until(lambda: peer.heard)  # noqa: B023
            assert peer.heard[0].get("error", {}).get("code", 0) == code


async def test_a_refresh_with_other_channels(bare: Place, tokens: Tokens) -> None:
    """Whoever has other server-side subscriptions connects again. What it left of its own will is no other."""
    await bare.serve(tokens=tokens, namespaces={"": OPEN}, personal="")
    for channels, leaves, code in (
        (["one", "two"], "", 0),
        (["one"], "two", 0),
        (["one"], "", 3010),
        (["one", "two", "three"], "", 3010),
    ):
        peer = await bare.connected(token=tokens.make("eve", ttl=10, channels=["one", "two"]))
        await peer.subscribe("of its own")
        if leaves:
            await peer.ask(unsubscribe={"channel": leaves})
        await peer.send({"id": 9, "refresh": {"token": tokens.make("eve", ttl=99, channels=channels)}})
        if code:
            assert await peer.ended() == code
        else:
            await peer.until(lambda: peer.heard[-1].get("refresh"))  # noqa: B023


async def test_what_expires_and_cannot_be_refreshed(bare: Place) -> None:
    """Client libraries that are told when would ask for tokens that nobody gives them."""
    rt = await bare.serve(namespaces={"": OPEN}, bounds=QUICK)

    @rt.on_connect
    def connect(client: Client, data: bytes) -> Connected:
        return Connected(user="eve", expire_at=time.time() + 2 * SOON)

    @rt.on_subscribe("*")
    def subscribe(client: Client, channel: str) -> Accepted:
        return Accepted(expire_at=time.time() + SOON / 2)

    peer = bare.peer()
    connected = (await peer.connect())["connect"]
    assert not connected.keys() & {"expires", "ttl"}
    assert not (await peer.subscribe("one"))["subscribe"].keys() & {"expires", "ttl"}
    await peer.until(lambda: any("unsubscribe" in push for push in peer.pushes))
    assert peer.pushes[-1]["unsubscribe"]["code"] == 2501
    assert await peer.ended() == 3005
