"""Who may do what: denied, unless something allows it."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from hubbub.brokers import History
from hubbub.realtime.namespaces import Namespace, Namespaces, Place
from hubbub.realtime.permissions import (
    Asker,
    Way,
    judge_data,
    options_for,
    publishing,
    reading_history,
    reading_presence,
    subscribing,
)
from hubbub.realtime.protocol import Error, Errors, Fault
from hubbub.realtime.protocol.commands import FilterNode, SubscribeRequest
from hubbub.realtime.tokens import Grant

HISTORY = History(size=10, ttl=60)
USER, ANONYMOUS = Asker("42"), Asker("")
SUBSCRIBED, INSECURE = Asker("42", subscribed=True), Asker("", insecure=True)


def place(channel: str = "aa:x", **options: Any) -> Place:
    return Namespaces({"aa": Namespace(**options)}).place(channel)


def verdict(call: Any, *args: Any, **named: Any) -> Error:
    with pytest.raises(Fault) as raised:
        call(*args, **named)
    assert isinstance(raised.value.verdict, Error)
    return raised.value.verdict


OPEN = {"allow_subscribe_for_client": True}
LIMITED = {"allow_user_limited_channels": True}


@pytest.mark.parametrize(
    ("channel", "options", "asker", "asked", "way"),
    [
        ("aa:x", {}, USER, {}, None),
        ("aa:x", {}, USER, {"token": True}, Way.TOKEN),
        ("$aa:x", OPEN, USER, {}, None),
        ("$aa:x", OPEN, INSECURE, {}, None),
        ("$aa:x", OPEN, USER, {"handled": True}, None),
        ("$aa:x", {}, ANONYMOUS, {"token": True}, Way.TOKEN),
        ("aa:x", OPEN, USER, {}, Way.NAMESPACE),
        ("aa:x", OPEN, ANONYMOUS, {}, None),
        ("aa:x", {**OPEN, "allow_subscribe_for_anonymous": True}, ANONYMOUS, {}, Way.NAMESPACE),
        ("aa:x", {"allow_subscribe_for_anonymous": True}, ANONYMOUS, {}, None),
        ("aa:x", OPEN, USER, {"handled": True}, Way.HANDLER),
        ("aa:x", {}, INSECURE, {}, Way.INSECURE),
        ("aa:x#42", LIMITED, USER, {}, Way.USER),
        ("aa:x#41,42", LIMITED, USER, {"handled": True}, Way.USER),
        ("aa:x#42", {**LIMITED, **OPEN}, Asker("43"), {}, None),
        ("aa:x#42", {**LIMITED, **OPEN}, Asker("43"), {"handled": True}, None),
        ("aa:x#42", LIMITED, Asker("43"), {"token": True}, Way.TOKEN),
        ("aa:x#42", OPEN, Asker("43"), {}, Way.NAMESPACE),
        ("aa:x", OPEN, USER, {"type": 1}, None),
        ("aa:x", OPEN, USER, {"type": 1, "token": True}, None),
    ],
)
def test_who_may_subscribe(
    channel: str, options: dict[str, Any], asker: Asker, asked: dict[str, Any], way: Way | None
) -> None:
    asked = {"token": False, **asked}
    if way is None:
        assert verdict(subscribing, place(channel, **options), asker, **asked) is Errors.PERMISSION_DENIED
    else:
        assert subscribing(place(channel, **options), asker, **asked) is way


@pytest.mark.parametrize("what", ["publish", "presence", "history"])
def test_who_may_do_what_needs_a_permission(what: str) -> None:
    """Every combination of what is allowed, and of who asks."""
    needs: dict[str, Any] = {"presence": {"presence": True}, "history": {"history": HISTORY}}.get(what, {})
    call: Any = {"publish": publishing, "presence": reading_presence, "history": reading_history}[what]
    for client, subscriber, anonymous, user, subscribed, insecure in product((False, True), repeat=6):
        found = place(
            **needs,
            **{
                f"allow_{what}_for_client": client,
                f"allow_{what}_for_subscriber": subscriber,
                f"allow_{what}_for_anonymous": anonymous,
            },
        )
        asker = Asker("42" if user else "", subscribed, insecure)
        if insecure or ((client or (subscriber and subscribed)) and (user or anonymous)):
            call(found, asker)
        else:
            assert verdict(call, found, asker) is Errors.PERMISSION_DENIED


def test_a_handler_decides_about_publishing_before_the_namespace() -> None:
    assert publishing(place(), ANONYMOUS, handled=True) is Way.HANDLER
    assert publishing(place(allow_publish_for_client=True), USER) is Way.NAMESPACE
    assert publishing(place(), INSECURE) is Way.INSECURE


def test_what_a_namespace_does_not_have_is_not_available_to_anybody() -> None:
    assert verdict(reading_presence, place(allow_presence_for_client=True), INSECURE) is Errors.NOT_AVAILABLE
    assert verdict(reading_history, place(allow_history_for_client=True), INSECURE) is Errors.NOT_AVAILABLE


ASKING = SubscribeRequest(recover=True, positioned=True, recoverable=True, join_leave=True, delta="fossil")
NOTHING_ASKED = SubscribeRequest()


def on(request: SubscribeRequest, asker: Asker = USER, grant: Grant | None = None, **options: Any) -> set[str]:
    found = options_for(place(**options), asker, request, grant)
    return {name for name, value in found._asdict().items() if value}


def test_what_is_not_allowed_is_ignored() -> None:
    assert on(ASKING, history=HISTORY, join_leave=True) == {"emits_join_leave"}
    assert on(ASKING, allow_recovery=True, allow_positioning=True, force_positioning=True) == set()


@pytest.mark.parametrize(
    "options",
    [
        {"allow_recovery": True},
        {"allow_history_for_client": True},
        {"allow_history_for_subscriber": True},
    ],
)
def test_who_may_ask_for_history_may_recover(options: dict[str, Any]) -> None:
    options["history"] = HISTORY
    assert on(ASKING, **options) == {"positioned", "recoverable", "recovers"}
    assert on(SubscribeRequest(recoverable=True), **options) == {"positioned", "recoverable"}
    assert on(NOTHING_ASKED, **options) == set()
    assert on(ASKING, Asker("", insecure=True), history=HISTORY) == {"positioned", "recoverable", "recovers"}


def test_who_is_positioned_does_not_recover() -> None:
    assert on(ASKING, history=HISTORY, allow_positioning=True) == {"positioned"}
    assert on(NOTHING_ASKED, history=HISTORY, force_positioning=True) == {"positioned"}


def test_what_a_namespace_forces() -> None:
    forced = {"history": HISTORY, "force_recovery": True, "presence": True, "join_leave": True}
    assert on(NOTHING_ASKED, **forced, force_push_join_leave=True) == {
        "positioned",
        "recoverable",
        "presence",
        "emits_join_leave",
        "gets_join_leave",
    }


def test_the_latest_publication_is_recovered_by_who_asks_or_by_everybody() -> None:
    cache = {"history": HISTORY, "force_recovery": True, "force_recovery_mode": "cache"}
    assert on(NOTHING_ASKED, **cache) == {"positioned", "recoverable", "cache"}
    assert "recovers" in on(ASKING, **cache)
    assert "recovers" in on(NOTHING_ASKED, **cache, auto_cache_recover=True)


@pytest.mark.parametrize("options", [{"allow_presence_for_client": True}, {"allow_presence_for_subscriber": True}])
def test_who_may_ask_for_presence_may_be_told_of_joins(options: dict[str, Any]) -> None:
    assert on(ASKING, **options, join_leave=True) == {"emits_join_leave", "gets_join_leave"}
    assert on(ASKING, **options) == set()
    assert on(NOTHING_ASKED, **options, join_leave=True) == {"emits_join_leave"}


def test_patches_are_for_who_has_a_position_and_asks() -> None:
    options = {"history": HISTORY, "allow_positioning": True, "allowed_delta_types": ("fossil",)}
    assert "delta" in on(ASKING, **options)
    assert "delta" not in on(SubscribeRequest(positioned=True), **options)
    assert "delta" not in on(SubscribeRequest(positioned=True, delta="xdelta"), **options)
    assert "delta" not in on(SubscribeRequest(delta="fossil"), **options)


def test_a_filter_is_refused_where_none_is_allowed() -> None:
    request = SubscribeRequest(tf=FilterNode(key="a", cmp="ex"))
    assert on(request, allow_tags_filter=True) == {"filtered"}
    assert verdict(options_for, place(), USER, request) is Errors.BAD_REQUEST


def test_a_token_overrides_the_namespace() -> None:
    on_all = dict.fromkeys(
        ("presence", "join_leave", "force_push_join_leave", "force_recovery", "force_positioning"), True
    )
    assert on(NOTHING_ASKED, grant=Grant(override=on_all), history=HISTORY) == {
        "presence",
        "emits_join_leave",
        "gets_join_leave",
        "positioned",
        "recoverable",
    }
    off = dict.fromkeys(on_all, False)
    options = {"presence": True, "join_leave": True, "history": HISTORY, "force_recovery": True}
    assert on(NOTHING_ASKED, grant=Grant(override=off), **options) == set()


@pytest.mark.parametrize(
    ("format", "data", "good"),
    [
        ("", b"", False),
        ("", b"\xff", True),
        ("json", b"", False),
        ("json", b"\xff", False),
        ("json", b"null", True),
        ("json", b"{", False),
        ("json_object", b"[]", False),
        ("json_object", b' \n{"a": 1}', True),
        ("binary", b"", True),
        ("binary", b"\xff", True),
    ],
)
def test_what_clients_may_publish(format: str, data: bytes, good: bool) -> None:
    there = place(publication_data_format=format)
    if good:
        judge_data(there, data)
    else:
        assert verdict(judge_data, there, data) is Errors.BAD_REQUEST
