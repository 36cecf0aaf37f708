"""What a program passes that is nothing of the kind is refused at once, and told what to pass."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hubbub.errors import Misuse
from hubbub.realtime import Accepted, Connected, History, Namespace, Realtime, Refreshed


def two(client: Any, channel: Any) -> None: ...


def one(client: Any) -> None: ...


NO: Any = None
FIVE: Any = 5
WORD: Any = "word"
TWO: Any = two
WRONG: list[tuple[Callable[[Realtime], object], str]] = [
    (lambda rt: rt.on_subscribe(TWO), r'@rt.on_subscribe\("chat:\*"\)'),
    (lambda rt: rt.on_sub_refresh(TWO), r'@rt.on_sub_refresh\("chat:\*"\)'),
    (lambda rt: rt.on_publish(TWO), r'@rt.on_publish\("chat:\*"\)'),
    (lambda rt: rt.on_presence(TWO), r'@rt.on_presence\("chat:\*"\)'),
    (lambda rt: rt.rpc(TWO), r'@rt.rpc\("add"\)'),
    (lambda rt: rt.rpc(""), r'@rt.rpc\("add"\)'),
    (lambda rt: rt.on_connect(WORD), "on_connect stands above a function, not 'word'"),
    (lambda rt: rt.on_refresh(WORD), "on_refresh stands above a function"),
    (lambda rt: rt.on_disconnect(NO), "on_disconnect stands above a function"),
    (lambda rt: rt.on_message(FIVE), "on_message stands above a function"),
    (lambda rt: rt.on_subscribe("a")(FIVE), "on_subscribe stands above a function"),
    (lambda rt: rt.on_connect(one), "takes client, data"),
    (lambda rt: rt.on_disconnect(two), "takes client:"),
    (lambda rt: rt.on_publish("a")(two), "takes client, channel, data"),
    (lambda rt: rt.rpc("a")(one), "takes client, data"),
    (lambda _: Realtime(tokens=WORD), "tokens is a Tokens"),
    (lambda _: Realtime(subscription_tokens=WORD), "subscription_tokens is a Tokens"),
    (lambda _: Realtime(bounds=FIVE), "bounds is a Bounds"),
    (lambda _: Realtime(limits=FIVE), "limits is a Limits"),
    (lambda _: Realtime(names=FIVE), "names is a Names"),
    (lambda _: Realtime(personal="me"), "personal is the name of a namespace, and 'me' is none"),
    (lambda _: Connected(user=FIVE), "Connected.user is a text, not 5"),
    (lambda _: Connected(expire_at=WORD), "Connected.expire_at is in seconds since 1970"),
    (lambda _: Connected(channels=WORD), "Connected.channels is such as"),
    (lambda _: Connected(channels={"a": NO}), "Connected.channels is such as"),
    (lambda _: Accepted(expire_at=WORD), "Accepted.expire_at"),
    (lambda _: Accepted(override={"history": True}), "override has True or False for presence"),
    (lambda _: Accepted(override={"presence": FIVE}), "override has True or False for presence"),
    (lambda _: Refreshed(expire_at=WORD), "Refreshed.expire_at"),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG)
def test_what_is_passed_at_the_start(wrong: Callable[[Realtime], object], told: str) -> None:
    with pytest.raises(Misuse, match=told):
        wrong(Realtime())


LATER: list[tuple[Callable[[Realtime], Awaitable[object]], str]] = [
    (lambda rt: rt.publish(FIVE, 1), "a channel is a text, not 5"),
    (lambda rt: rt.publish("one", 1, tags={"total": FIVE}), "tags are texts"),
    (lambda rt: rt.publish("one", 1, key=FIVE), "key is a text"),
    (lambda rt: rt.history(FIVE), "a channel is a text"),
    (lambda rt: rt.disconnect(FIVE), "user is a text"),
    (lambda rt: rt.disconnect("ann", client=FIVE), "client is a text"),
    (lambda rt: rt.disconnect("ann", code=1000), "code is a whole number from 3000 to 4999"),
    (lambda rt: rt.disconnect("ann", reason="x" * 124), "reason has up to 123 bytes"),
    (lambda rt: rt.refresh("ann", expire_at=WORD), "expire_at is in seconds since 1970"),
    (lambda rt: rt.subscribe("ann", FIVE), "a channel is a text"),
    (lambda rt: rt.subscribe("ann", "one", override={"history": True}), "override has"),
    (lambda rt: rt.unsubscribe("ann", FIVE), "channel is a text"),
]


@pytest.mark.parametrize(("wrong", "told"), LATER)
async def test_what_is_passed_later(wrong: Callable[[Realtime], Awaitable[object]], told: str) -> None:
    rt = Realtime(namespaces={"": Namespace(history=History(9, 60))})
    with pytest.raises(Misuse, match=told):
        await wrong(rt)
    await rt.close()
