"""Every bound of sessions, reached, and not a moment before."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from hubbub.errors import Misuse
from hubbub.realtime import Bounds, History, Namespace, Realtime, Tokens

from .conftest import Place

SPACES = {
    "": Namespace(history=History(100, 60), force_recovery=True),
    "room": Namespace(presence=True),
}


async def open_to_all(place: Place, **bounds: Any) -> Realtime:
    return await place.serve(insecure=True, namespaces=SPACES, bounds=Bounds(**bounds))


async def of_users(place: Place, tokens: Tokens, **bounds: Any) -> Realtime:
    spaces = {"": Namespace(allow_subscribe_for_client=True)}
    return await place.serve(tokens=tokens, namespaces=spaces, bounds=Bounds(**bounds))


@pytest.mark.limit("Bounds.ping")
async def test_a_ping_comes_after_half_to_all_of_its_time_and_then_each_time(bare: Place) -> None:
    await open_to_all(bare, ping=0.4, pong_timeout=0.3)
    started = time.monotonic()
    peer = await bare.connected()
    await peer.until(lambda: peer.heard.count({}) == 1)
    assert time.monotonic() - started >= 0.15
    await peer.until(lambda: peer.heard.count({}) == 2)
    assert time.monotonic() - started >= 0.5


@pytest.mark.limit("Bounds.pong_timeout")
async def test_who_does_not_answer_a_ping_has_its_time(bare: Place) -> None:
    await open_to_all(bare, ping=0.4, pong_timeout=0.3)
    started = time.monotonic()
    peer = await bare.connected()
    peer.answers_pings = False
    assert await peer.ended() == 3012
    assert time.monotonic() - started >= 0.45


@pytest.mark.limit("Bounds.connect_timeout")
async def test_who_does_not_connect_in_time_is_sent_away(bare: Place) -> None:
    await open_to_all(bare, connect_timeout=0.2)
    other, started = await bare.connected(), time.monotonic()
    peer = await bare.peer().open()
    assert await peer.ended() == 3502
    assert time.monotonic() - started >= 0.15
    assert not other.code


@pytest.mark.limit("Bounds.expired_grace")
async def test_an_expired_token_may_be_refreshed_for_a_while(bare: Place, tokens: Tokens) -> None:
    await of_users(bare, tokens, pong_timeout=0.4, expired_grace=0.7)
    end = time.time() + 0.5
    soon, late = [await bare.connected(token=tokens.make("ann", ttl=None, exp=end)) for _ in range(2)]
    other = await bare.connected(token=tokens.make("ann", ttl=60))
    await other.subscribe("news", token=tokens.make("ann", ttl=None, exp=end, channel="news"))
    await asyncio.sleep(end + 0.05 - time.time())
    assert (await soon.ask(refresh={"token": tokens.make("ann", ttl=60)}))["refresh"]["ttl"] >= 59
    assert await late.ended() == 3005
    await other.until(lambda: other.pushes)
    assert time.time() >= end + 0.7
    assert other.pushes == [
        {"channel": "news", "unsubscribe": {"code": 2501, "reason": "subscription expired"}},
    ]
    assert not soon.code


@pytest.mark.limit("Bounds.max_command")
async def test_the_largest_frame_is_taken_and_a_larger_one_is_not(bare: Place) -> None:
    await open_to_all(bare, max_command=2000)
    peer = await bare.connected()
    assert "publish" in await peer.ask(publish={"channel": "news", "data": "x" * 1900})
    await peer.send({"id": 99, "publish": {"channel": "news", "data": "x" * 2000}})
    assert await peer.ended() == 1009


def history_asked(times: int) -> list[dict[str, Any]]:
    return [{"id": number + 1000, "history": {"channel": "news"}} for number in range(times)]


@pytest.mark.limit("Bounds.max_command_rate")
async def test_commands_that_come_too_fast_are_refused_until_there_is_time_for_them(bare: Place) -> None:
    rt = await open_to_all(bare, max_command_rate=100)
    peer = await bare.connected()
    await peer.send(*history_asked(230))
    await peer.until(lambda: len(peer.heard) == 231)
    refused = [said["error"] for said in peer.heard if "error" in said]
    assert 20 <= len(refused) <= 31, "the connect is a command, and time goes by"
    assert refused[0] == {"code": 111, "message": "too many requests", "temporary": True}
    assert "error" not in peer.heard[190]
    assert rt.statistics().errors == {111: len(refused)}
    assert "unsubscribe" in await peer.ask(unsubscribe={"channel": "news"}), "client libraries insist on that"
    await asyncio.sleep(0.4)
    assert "history" in await peer.ask(history={"channel": "news"})


@pytest.mark.limit("Bounds.max_command_rate")
async def test_who_goes_on_too_fast_is_sent_away(bare: Place) -> None:
    rt = await open_to_all(bare, max_command_rate=20)
    rt.on_message(lambda client, data: None)
    peer, talker = await bare.connected(), await bare.connected()
    await peer.send(*history_asked(95))
    assert (await peer.ended(), peer.reason) == (3013, "too many requests")
    assert sum("history" in said for said in peer.heard) <= 45
    await talker.send(*[{"send": {"data": 1}}] * 45)
    assert await talker.ended() == 3013, "a message has no reply that could tell"
    assert rt.statistics().disconnects == {3013: 2}


@pytest.mark.limit("Bounds.max_channels")
async def test_a_session_has_so_many_channels(bare: Place) -> None:
    rt = await open_to_all(bare, max_channels=2)
    peer = await bare.connected()
    replies = [await peer.subscribe(name) for name in ("a", "b", "c")]
    assert [reply["error"]["code"] for reply in replies if "error" in reply] == [106]
    await peer.ask(unsubscribe={"channel": "a"})
    assert "subscribe" in await peer.subscribe("c")
    await rt.subscribe("", "d")
    assert await peer.ended() == 3505


@pytest.mark.limit("Bounds.max_channels")
async def test_a_token_for_more_channels_lets_nobody_in(bare: Place, tokens: Tokens) -> None:
    await of_users(bare, tokens, max_channels=2)
    assert "connect" in await bare.peer().connect(token=tokens.make("ann", ttl=60, channels=["a", "b"]))
    peer = await bare.peer().open()
    await peer.send({"id": 1, "connect": {"token": tokens.make("ann", ttl=60, channels=["a", "b", "c"])}})
    assert await peer.ended() == 3505


@pytest.mark.limit("Bounds.max_publications")
async def test_so_many_publications_are_given_at_once(bare: Place) -> None:
    rt = await open_to_all(bare, max_publications=3)
    tops = [await rt.publish("news", number) for number in range(5)]
    peer = await bare.connected()
    history = (await peer.ask(history={"channel": "news", "limit": -1}))["history"]
    assert [publication["data"] for publication in history["publications"]] == [0, 1, 2]
    assert len((await rt.history("news", limit=-1)).publications) == 5, "a program's own readings have no bound"
    for behind, recovered in (1, True), (0, False):
        since = {"recover": True, "offset": tops[behind].offset, "epoch": tops[behind].epoch}
        reply = (await (await bare.connected()).ask(subscribe={"channel": "news", **since}))["subscribe"]
        assert reply.get("recovered", False) is recovered
        assert len(reply.get("publications", ())) == (3 if recovered else 0)


@pytest.mark.limit("Bounds.max_sessions_per_user")
async def test_a_user_has_so_many_sessions(bare: Place, tokens: Tokens) -> None:
    await of_users(bare, tokens, max_sessions_per_user=2)
    first, _, _ = [await bare.connected(token=tokens.make(user, ttl=60)) for user in ("ann", "ann", "bob")]
    third = await bare.peer().open()
    await third.send({"id": 1, "connect": {"token": tokens.make("ann", ttl=60)}})
    assert await third.ended() == 3504
    await first.close()
    assert "connect" in await bare.peer().connect(token=tokens.make("ann", ttl=60))


@pytest.mark.limit("Bounds.max_presence")
async def test_so_many_clients_are_listed_and_all_are_counted(bare: Place) -> None:
    rt = await open_to_all(bare, max_presence=2)
    peers = [await bare.connected() for _ in range(3)]
    for peer in peers:
        await peer.subscribe("room:lobby")
    here = (await peers[0].ask(presence={"channel": "room:lobby"}))["presence"]["presence"]
    assert len(here) == 2
    assert set(here) <= {peer.id for peer in peers}
    counts = (await peers[0].ask(presence_stats={"channel": "room:lobby"}))["presence_stats"]
    assert counts["num_clients"] == 3
    assert len(await rt.presence("room:lobby")) == 2


@pytest.mark.parametrize(
    "wrong",
    [{"ping": 0}, {"max_channels": "many"}, {"max_command": True}, {"connect_timeout": float("nan")}, {"ping": 8.0}],
)
def test_what_is_no_bound_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Misuse, match=next(iter(wrong))):
        Bounds(**wrong)
