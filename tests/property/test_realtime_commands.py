"""Whatever clients say to a server of sessions gets the protocol's answer: no traceback, no hang, no other code."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.realtime.protocol import JSON, PROTOBUF, Command
from hubbub.realtime.protocol.commands import ConnectRequest, SubscribeRequest
from support.commands import Conversing, conversation

pytest.importorskip("google.protobuf", reason="pip install 'hubbub[realtime]'")


@pytest.fixture(scope="module")
def talk() -> Iterator[object]:
    with asyncio.Runner() as runner:
        begun = Conversing.begun()
        conversing = runner.run(begun.__aenter__())
        yield lambda dialect, frames: runner.run(conversing.say(dialect, frames))
        runner.run(begun.__aexit__(None, None, None))


@given(data=st.binary(min_size=4, max_size=400))
def test_whatever_is_said_is_answered(talk, data: bytes) -> None:  # type: ignore[no-untyped-def]
    talk(*conversation(data))


def test_what_is_right_is_not_refused(talk) -> None:  # type: ignore[no-untyped-def]
    for dialect in (JSON, PROTOBUF):
        commands = [Command(id=1, connect=ConnectRequest()), Command(id=2, subscribe=SubscribeRequest(channel="room"))]
        assert talk(dialect, [dialect.encode(command) for command in commands]) == 0
