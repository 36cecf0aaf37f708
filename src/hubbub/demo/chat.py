"""The chat of the demo: who may come, what rooms there are, and what is said in them.

A page has one session. It says its name, enters rooms, and publishes lines into them; hubbub keeps the latest of them,
tells who is there, and gives a page that was away what it missed. Nothing here knows of connections.
"""

from __future__ import annotations

import asyncio
import time
import unicodedata
from hashlib import blake2b

import msgspec

from hubbub import HubbubError, Limits
from hubbub.realtime import Accepted, Bounds, Client, Connected, Denied, History, Namespace, Realtime

__all__ = ["LIMITS", "rt", "tell_news"]

DAY = 86_400  # seconds
LIMITS = Limits(max_message_size=16 * 1024)
NEWS = "news:rooms"
NEWS_INTERVAL = 1.0  # seconds
LISTED = 30  # rooms in the news

rt: Realtime = Realtime(
    namespaces={
        "room": Namespace(
            channel_regex=".",  # any language; what a name has to be, `enter` says in words
            history=History(200, ttl=DAY), force_recovery=True, allow_history_for_subscriber=True,
            presence=True, allow_presence_for_subscriber=True, join_leave=True, force_push_join_leave=True,
            group_by_user=True, leave_grace=5,
        ),
        "typing": Namespace(channel_regex=".", allow_subscribe_for_client=True, allow_publish_for_subscriber=True),
        "news": Namespace(
            history=History(1, ttl=DAY), force_recovery=True, force_recovery_mode="cache", auto_cache_recover=True
        ),
    },
    bounds=Bounds(max_channels=41, max_command_rate=50),  # twenty rooms, who types in them, and the news
    limits=LIMITS,
)  # fmt: skip


class Guest(msgspec.Struct):
    """What a page says of its user. By the secret, which it alone has, it is the same user when it comes back."""

    name: str
    secret: str


class Line(msgspec.Struct):
    """What is said in a room."""

    text: str
    at: float = 0.0  # seconds since 1970, by the server's clock


@rt.on_connect
def welcome(client: Client, data: bytes) -> Connected:
    try:
        guest = msgspec.json.decode(data, type=Guest)
    except msgspec.DecodeError:
        raise Denied("Say who you are.", code=400) from None
    name = readable(guest.name, 30, "Your name")
    user = blake2b(guest.secret.encode(), digest_size=8).hexdigest()
    return Connected(user=user, info={"name": name}, data={"user": user}, channels={NEWS: Accepted()})


@rt.on_subscribe("room:*")
def enter(client: Client, channel: str) -> None:
    readable(channel.removeprefix("room:"), 40, "The name of a room")


@rt.on_publish("room:*")
def say(client: Client, channel: str, line: Line) -> Line:
    enter(client, channel)
    text = line.text.strip()
    if not 1 <= len(text) <= 2000:
        raise Denied("A message has 1 to 2000 characters.", code=400)
    return Line(text, at=time.time())


def readable(text: str, most: int, what: str) -> str:
    """The text with single spaces. Raises: Denied: nobody could read it, in whatever language, or it is too long."""
    text = " ".join(text.split())
    if len(text) > most:
        raise Denied(f"{what} has up to {most} characters.", code=400)
    if not any(unicodedata.category(letter)[0] in "LNPS" for letter in text):
        raise Denied(f"{what} needs a letter.", code=400)
    return text


async def tell_news() -> None:
    """Tell every page how many are here and which rooms there are, once a second, if that has changed."""
    told = None
    while True:
        await asyncio.sleep(NEWS_INTERVAL)
        if not rt.statistics().sessions:
            continue
        try:
            rooms = sorted((await rt.channels("room:*")).items(), key=lambda room: -room[1])
            online = sum(node.num_clients for node in await rt.info())
            news = {"online": online, "rooms": len(rooms), "largest": rooms[:LISTED]}
            if news != told:
                await rt.publish(NEWS, news)
                told = news
        except HubbubError:  # the broker is away: next time
            told = None
