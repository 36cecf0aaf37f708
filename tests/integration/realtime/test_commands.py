"""What clients ask, and in which order they are answered."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
import websockets

from hubbub.realtime import Accepted, Bounds, Client, Connected, Denied, History, Namespace
from support.session_client import Peer

from .conftest import Place

OPEN = Namespace(
    presence=True, join_leave=True, force_push_join_leave=True, history=History(100, timedelta(minutes=5)),
    force_recovery=True,
)  # fmt: skip
PLAIN = Namespace()
ROOMS = {"": OPEN, "plain": PLAIN}


async def test_connecting_and_subscribing_in_one_frame(place: Place) -> None:
    """As the client libraries do, also when the program takes its time to let somebody in."""
    rt = await place.serve(insecure=True, namespaces=ROOMS)

    @rt.on_connect
    async def connect(client: Client, data: bytes) -> Connected:
        await asyncio.sleep(0.05)
        return Connected(user="eve", data={"hello": "eve"})

    peer = await place.peer().open()
    await peer.send(
        {"id": 1, "connect": {"name": "test"}},
        {"id": 2, "subscribe": {"channel": "one"}},
        {"id": 3, "subscribe": {"channel": "two", "recover": True}},
        {"id": 4, "publish": {"channel": "one", "data": 1}},
        {"id": 5, "unsubscribe": {"channel": "two"}},
        {"id": 6, "presence_stats": {"channel": "one"}},
    )
    await peer.until(lambda: len([said for said in peer.heard if "id" in said]) == 6)
    answered = [said["id"] for said in peer.heard if "id" in said]
    assert answered[:3] == [1, 2, 3]
    assert sorted(answered) == [1, 2, 3, 4, 5, 6]
    by_id = {said["id"]: said for said in peer.heard if "id" in said}
    assert by_id[1]["connect"]["data"] == {"hello": "eve"}
    assert by_id[1]["connect"]["ping"] == 25
    assert by_id[1]["connect"]["pong"] is True
    assert len(by_id[1]["connect"]["client"]) == 36
    assert by_id[2]["subscribe"]["recoverable"] is True
    assert len(by_id[2]["subscribe"]["epoch"]) == 8
    assert by_id[4] == {"id": 4, "publish": {}}
    assert by_id[5] == {"id": 5, "unsubscribe": {}}
    assert by_id[6]["presence_stats"] == {"num_clients": 1, "num_users": 1}


async def test_one_has_ones_own_publication_before_the_reply_to_it(place: Place) -> None:
    await place.serve(insecure=True, namespaces=ROOMS)
    peer = await place.connected()
    await peer.subscribe("one")
    reply = await peer.ask(publish={"channel": "one", "data": {"a": 1}})
    pushed = [push for push in peer.pushes if "pub" in push]
    assert pushed == [
        {"channel": "one", "pub": {
            "data": {"a": 1}, "offset": 1, "info": {"user": "", "client": peer.id}, "epoch": peer.positions["one"][1],
        }}
    ]  # fmt: skip
    assert peer.heard.index({"push": pushed[0]}) < peer.heard.index(reply)


async def test_joining_is_told_after_the_reply_and_to_oneself_and_leaving_is_not(place: Place) -> None:
    await place.serve(insecure=True, namespaces=ROOMS)
    one, other = await place.connected(), await place.connected()
    for peer in (one, other):
        await peer.subscribe("one")
        await peer.until(lambda: any("join" in push for push in peer.pushes))  # noqa: B023
        kinds = [next(iter(said.keys() - {"id"})) for said in peer.heard]
        assert kinds == ["connect", "subscribe", "push"]
    await one.ask(unsubscribe={"channel": "one"})
    await other.until(lambda: len(other.pushes) == 2)
    assert other.pushes[1] == {"channel": "one", "leave": {"info": {"user": "", "client": one.id}}}
    await one.ask(presence={"channel": "one"})
    assert not any("leave" in push for push in one.pushes)


async def test_nothing_is_numbered_where_nothing_is_kept(place: Place) -> None:
    await place.serve(insecure=True, namespaces=ROOMS)
    peer = await place.connected()
    assert (await peer.subscribe("plain:one", recover=True, positioned=True))["subscribe"] == {"was_recovering": True}
    await peer.ask(publish={"channel": "plain:one", "data": None})
    assert peer.pushes == [{"channel": "plain:one", "pub": {"data": None, "info": {"user": "", "client": peer.id}}}]


ANSWERS: list[tuple[dict[str, Any], int]] = [
    ({"subscribe": {"channel": "nowhere:one"}}, 102),
    ({"subscribe": {"channel": "x" * 256}}, 107),
    ({"subscribe": {"channel": "ümlaut"}}, 107),
    ({"subscribe": {"channel": "$one"}}, 103),
    ({"subscribe": {"channel": "closed:one"}}, 103),
    ({"subscribe": {"channel": "closed:one", "token": "x"}}, 103),
    ({"subscribe": {"channel": "one", "type": 1}}, 103),
    ({"subscribe": {"channel": "one", "tf": {"key": "a", "cmp": "eq", "val": "b"}}}, 107),
    ({"publish": {"channel": "one"}}, 107),
    ({"publish": {"channel": "nowhere:one", "data": 1}}, 102),
    ({"publish": {"channel": "closed:one", "data": 1}}, 103),
    ({"presence": {"channel": "nowhere:one"}}, 102),
    ({"presence": {"channel": "closed:one"}}, 108),
    ({"presence": {"channel": "one"}}, 103),
    ({"presence_stats": {"channel": "closed:one"}}, 108),
    ({"presence_stats": {"channel": "one"}}, 103),
    ({"history": {"channel": "nowhere:one"}}, 102),
    ({"history": {"channel": "closed:one"}}, 108),
    ({"history": {"channel": "one"}}, 103),
    ({"history": {"channel": "one", "reverse": True, "since": {"offset": 0}}}, 107),
    ({"rpc": {"method": "nothing"}}, 108),
]


async def test_errors_answer_a_command_and_the_session_goes_on(place: Place) -> None:
    allowed = Namespace(
        presence=True, history=History(10, 60), allow_subscribe_for_client=True, allow_subscribe_for_anonymous=True,
        allow_publish_for_client=True, allow_publish_for_anonymous=True,
    )  # fmt: skip
    rt = await place.serve(anonymous=True, namespaces={"": allowed, "closed": PLAIN})
    peer = await place.connected()
    for request, code in ANSWERS:
        reply = await peer.ask(**request)
        assert reply.get("error", {}).get("code") == code, (request, reply)
        assert reply["error"]["message"]
    assert (await peer.subscribe("one"))["subscribe"] == {}
    assert (await peer.subscribe("one"))["error"] == {"code": 105, "message": "already subscribed"}
    assert (await peer.ask(unsubscribe={"channel": "nowhere:one"})) == {"id": len(ANSWERS) + 4, "unsubscribe": {}}
    assert rt.statistics().errors[103] == len([code for _, code in ANSWERS if code == 103])


DISCONNECTS: list[tuple[list[Any], int]] = [
    ([{"id": 2, "connect": {}}], 3501),
    ([{"id": 2}], 3501),
    ([{"id": 2, "ping": {}}], 3501),
    ([{}], 3501),
    ([{"subscribe": {"channel": "one"}}], 3501),
    ([{"id": 2, "subscribe": {}}], 3501),
    ([{"id": 2, "subscribe": {"channel": "one", "delta": "other"}}], 3501),
    ([{"id": 2, "unsubscribe": {}}], 3501),
    ([{"id": 2, "publish": {"data": 1}}], 3501),
    ([{"id": 2, "presence": {}}], 3501),
    ([{"id": 2, "presence_stats": {}}], 3501),
    ([{"id": 2, "history": {}}], 3501),
    ([{"id": 2, "refresh": {}}], 3501),
    ([{"id": 2, "refresh": {"token": "x"}}], 3501),
    ([{"id": 2, "sub_refresh": {"token": ""}}], 3501),
    ([{"send": {"data": 1}}], 3508),
]


@pytest.mark.parametrize(("frame", "code"), DISCONNECTS)
async def test_what_ends_the_connection(bare: Place, frame: list[Any], code: int) -> None:
    rt = await bare.serve(insecure=True, namespaces=ROOMS)
    peer = await bare.connected()
    await peer.send(*frame)
    assert await peer.ended() == code
    assert peer.reason == {3501: "bad request", 3508: "not available"}[code]
    assert rt.statistics().disconnects == {code: 1}
    assert len(peer.heard) == 1


@pytest.mark.parametrize("frame", ["", "{", "[]", "{}\n\n{}", '{"id": -1}', '{"id": 1, "connect": 1}', b"\xff\x00"])
async def test_frames_that_are_none(bare: Place, frame: str | bytes) -> None:
    await bare.serve(insecure=True, namespaces=ROOMS)
    peer = await bare.connected()
    broken = frame.encode() if bare.protobuf and isinstance(frame, str) else frame
    await peer.socket.send(broken)
    assert await peer.ended() == 3501


async def test_what_came_before_a_bad_command_is_answered(place: Place) -> None:
    await place.serve(insecure=True, namespaces=ROOMS)
    peer = await place.connected()
    await peer.send({"id": 5, "unsubscribe": {"channel": "one"}}, {"id": 6, "ping": {}})
    assert await peer.ended() == 3501
    assert peer.heard[1:] == [{"id": 5, "unsubscribe": {}}]


async def test_a_frame_that_is_too_large(place: Place) -> None:
    await place.serve(insecure=True, namespaces=ROOMS)
    peer = await place.connected()
    await peer.send({"id": 2, "publish": {"channel": "one", "data": "x" * 65_536}})
    assert await peer.ended() == 1009
    if not place.protobuf:  # bytes are what counts, not characters
        peer = await place.connected()
        await peer.socket.send(
            json.dumps({"id": 2, "publish": {"channel": "one", "data": "é" * 40_000}}, ensure_ascii=False)
        )
        assert await peer.ended() == 1009


@pytest.mark.parametrize("query", ["format=protobuf", "cf_protocol=protobuf", "cf_protocol_version=v2"])
async def test_who_speaks_what_by_the_address(place: Place, query: str) -> None:
    await place.serve(insecure=True, namespaces=ROOMS)
    peer = place.peer(f"{place.url}?{query}")
    peer.protobuf = "=protobuf" in query
    await peer.open(subprotocols=None)
    assert "connect" in await peer.ask(connect={})
    assert peer.socket.subprotocol is None


async def test_origins(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "hubbub")
    port = (await place.serve(insecure=True, allowed_origins=None)) and place.url.split("/")[2]
    for origin, allowed in (None, True), (f"http://{port}", True), ("http://evil.example", False), ("null", False):
        peer = place.peer()
        if allowed:
            await peer.open(origin=origin)
            assert "connect" in await peer.ask(connect={})
        else:
            with pytest.raises(websockets.InvalidStatus, match="403"):
                await peer.open(origin=origin)
    assert f"a page of http://evil.example may not connect to {port}: allowed_origins" in caplog.text
    await place.serve(insecure=True, allowed_origins=["https://good.example"])
    await place.peer().open(origin="https://good.example")
    for origin in "http://good.example", "https://good.example.evil", "https://good.example:444":
        with pytest.raises(websockets.InvalidStatus, match="403"):
            await place.peer().open(origin=origin)


async def test_anything_before_connect(place: Place) -> None:
    await place.serve(insecure=True, namespaces=ROOMS)
    peer = await place.peer().open()
    await peer.send({"id": 1, "subscribe": {"channel": "one"}})
    assert await peer.ended() == 3501


async def test_who_does_not_connect_in_time(place: Place) -> None:
    await place.serve(insecure=True, bounds=Bounds(connect_timeout=0.1))
    peer = await place.peer().open()
    assert await peer.ended() == 3502


async def test_after_an_error_in_reply_to_connect_nothing_is_heard(place: Place) -> None:
    rt = await place.serve(insecure=True, namespaces=ROOMS, bounds=Bounds(connect_timeout=0.3))

    @rt.on_connect
    def connect(client: Client, data: bytes) -> Connected:
        raise Denied("not today", 403)

    peer = place.peer()
    assert (await peer.connect())["error"] == {"code": 403, "message": "not today"}
    await peer.send({"id": 2, "connect": {}}, {"id": 3, "subscribe": {"channel": "one"}}, {})
    assert await peer.ended() == 3502
    assert len(peer.heard) == 1
    assert rt.statistics().sessions == 0


async def test_without_a_token_where_one_is_needed(place: Place) -> None:
    await place.serve(namespaces=ROOMS)
    peer = await place.peer().open()
    await peer.send({"id": 1, "connect": {}})
    assert await peer.ended() == 3501


async def test_too_many_channels_and_too_many_sessions(place: Place) -> None:
    rt = await place.serve(
        insecure=True, namespaces=ROOMS, bounds=Bounds(max_channels=2, max_sessions_per_user=1)
    )  # fmt: skip

    @rt.on_connect
    def connect(client: Client, data: bytes) -> Connected:
        several = {f"own{number}": Accepted() for number in range(3 if data == b'"many"' else 0)}
        return Connected(user="" if data == b'"many"' else "eve", channels=several)

    peer = await place.connected()
    for channel in ("one", "two"):
        assert "subscribe" in await peer.subscribe(channel)
    assert (await peer.subscribe("three"))["error"]["code"] == 106
    await peer.ask(unsubscribe={"channel": "one"})
    assert "subscribe" in await peer.subscribe("three")
    for data, code in ("", 3504), ("many", 3505):
        other = await place.peer().open()
        await other.send({"id": 1, "connect": {"data": data}})
        assert await other.ended() == code


async def test_replies_do_not_stand_behind_what_a_slow_command_waits_for(place: Place) -> None:
    rt = await place.serve(insecure=True, namespaces=ROOMS)
    go = asyncio.Event()

    @rt.rpc("wait")
    async def wait(client: Client, data: Any) -> str:
        await go.wait()
        return "done"

    peer = await place.connected()
    await peer.send({"id": 50, "publish": {"channel": "one", "data": 1}}, {"id": 51, "rpc": {"method": "wait"}})
    await peer.until(lambda: {"id": 50, "publish": {}} in peer.heard)
    go.set()
    await peer.until(lambda: {"id": 51, "rpc": {"data": "done"}} in peer.heard)


async def test_messages_and_calls(place: Place) -> None:
    rt = await place.serve(insecure=True, namespaces=ROOMS)
    came: list[Any] = []

    @rt.on_message
    def message(client: Client, data: dict[str, int]) -> None:
        came.append(data)
        client.send({"got": data})

    @rt.rpc("add")
    def add(client: Client, data: list[int]) -> int:
        return sum(data)

    @rt.rpc("fail")
    async def fail(client: Client, data: Any) -> None:
        raise Denied("no", 1999, temporary=True)

    @rt.rpc("break")
    async def breaks(client: Client, data: Any) -> None:
        raise KeyError("x")

    peer = await place.connected()
    await peer.send({"send": {"data": {"a": 1}}})
    assert (await peer.ask(rpc={"method": "add", "data": [1, 2]}))["rpc"] == {"data": 3}
    assert (await peer.ask(rpc={"method": "add", "data": "x"}))["error"]["code"] == 107
    assert (await peer.ask(rpc={"method": "other"}))["error"]["code"] == 104
    assert (await peer.ask(rpc={"method": "fail"}))["error"] == {"code": 1999, "message": "no", "temporary": True}
    assert (await peer.ask(rpc={"method": "break"}))["error"] == {
        "code": 100, "message": "internal server error", "temporary": True,
    }  # fmt: skip
    assert came == [{"a": 1}]
    assert peer.pushes == [{"message": {"data": {"got": {"a": 1}}}}]


async def test_what_a_program_makes_of_publications_and_subscriptions(place: Place) -> None:
    rt = await place.serve(anonymous=True, namespaces=ROOMS)

    @rt.on_subscribe("room*")
    async def subscribe(client: Client, channel: str) -> Accepted | None:
        if channel == "room 13":
            raise Denied("not there")
        return Accepted(info={"chair": 4}, data={"welcome": channel})

    @rt.on_publish("room*")
    def publish(client: Client, channel: str, data: str) -> str:
        if not data:
            raise Denied("say something", 400)
        return data.upper()

    peer: Peer = await place.connected()
    assert (await peer.subscribe("room 13"))["error"] == {"code": 103, "message": "not there"}
    assert (await peer.subscribe("room 1"))["subscribe"]["data"] == {"welcome": "room 1"}
    assert (await peer.ask(publish={"channel": "room 1", "data": ""}))["error"] == {
        "code": 400, "message": "say something",
    }  # fmt: skip
    assert (await peer.ask(publish={"channel": "room 1", "data": 1}))["error"]["code"] == 107
    assert (await peer.ask(publish={"channel": "room 1", "data": "hi"}))["publish"] == {}
    assert peer.bodies("room 1") == ["HI"]
    assert peer.got["room 1"][0]["info"] == {"user": "", "client": peer.id, "chan_info": {"chair": 4}}


@pytest.mark.parametrize("answer", [False, True, "yes"])
async def test_handlers_that_answer_something_else_let_nobody_in(place: Place, answer: Any) -> None:
    rt = await place.serve(anonymous=True, namespaces=ROOMS)

    @rt.on_subscribe("one")
    def subscribe(client: Client, channel: str) -> Any:
        return answer

    peer = await place.connected()
    assert (await peer.subscribe("one"))["error"]["code"] == 100

    @rt.on_connect
    def connect(client: Client, data: bytes) -> Any:
        return answer

    assert (await place.peer().connect())["error"]["code"] == 100
