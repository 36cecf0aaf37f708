"""Who may do what in a channel: pure decisions, denied unless something allows it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from hubbub.realtime.namespaces import Place
from hubbub.realtime.protocol import Errors, Fault
from hubbub.realtime.protocol.commands import SubscribeRequest
from hubbub.realtime.protocol.json import is_json
from hubbub.realtime.tokens import Grant

__all__ = [
    "Asker",
    "Options",
    "Way",
    "judge_data",
    "options_for",
    "publishing",
    "reading_history",
    "reading_presence",
    "subscribing",
]

STREAM = 0  # the type of the only subscriptions there are


class Asker(NamedTuple):
    """Who asks, as far as permissions are concerned."""

    user: str
    """"": anonymous."""
    subscribed: bool = False
    """To the channel in question."""
    insecure: bool = False
    """The server allows everybody everything that exists."""


class Way(Enum):
    """What allows something."""

    TOKEN = "token"  # it still has to be checked  # noqa: S105
    USER = "user"  # the channel's name names them
    HANDLER = "handler"  # of the program: it still has to be asked
    NAMESPACE = "namespace"
    INSECURE = "insecure"


class Options(NamedTuple):
    """How somebody is subscribed."""

    presence: bool
    """They are seen by who asks who is present."""
    emits_join_leave: bool
    """Others are told of them."""
    gets_join_leave: bool
    """They are told of others."""
    positioned: bool
    recoverable: bool
    cache: bool
    """What they recover is the latest publication alone."""
    recovers: bool
    """They recover now: since they ask for it, or the namespace does it for everybody."""
    delta: bool
    filtered: bool
    """By tags."""


def subscribing(place: Place, asker: Asker, *, token: bool, type: int = STREAM, handled: bool = False) -> Way:
    """What decides whether somebody may subscribe.

    Args:
        token: whether they have one.
        type: of subscription, as requested.
        handled: whether the program has a handler for this channel.

    Raises: Fault: 103: nothing allows it.
    """
    if type != STREAM:
        raise Fault(Errors.PERMISSION_DENIED, "a subscription of another type than the namespace has")
    if token:
        return Way.TOKEN
    if place.private:
        raise Fault(Errors.PERMISSION_DENIED, "a private channel without a token")
    if place.users is not None:
        if asker.user in place.users:
            return Way.USER
    elif handled:
        return Way.HANDLER
    elif place.options.allow_subscribe_for_client and (asker.user or place.options.allow_subscribe_for_anonymous):
        return Way.NAMESPACE
    if asker.insecure:
        return Way.INSECURE
    raise Fault(Errors.PERMISSION_DENIED, "nothing allows to subscribe")


def publishing(place: Place, asker: Asker, *, handled: bool = False) -> Way:
    """What decides whether somebody may publish. Raises: Fault: 103: nothing allows it."""
    options = place.options
    if handled:
        return Way.HANDLER
    if _allowed(
        asker,
        options.allow_publish_for_client,
        options.allow_publish_for_subscriber,
        options.allow_publish_for_anonymous,
    ):
        return Way.NAMESPACE
    if asker.insecure:
        return Way.INSECURE
    raise Fault(Errors.PERMISSION_DENIED, "nothing allows to publish")


def reading_presence(place: Place, asker: Asker) -> None:
    """Raises: Fault: 108: the namespace has no presence. 103: nothing allows to ask for it."""
    if not place.options.presence:
        raise Fault(Errors.NOT_AVAILABLE, "no presence in this namespace")
    if not _may_read_presence(place, asker):
        raise Fault(Errors.PERMISSION_DENIED, "nothing allows to ask for presence")


def reading_history(place: Place, asker: Asker) -> None:
    """Raises: Fault: 108: the namespace has no history. 103: nothing allows to ask for it."""
    if place.options.history is None:
        raise Fault(Errors.NOT_AVAILABLE, "no history in this namespace")
    if not _may_read_history(place, asker):
        raise Fault(Errors.PERMISSION_DENIED, "nothing allows to ask for history")


def options_for(place: Place, asker: Asker, request: SubscribeRequest, grant: Grant | None = None) -> Options:
    """How somebody who may subscribe is subscribed: what the namespace forces, what they ask for and may have.

    Args:
        grant: of their token, whose overrides go before the namespace.

    Raises: Fault: 107: a filter where none is allowed.
    """
    options = place.options
    override: Mapping[str, bool] = {} if grant is None else grant.override
    there = asker._replace(subscribed=True)  # they are as good as subscribed
    readable = _may_read_history(place, there)
    kept = options.history is not None  # without history publications have no offsets
    recoverable = kept and (
        override.get("force_recovery", options.force_recovery)
        or (request.recoverable and (options.allow_recovery or readable))
    )
    positioned = recoverable or (
        kept
        and (
            override.get("force_positioning", options.force_positioning)
            or (request.positioned and (options.allow_positioning or readable))
        )
    )
    joins = override.get("join_leave", options.join_leave)
    forced = override.get("force_push_join_leave", options.force_push_join_leave)
    cache = options.force_recovery_mode == "cache"
    if request.tf is not None and not options.allow_tags_filter:
        raise Fault(Errors.BAD_REQUEST, "a filter by tags in a namespace that has none")
    return Options(
        presence=override.get("presence", options.presence),
        emits_join_leave=joins,
        gets_join_leave=joins and (forced or (request.join_leave and _may_read_presence(place, there))),
        positioned=positioned,
        recoverable=recoverable,
        cache=cache,
        recovers=recoverable and (request.recover or (cache and options.auto_cache_recover)),
        delta=positioned and request.tf is None and request.delta in options.allowed_delta_types,
        filtered=request.tf is not None,
    )


def judge_data(place: Place, data: bytes) -> None:
    """Whether a client may publish this. Raises: Fault: 107: it is not of the namespace's format."""
    wanted = place.options.publication_data_format
    if wanted == "binary":
        return
    if not data or (wanted and not is_json(data)) or (wanted == "json_object" and not _is_object(data)):
        raise Fault(Errors.BAD_REQUEST, f"data that is not {wanted or 'there'}")


def _is_object(data: bytes) -> bool:
    return data.lstrip(b" \t\r\n")[:1] == b"{"


def _may_read_presence(place: Place, asker: Asker) -> bool:
    options = place.options
    return asker.insecure or _allowed(
        asker,
        options.allow_presence_for_client,
        options.allow_presence_for_subscriber,
        options.allow_presence_for_anonymous,
    )


def _may_read_history(place: Place, asker: Asker) -> bool:
    options = place.options
    return asker.insecure or _allowed(
        asker,
        options.allow_history_for_client,
        options.allow_history_for_subscriber,
        options.allow_history_for_anonymous,
    )


def _allowed(asker: Asker, clients: bool, subscribers: bool, anonymous: bool) -> bool:
    return (clients or (subscribers and asker.subscribed)) and (bool(asker.user) or anonymous)
