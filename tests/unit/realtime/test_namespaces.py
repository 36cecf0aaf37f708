"""What a channel is by its name."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.brokers import History
from hubbub.errors import Misuse
from hubbub.realtime.namespaces import Names, Namespace, Namespaces
from hubbub.realtime.protocol import Error, Errors, Fault

CHAT, NEWS = Namespace(presence=True), Namespace(allow_user_limited_channels=True)
SPACES = Namespaces({"chat": CHAT, "news": NEWS, "": Namespace(channel_regex="^[a-z$]+$")})
HISTORY = History(size=10, ttl=60)


def verdict(channel: str, spaces: Namespaces = SPACES) -> Error:
    with pytest.raises(Fault) as raised:
        spaces.place(channel)
    assert isinstance(raised.value.verdict, Error)
    return raised.value.verdict


@pytest.mark.parametrize(
    ("channel", "namespace", "private"),
    [
        ("chat:lobby", "chat", False),
        ("$chat:lobby", "chat", True),
        ("chat:a:b", "chat", False),
        ("chat:", "chat", False),
        ("abc", "", False),
        ("$abc", "", True),
        (":abc", "", False),
    ],
)
def test_the_namespace_is_in_front_of_the_first_colon(channel: str, namespace: str, private: bool) -> None:
    place = SPACES.place(channel)
    assert (place.channel, place.namespace, place.private) == (channel, namespace, private)
    assert place.options is (CHAT if namespace else place.options)


@pytest.mark.parametrize(
    ("channel", "users"),
    [
        ("news:a", None),
        ("news:a#1", {"1"}),
        ("news:a#1,2", {"1", "2"}),
        ("news:a#1#2,3", {"2", "3"}),
        ("news:#", {""}),
        ("chat:a#1", None),
    ],
)
def test_the_users_are_behind_the_last_boundary_where_that_is_allowed(channel: str, users: set[str] | None) -> None:
    assert SPACES.place(channel).users == users


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        ("other:a", Errors.UNKNOWN_CHANNEL),
        ("Chat:a", Errors.UNKNOWN_CHANNEL),
        ("#chat:a", Errors.UNKNOWN_CHANNEL),
        ("$$chat:a", Errors.UNKNOWN_CHANNEL),
        ("chat:ä", Errors.BAD_REQUEST),
        ("ABC", Errors.BAD_REQUEST),
        (":ABC", Errors.BAD_REQUEST),
        ("chat:" + "a" * 251, Errors.BAD_REQUEST),
        ("ä" * 128, Errors.BAD_REQUEST),
        ("chat:\ud800", Errors.BAD_REQUEST),
    ],
)
def test_a_channel_that_cannot_be(channel: str, error: Error) -> None:
    assert verdict(channel) is error


def test_the_longest_name() -> None:
    assert SPACES.place("chat:" + "a" * 250)


def test_with_a_pattern_names_may_be_of_any_script() -> None:
    assert Namespaces({"aa": Namespace(channel_regex="^ä+$")}).place("aa:ää")


def test_without_namespaces_there_are_channels_in_which_nothing_is_allowed() -> None:
    assert Namespaces().place("a").options == Namespace()
    assert verdict("a:b", Namespaces()) is Errors.UNKNOWN_CHANNEL


def test_boundaries_can_be_others_or_none() -> None:
    names = Names(private_prefix="", namespace_boundary="/", user_boundary="@", user_separator="")
    spaces = Namespaces({"news": NEWS}, names)
    place = spaces.place("news/a@1,2")
    assert (place.private, place.users) == (False, {"1,2"})
    assert not spaces.place("$a").private
    nothing = Namespaces({"": NEWS}, Names(namespace_boundary="", user_boundary=""))
    assert nothing.place("a:b#1").users is None


def test_the_channel_of_a_user_alone() -> None:
    assert SPACES.personal("42") == "#42"
    assert SPACES.place(SPACES.personal("42", "news")).users == {"42"}


@given(st.text(max_size=300))
def test_any_text_is_a_channel_or_a_fault(channel: str) -> None:
    with contextlib.suppress(Fault):
        assert SPACES.place(channel).channel == channel


@pytest.mark.parametrize(
    "options",
    [
        {"presence": 1},
        {"allow_subscribe_for_client": "yes"},
        {"history": 10},
        {"force_recovery": True},
        {"history": HISTORY, "force_recovery": True, "force_recovery_mode": "all"},
        {"auto_cache_recover": True},
        {"history": HISTORY, "force_recovery": True, "auto_cache_recover": True},
        {"allowed_delta_types": "fossil"},
        {"allowed_delta_types": ["xdelta"]},
        {"publication_data_format": "xml"},
        {"channel_regex": "("},
    ],
)
def test_options_that_can_never_work(options: dict[str, Any]) -> None:
    with pytest.raises(Misuse, match=r"Namespace\."):
        Namespace(**options)


@pytest.mark.parametrize(
    "named", [{"a": CHAT}, {"a b": CHAT}, {"chat:": CHAT}, {"chat\n": CHAT}, {5: CHAT}, {"chat": {}}]
)
def test_namespaces_that_can_never_be(named: Any) -> None:
    with pytest.raises(Misuse):
        Namespaces(named)


@pytest.mark.parametrize("options", [{"max_length": 0}, {"private_prefix": None}, {"user_boundary": 5}])
def test_names_that_can_never_be(options: dict[str, Any]) -> None:
    with pytest.raises(Misuse):
        Names(**options)
