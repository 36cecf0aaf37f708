"""Namespaces: what channels are allowed to do, by the part of their name before the first colon.

Options have the names that Centrifugo gives them. What is not allowed is denied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from hubbub.arguments import shown, text, whole
from hubbub.brokers import History
from hubbub.errors import Misuse
from hubbub.realtime.protocol import Errors, Fault

__all__ = ["Names", "Namespace", "Namespaces", "Place"]

_NAME = re.compile(r"[-a-zA-Z0-9_]{2,}\Z")
PLACES = 16_384  # channels whose place is remembered
MOST_GRACE = 300.0  # seconds
_MODES = ("stream", "cache")
_FORMATS = ("", "json", "json_object", "binary")


@dataclass(frozen=True, kw_only=True, slots=True)
class Namespace:
    """What may be done in the channels of a namespace.

    Clients without a user are anonymous: they need the permission "for anonymous" beside the one of clients or
    subscribers.

    Raises: Misuse: a value of another kind, or options that contradict each other.
    """

    presence: bool = False
    """Who is in a channel can be asked for."""
    join_leave: bool = False
    """Joining and leaving is told to those who ask for that and may ask for presence."""
    force_push_join_leave: bool = False
    """It is told to every subscriber. Needs join_leave."""
    group_by_user: bool = False
    """Of all sessions of a user, on all nodes, the first one's join is told, and the last one's leave."""
    leave_grace: float = 0.0
    """Seconds, up to 300, in which a user whose last connection broke may come back before a leave is told. With
    group_by_user."""

    history: History | None = None
    """How much is kept of each channel."""
    force_positioning: bool = False
    """Subscribers know where they stand, and are told when they have missed something. Needs history."""
    allow_positioning: bool = False
    """The same for those who ask for it."""
    force_recovery: bool = False
    """Subscribers that come back get what they missed. Needs history."""
    allow_recovery: bool = False
    """The same for those who ask for it."""
    force_recovery_mode: Literal["stream", "cache"] = "stream"
    """"stream": all that was missed. "cache": the latest publication alone."""
    auto_cache_recover: bool = False
    """In mode "cache", everybody who subscribes gets the latest, not only who asks. Needs force_recovery."""

    allowed_delta_types: Sequence[Literal["fossil"]] = ()
    """("fossil",): subscribers who ask for it get patches instead of whole documents. Needs history."""
    delta_publish: bool = False
    """What is published may be sent as a patch, without `delta=True` in each call."""
    allow_tags_filter: bool = False
    """Subscribers may choose publications by their tags."""

    allow_subscribe_for_client: bool = False
    """Clients may subscribe without a token."""
    allow_subscribe_for_anonymous: bool = False
    """Anonymous ones, too, together with the option above."""
    allow_publish_for_client: bool = False
    """Clients may publish."""
    allow_publish_for_subscriber: bool = False
    """Those that are subscribed may."""
    allow_publish_for_anonymous: bool = False
    """Anonymous ones, too, together with one of the two above."""
    allow_presence_for_client: bool = False
    """Clients may ask who is present."""
    allow_presence_for_subscriber: bool = False
    """Those that are subscribed may."""
    allow_presence_for_anonymous: bool = False
    """Anonymous ones, too, together with one of the two above."""
    allow_history_for_client: bool = False
    """Clients may ask for history, and be subscribed with positions and recovery if they ask for these."""
    allow_history_for_subscriber: bool = False
    """Those that are subscribed may."""
    allow_history_for_anonymous: bool = False
    """Anonymous ones, too, together with one of the two above."""
    allow_user_limited_channels: bool = False
    """`name#1,2` is for the users "1" and "2" alone, who need no token."""

    channel_regex: str = ""
    """What is behind the namespace has to have this in it; begin with ^ and end with $ to mean all of it. "": names are
    ASCII."""
    publication_data_format: Literal["", "json", "json_object", "binary"] = ""
    """What clients publish: "" anything but nothing at all, "json", "json_object", or "binary", which is anything."""

    _regex: re.Pattern[str] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            if option.type == "bool" and not isinstance(value, bool):
                raise Misuse(f"Namespace.{option.name} is True or False, not {shown(value)}")
        history: Any = self.history
        if history is not None and not isinstance(history, History):
            raise Misuse(f"Namespace.history is a History, or None, not {shown(history)}")
        self._judge_groups()
        _one_of("force_recovery_mode", self.force_recovery_mode, _MODES)
        _one_of("publication_data_format", self.publication_data_format, _FORMATS)
        if isinstance(self.allowed_delta_types, str) or not set(self.allowed_delta_types) <= {"fossil"}:
            raise Misuse(f'Namespace.allowed_delta_types is ("fossil",) or (), not {shown(self.allowed_delta_types)}')
        if self.force_recovery and history is None:
            raise Misuse("Namespace.force_recovery needs history, from which to recover")
        if self.auto_cache_recover and not (self.force_recovery and self.force_recovery_mode == "cache"):
            raise Misuse('Namespace.auto_cache_recover needs force_recovery and force_recovery_mode="cache"')
        try:
            regex = re.compile(self.channel_regex) if self.channel_regex else None
        except re.error as error:
            raise Misuse(f"Namespace.channel_regex is no regular expression: {error}") from None
        object.__setattr__(self, "_regex", regex)

    def _judge_groups(self) -> None:
        grace: Any = self.leave_grace
        if not isinstance(grace, (int, float)) or isinstance(grace, bool) or not 0 <= grace <= MOST_GRACE:
            raise Misuse(f"Namespace.leave_grace is a number of seconds up to {MOST_GRACE:g}, not {shown(grace)}")
        if grace and not self.group_by_user:
            raise Misuse("Namespace.leave_grace needs group_by_user: each session is another client")
        if self.group_by_user and not (self.presence and self.join_leave):
            raise Misuse("Namespace.group_by_user needs presence, by which it is known who is there, and join_leave")

    def accepts(self, channel: str, rest: str) -> bool:
        """Whether a channel may be called that; `rest` is what is behind the namespace."""
        return channel.isascii() if self._regex is None else self._regex.search(rest) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """What parts the names of channels. An empty one parts nothing.

    Raises: Misuse: a boundary that is no text; a length below 1.
    """

    private_prefix: str = "$"
    """Channels that begin with it need a token."""
    namespace_boundary: str = ":"
    user_boundary: str = "#"
    """In front of the users that a channel is limited to: the last of them in the name counts."""
    user_separator: str = ","
    max_length: int = 255
    """Bytes. At the limit: error 107."""

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            if option.type == "str" and not isinstance(value, str):
                raise Misuse(f"Names.{option.name} is a text, not {shown(value)}")
        whole("Names.max_length", self.max_length, 1)


class Place(NamedTuple):
    """A channel, and what is known of it by its name."""

    channel: str
    namespace: str
    """"" if it has none."""
    options: Namespace
    private: bool
    """It needs a token."""
    users: frozenset[str] | None
    """The only ones who may subscribe without a token; None: it is not limited to users."""
    well_named: bool = True
    """Clients may ask for it."""


class Namespaces:
    """All namespaces of a server.

    Args:
        named: each by its name, at least two letters, digits, hyphens and underscores; "" is that of channels without
            one, in which nothing is allowed unless it is given.
        names: what parts the names of channels.

    Raises: Misuse: a name that is none, or something else than a Namespace.
    """

    def __init__(self, named: Mapping[str, Namespace] | None = None, names: Names | None = None) -> None:
        for name, namespace in (named or {}).items():
            given: tuple[Any, Any] = name, namespace
            if not isinstance(given[0], str) or (name and not _NAME.match(name)):
                raise Misuse(f"a namespace has a name of at least two of A-Z, a-z, 0-9, - and _, not {shown(name)}")
            if not isinstance(given[1], Namespace):
                raise Misuse(f"the namespace {name!r} is a Namespace, not {shown(namespace)}")
        self._named = {"": Namespace(), **(named or {})}
        self.names: Names = names or Names()
        self.known: Callable[[str], Place] = lru_cache(PLACES)(self._place)
        """What a channel is, whatever it is called: servers may name channels as they wish.

        Raises: Fault: 102 if there is no such namespace, 107 if the name is too long.
        """

    def __contains__(self, namespace: object) -> bool:
        return namespace in self._named

    def place(self, channel: str) -> Place:
        """What a channel is that a client names.

        Raises: Fault: 102 if there is no such namespace, 107 if the channel may not be called that.
        """
        place = self.known(channel)
        if not place.well_named:
            raise Fault(Errors.BAD_REQUEST, "a channel with a name that is not allowed")
        return place

    def _place(self, channel: str) -> Place:
        names = self.names
        text("a channel", channel)
        if len(channel.encode("utf-8", "surrogatepass")) > names.max_length:
            raise Fault(Errors.BAD_REQUEST, "a channel with a name that is too long")
        private = bool(names.private_prefix) and channel.startswith(names.private_prefix)
        namespace, rest = "", channel
        if names.namespace_boundary:
            head, boundary, tail = channel.removeprefix(names.private_prefix).partition(names.namespace_boundary)
            if boundary:
                namespace, rest = head, tail
        options = self._named.get(namespace)
        if options is None:
            raise Fault(Errors.UNKNOWN_CHANNEL, "a channel of an unknown namespace")
        well_named = options.accepts(channel, rest)
        return Place(channel, namespace, options, private, self._users(channel, options), well_named)

    def personal(self, user: str, namespace: str = "") -> str:
        """The channel of a user alone."""
        head = f"{namespace}{self.names.namespace_boundary}" if namespace else ""
        return f"{head}{self.names.user_boundary}{user}"

    def _users(self, channel: str, options: Namespace) -> frozenset[str] | None:
        boundary, separator = self.names.user_boundary, self.names.user_separator
        if not options.allow_user_limited_channels or not boundary or boundary not in channel:
            return None
        users = channel.rpartition(boundary)[2]
        return frozenset(users.split(separator) if separator else (users,))


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise Misuse(f"Namespace.{name} is one of {', '.join(map(repr, known))}, not {shown(value)}")
