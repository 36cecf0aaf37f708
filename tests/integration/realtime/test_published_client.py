"""centrifuge-python, as it is published, against our server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import centrifuge
import pytest

from hubbub.realtime import Accepted, Bounds, Client, Connected, Denied, History, Namespace, Tokens
from support.serving import until

from .conftest import Place

OPEN = Namespace(
    presence=True, join_leave=True, force_push_join_leave=True, history=History(100, 60), force_recovery=True,
    allowed_delta_types=("fossil",), delta_publish=True,
)  # fmt: skip


class Events:
    """What happened to a client or a subscription, in order: whatever the library calls is an event."""

    def __init__(self) -> None:
        self.all: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(name)

        async def record(context: Any) -> None:
            self.all.append((name[3:], context))

        return record

    def of(self, name: str) -> list[Any]:
        return [context for event, context in self.all if event == name]


class Reader:
    """A published client, and what it says and hears in the form of JSON whatever it speaks."""

    def __init__(self, place: Place, **settings: Any) -> None:
        self.binary = place.protobuf
        self.events = Events()
        self.client = centrifuge.Client(
            place.url, events=self.events, use_protobuf=place.protobuf, min_reconnect_delay=0.02, **settings
        )

    def out(self, data: Any) -> Any:
        return json.dumps(data).encode() if self.binary else data

    def back(self, data: Any) -> Any:
        return json.loads(data) if self.binary and data is not None else data

    async def subscribe(self, channel: str, **settings: Any) -> tuple[Any, Events]:
        events = Events()
        subscription = self.client.new_subscription(channel, events=events, **settings)
        await subscription.subscribe()
        await subscription.ready()
        return subscription, events

    def bodies(self, events: Events) -> list[Any]:
        return [self.back(context.pub.data) for context in events.of("publication")]


@contextlib.asynccontextmanager
async def reading(place: Place, **settings: Any) -> AsyncIterator[Reader]:
    reader = Reader(place, **settings)
    await reader.client.connect()
    await reader.client.ready()
    try:
        yield reader
    finally:
        await reader.client.disconnect()


async def test_a_room(place: Place) -> None:
    rt = await place.serve(insecure=True, namespaces={"": OPEN})

    @rt.rpc("add")
    async def add(client: Client, data: list[int]) -> int:
        return sum(data)

    async with reading(place) as ann, reading(place) as bob:
        for reader in ann, bob:
            reader.room, reader.heard = await reader.subscribe("room")  # type: ignore[attr-defined]
        room, heard = ann.room, ann.heard  # type: ignore[attr-defined]
        for number in range(3):
            await room.publish(ann.out({"number": number}))
        await rt.publish("room", {"number": 3})
        for reader in ann, bob:
            await until(lambda: len(reader.heard.of("publication")) == 4)  # type: ignore[attr-defined]  # noqa: B023
            bodies = reader.bodies(reader.heard)  # type: ignore[attr-defined]
            assert bodies == [{"number": number} for number in range(4)]
        assert [context.pub.offset for context in heard.of("publication")] == [1, 2, 3, 4]
        assert heard.of("publication")[0].pub.info.client in (await room.presence()).clients
        assert len((await room.presence()).clients) == 2
        stats = await room.presence_stats()
        assert (stats.num_clients, stats.num_users) == (2, 1)
        page = await room.history(limit=2, since=centrifuge.StreamPosition(1, (await room.history()).epoch))
        assert [publication.offset for publication in page.publications] == [2, 3]
        assert page.offset == 4
        assert ann.back((await ann.client.rpc("add", ann.out([1, 2]))).data) == 3
        await bob.room.unsubscribe()  # type: ignore[attr-defined]
        await until(lambda: heard.of("leave"))
        assert [type(context).__name__ for context in heard.of("join")] == ["JoinContext"] * 2


async def test_what_was_missed_comes_after_the_connection_was_lost(place: Place) -> None:
    rt = await place.serve(insecure=True, namespaces={"": OPEN})
    for delta in None, centrifuge.DeltaType.FOSSIL:
        channel = f"room {delta}"
        async with reading(place) as reader:
            _, heard = await reader.subscribe(channel, delta=delta)
            text = "the same in each of them " * 10
            await rt.publish(channel, {"number": 0, "text": text})
            await until(lambda: heard.of("publication"))  # noqa: B023
            reader.client._conn.transport.abort()
            for number in range(1, 50):
                await rt.publish(channel, {"number": number, "text": text})
            await until(lambda: len(heard.of("publication")) == 50)  # noqa: B023
            await rt.publish(channel, {"number": 50, "text": text})
            await until(lambda: len(heard.of("publication")) == 51)  # noqa: B023
            assert [body["number"] for body in reader.bodies(heard)] == list(range(51))
            assert [context.recovered for context in heard.of("subscribed")] == [False, True]
            assert len(reader.events.of("connected")) == 2


async def test_what_cannot_be_recovered_is_told(place: Place) -> None:
    short = Namespace(history=History(2, 60), force_recovery=True)
    rt = await place.serve(insecure=True, namespaces={"": short})
    async with reading(place) as reader:
        _, heard = await reader.subscribe("room")
        await rt.publish("room", 0)
        await until(lambda: heard.of("publication"))
        rt._service.channels.find("room").lose()  # type: ignore[union-attr]
        reader.client._conn.transport.abort()
        for number in range(1, 5):
            await rt.publish("room", number)
        await until(lambda: len(heard.of("subscribed")) == 2)
        assert (heard.of("subscribed")[1].was_recovering, heard.of("subscribed")[1].recovered) == (True, False)
        await rt.publish("room", 5)
        await until(lambda: reader.bodies(heard)[-1] == 5)


async def test_tokens_that_are_renewed(bare: Place, tokens: Tokens) -> None:
    await bare.serve(
        tokens=tokens, bounds=Bounds(expired_grace=1), namespaces={"": Namespace(), "chat": Namespace()}
    )  # fmt: skip
    made: list[str] = []

    async def token() -> str:
        made.append("")
        return tokens.make("eve", ttl=None, exp=time.time() + 1.1)

    async def token_of(channel: str) -> str:
        made.append(channel)
        return tokens.make("eve", ttl=None, exp=time.time() + 1.1, channel=channel)

    async with reading(bare, get_token=token) as reader:
        _, heard = await reader.subscribe("chat:one", get_token=token_of)
        await asyncio.sleep(2.6)
        assert made.count("") >= 2
        assert made.count("chat:one") >= 2
        assert len(reader.events.of("connected")) == 1
        assert len(heard.of("subscribed")) == 1


async def test_what_the_server_does(place: Place) -> None:
    rt = await place.serve(insecure=True, namespaces={"": OPEN})

    @rt.on_connect
    def connect(client: Client, data: bytes) -> Connected:
        return Connected(user="eve", data={"hello": "eve"}, channels={"own": Accepted(data={"a": 1})})

    async with reading(place) as reader:
        assert reader.back(reader.events.of("connected")[0].data) == {"hello": "eve"}
        assert [context.channel for context in reader.events.of("subscribed")] == ["own"]
        await rt.publish("own", 1)
        await until(lambda: reader.events.of("publication"))
        await rt.subscribe("eve", "more")
        await until(lambda: len(reader.events.of("subscribed")) == 2)
        await rt.publish("more", 2)
        await until(lambda: len(reader.events.of("publication")) == 2)
        assert reader.bodies(reader.events) == [1, 2]
        await rt.unsubscribe("eve", "more")
        await until(lambda: reader.events.of("unsubscribed"))
        await rt.disconnect("eve", code=4000, reason="once more")
        await until(lambda: len(reader.events.of("connected")) == 2)
        await rt.disconnect("eve")
        await until(lambda: reader.events.of("disconnected"))
        assert reader.events.of("disconnected")[0].code == 3503


async def test_what_is_refused(place: Place) -> None:
    rt = await place.serve(insecure=True, namespaces={"": OPEN})

    @rt.on_subscribe("closed*")
    async def subscribe(client: Client, channel: str) -> None:
        raise Denied("not there", 403)

    @rt.on_publish("room")
    async def publish(client: Client, channel: str, data: str) -> None:
        raise Denied("not that", 444)

    async with reading(place) as reader:
        events = Events()
        await reader.client.new_subscription("closed", events=events).subscribe()
        await until(lambda: events.of("unsubscribed"))
        assert events.of("unsubscribed")[0].code == 403
        room, _ = await reader.subscribe("room")
        with pytest.raises(centrifuge.ReplyError) as refused:
            await room.publish(reader.out("hi"))
        assert refused.value.code == 444
