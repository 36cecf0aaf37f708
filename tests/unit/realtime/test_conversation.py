"""What a client may ask when: every state, and whatever may come in it."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.realtime.conversation import (
    FROM_CLIENT,
    TRANSITIONS,
    Asked,
    Conversation,
    State,
    Trigger,
    diagram,
    judge,
)
from hubbub.realtime.protocol import JSON, Disconnects, Errors, Fault
from hubbub.realtime.protocol.commands import (
    ConnectRequest,
    HistoryRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    RefreshRequest,
    RpcRequest,
    SendRequest,
    StreamPosition,
    SubRefreshRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)

CONNECT, RPC, PONG, NOTHING = '{"id":1,"connect":{}}', '{"id":2,"rpc":{"method":"a"}}', "{}", '{"id":3,"ping":{}}'
FRAMES = {
    Trigger.CONNECT: CONNECT,
    Trigger.REQUEST: RPC,
    Trigger.PONG: PONG,
    Trigger.NO_PONG: PONG,
    Trigger.NOTHING: NOTHING,
}


def brought_to(state: State) -> Conversation:
    conversation = Conversation(JSON)
    if state in (State.CONNECTING, State.CONNECTED, State.REFUSED):
        list(conversation.requests(CONNECT))
    if state is State.CONNECTED:
        conversation.accepted()
    if state is State.REFUSED:
        conversation.refused()
    if state is State.ENDED:
        conversation.end()
    assert conversation.state is state
    return conversation


@pytest.mark.parametrize(
    ("state", "trigger"), [*product((State.NEW, State.CONNECTED, State.REFUSED, State.ENDED), FROM_CLIENT)]
)
def test_every_command_in_every_state(state: State, trigger: Trigger) -> None:
    conversation = brought_to(state)
    if trigger is Trigger.PONG:
        conversation.pinged()
    if trigger in TRANSITIONS[state]:
        heard = list(conversation.requests(FRAMES[trigger]))
        assert conversation.state is TRANSITIONS[state][trigger]
        assert bool(heard) == (trigger in (Trigger.CONNECT, Trigger.REQUEST) and state in (State.NEW, State.CONNECTED))
    else:
        with pytest.raises(Fault) as raised:
            list(conversation.requests(FRAMES[trigger]))
        assert raised.value.verdict is Disconnects.BAD_REQUEST
        assert conversation.state is State.ENDED


def test_what_follows_a_connect_waits_until_it_is_decided() -> None:
    conversation = Conversation(JSON)
    found = conversation.requests(f"{CONNECT}\n{RPC}\n{RPC}")
    assert next(found) == Asked(1, ConnectRequest())
    conversation.accepted()
    assert [asked.id for asked in found] == [2, 2]


def test_asking_for_more_before_it_is_decided_is_our_mistake() -> None:
    found = Conversation(JSON).requests(f"{CONNECT}\n{RPC}")
    next(found)
    with pytest.raises(AssertionError):
        next(found)


@pytest.mark.parametrize("more", [RPC, CONNECT, "nonsense"])
def test_after_an_error_in_reply_to_a_connect_nothing_is_heard_not_even_nonsense(more: str) -> None:
    conversation = Conversation(JSON)
    found = conversation.requests(f"{CONNECT}\n{more}")
    next(found)
    conversation.refused()
    assert list(found) == []
    assert list(conversation.requests("nonsense")) == []
    assert conversation.state is State.REFUSED


def test_nothing_is_heard_of_a_frame_once_the_connection_has_ended() -> None:
    conversation = brought_to(State.CONNECTED)
    found = conversation.requests(f"{RPC}\n{RPC}")
    next(found)
    conversation.end()
    assert list(found) == []
    assert list(conversation.requests("nonsense")) == []


def test_a_connect_that_is_decided_too_late_changes_nothing() -> None:
    conversation = brought_to(State.CONNECTING)
    conversation.end()
    conversation.accepted()
    assert conversation.state is State.ENDED


def test_a_ping_is_answered_once() -> None:
    conversation = brought_to(State.CONNECTED)
    conversation.pinged()
    assert conversation.owes_pong
    assert list(conversation.requests(PONG)) == []
    assert not conversation.owes_pong
    with pytest.raises(Fault):
        list(conversation.requests(PONG))


def test_a_second_pong_in_the_same_frame_is_one_too_many() -> None:
    conversation = brought_to(State.CONNECTED)
    conversation.pinged()
    with pytest.raises(Fault):
        list(conversation.requests("{}\n{}"))


def test_a_send_has_no_number() -> None:
    assert list(brought_to(State.CONNECTED).requests('{"send":{}}')) == [Asked(0, SendRequest())]


def test_a_malformed_frame_ends_the_connection() -> None:
    conversation = brought_to(State.CONNECTED)
    found = conversation.requests(f"{RPC}\nnonsense")
    assert next(found).id == 2
    with pytest.raises(Fault):
        next(found)
    assert conversation.state is State.ENDED


@given(st.booleans(), st.lists(st.sampled_from([CONNECT, RPC, PONG, NOTHING, "x", "ping", f"{CONNECT}\n{RPC}"])))
def test_whatever_comes_the_connection_ends_once_or_goes_on(good: bool, steps: list[str]) -> None:
    conversation, faults = Conversation(JSON), 0
    for step in steps:
        if step == "ping":
            conversation.pinged()
            continue
        try:
            for asked in conversation.requests(step):
                assert not faults
                if isinstance(asked.request, ConnectRequest):
                    conversation.accepted() if good else conversation.refused()
        except Fault:
            faults += 1
        assert (conversation.state is State.ENDED) == bool(faults)
    assert faults <= 1


@pytest.mark.parametrize(
    ("request_", "verdict"),
    [
        (ConnectRequest(), None),
        (SubscribeRequest(channel="a", delta="fossil"), None),
        (SubscribeRequest(), Disconnects.BAD_REQUEST),
        (SubscribeRequest(channel="a", delta="xdelta"), Disconnects.BAD_REQUEST),
        (UnsubscribeRequest(), Disconnects.BAD_REQUEST),
        (PublishRequest(), Disconnects.BAD_REQUEST),
        (PublishRequest(channel="a"), None),
        (PublishRequest(channel="a", type=1), Errors.NOT_AVAILABLE),
        (PresenceRequest(), Disconnects.BAD_REQUEST),
        (PresenceStatsRequest(), Disconnects.BAD_REQUEST),
        (HistoryRequest(), Disconnects.BAD_REQUEST),
        (HistoryRequest(channel="a", reverse=True), None),
        (HistoryRequest(channel="a", since=StreamPosition()), None),
        (HistoryRequest(channel="a", since=StreamPosition(offset=1), reverse=True), None),
        (HistoryRequest(channel="a", since=StreamPosition(epoch="e"), reverse=True), Errors.BAD_REQUEST),
        (RpcRequest(), None),
        (SendRequest(), None),
        (RefreshRequest(), Disconnects.BAD_REQUEST),
        (RefreshRequest(token="t"), None),
        (SubRefreshRequest(), Disconnects.BAD_REQUEST),
        (SubRefreshRequest(channel="a"), Errors.BAD_REQUEST),
        (SubRefreshRequest(token="t"), None),
    ],
)
def test_what_a_request_needs(request_: Any, verdict: Any) -> None:
    if verdict is None:
        judge(request_)
    else:
        with pytest.raises(Fault) as raised:
            judge(request_)
        assert raised.value.verdict is verdict


def test_the_table_is_drawn() -> None:
    assert "NEW --> CONNECTING: connect" in diagram()
