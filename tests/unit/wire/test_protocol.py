"""The state machine: every state with every trigger, by the table and by what really happens."""

from __future__ import annotations

import pytest

import hubbub
from hubbub.wire import TRANSITIONS, Close, Failure, Protocol, State, Trigger, diagram
from support.client import encode

pytestmark = pytest.mark.usefixtures("twin")


def in_state(state: State) -> Protocol:
    protocol = Protocol(max_message_size=1000, max_fragments=10)
    match state:
        case State.CLOSE_SENT:
            protocol.send_close(1000)
        case State.CLOSED:
            protocol.receive(encode(8, b""))
        case State.FAILED:
            protocol.receive(b"\xff")
        case State.LOST:
            protocol.receive_end()
        case _:
            pass
    assert protocol.state is state
    return protocol


def pull(protocol: Protocol, trigger: Trigger) -> object:
    match trigger:
        case Trigger.MESSAGE:
            return protocol.receive(encode(1, b"hi"))
        case Trigger.PEER_CLOSE:
            return protocol.receive(encode(8, b"\x03\xe8"))
        case Trigger.FAULT:
            return protocol.receive(b"\xff")
        case Trigger.END:
            return protocol.receive_end()
        case Trigger.OUR_CLOSE:
            return protocol.send_close(1000)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("trigger", Trigger)
def test_every_state_takes_what_its_table_says_and_passes_over_the_rest(state: State, trigger: Trigger) -> None:
    protocol = in_state(state)
    result = pull(protocol, trigger)
    assert protocol.state is TRANSITIONS[state].get(trigger, state)
    if trigger not in TRANSITIONS[state]:
        assert not result


def test_both_sides_say_goodbye_once() -> None:
    protocol = in_state(State.OPEN)
    assert pull(protocol, Trigger.PEER_CLOSE) == [Close(1000, "", b"\x88\x02\x03\xe8")]
    assert protocol.send_close() is None
    protocol = in_state(State.CLOSE_SENT)
    assert protocol.send_close(1001) is None
    assert pull(protocol, Trigger.PEER_CLOSE) == [Close(1000, "", b"")]


def test_a_fault_after_our_close_has_no_second_close_frame() -> None:
    (event,) = in_state(State.CLOSE_SENT).receive(b"\xff")
    assert isinstance(event, Failure)
    assert event.reply == b""


def test_messages_still_arrive_after_our_close() -> None:
    assert pull(in_state(State.CLOSE_SENT), Trigger.MESSAGE) == ["hi"]


def test_a_message_is_partial_from_its_first_byte_to_its_last() -> None:
    protocol = in_state(State.OPEN)
    data = encode(1, b"hi", fin=False) + encode(0, b"!")
    for index in range(len(data) - 1):
        protocol.receive(data[index : index + 1])
        assert protocol.partial
    protocol.receive(data[-1:])
    assert not protocol.partial


def test_closing_with_what_may_not_be_sent_is_refused_and_changes_nothing() -> None:
    protocol = in_state(State.OPEN)
    with pytest.raises(hubbub.Misuse):
        protocol.send_close(1006)
    assert protocol.state is State.OPEN


def test_the_diagram_shows_every_state() -> None:
    for state in State:
        assert state.name in diagram()
