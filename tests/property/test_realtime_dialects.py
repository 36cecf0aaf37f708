"""Both dialects say the same, and survive whatever bytes come."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from hubbub.realtime.protocol import JSON, PROTOBUF, Command, Dialect, Disconnects, Fault, Publication, push
from hubbub.realtime.protocol.commands import (
    ConnectRequest,
    FilterNode,
    HistoryRequest,
    PublishRequest,
    RpcRequest,
    SendRequest,
    StreamPosition,
    SubRefreshRequest,
    SubscribeRequest,
)
from hubbub.realtime.protocol.replies import ClientInfo

pytest.importorskip("google.protobuf", reason="pip install 'hubbub[realtime]'")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
data = values.map(lambda value: Raw(json.dumps(value).encode()))
offsets = st.integers(0, 2**63 - 1)
filters = st.recursive(
    st.builds(FilterNode, key=texts, cmp=texts, val=texts, vals=st.lists(texts, max_size=2)),
    lambda inner: st.builds(FilterNode, op=texts, nodes=st.lists(inner, max_size=3)),
    max_leaves=5,
)
subscribes = st.builds(
    SubscribeRequest,
    channel=texts,
    token=texts,
    recover=st.booleans(),
    epoch=texts,
    offset=offsets,
    data=data,
    tf=st.none() | filters,
    flag=st.integers(-(2**63), 2**63 - 1),
)
commands = st.one_of(
    st.builds(ConnectRequest, token=texts, data=data, subs=st.dictionaries(texts, subscribes, max_size=2)).map(
        lambda request: {"connect": request}
    ),
    subscribes.map(lambda request: {"subscribe": request}),
    st.builds(PublishRequest, channel=texts, data=data).map(lambda request: {"publish": request}),
    st.builds(
        HistoryRequest,
        limit=st.integers(-(2**31), 2**31 - 1),
        since=st.none() | st.builds(StreamPosition, offset=offsets, epoch=texts),
    ).map(lambda request: {"history": request}),
    st.builds(RpcRequest, method=texts, data=data).map(lambda request: {"rpc": request}),
    st.builds(SendRequest, data=data).map(lambda request: {"send": request}),
    st.builds(SubRefreshRequest, channel=texts, token=texts).map(lambda request: {"sub_refresh": request}),
)
built = st.builds(lambda number, request: Command(id=number, **request), st.integers(0, 2**32 - 1), commands)
infos = st.none() | st.builds(ClientInfo, user=texts, client=texts)


def judge(dialect: Dialect, frame: bytes | str) -> None:
    """Commands, whatever they are, or a Fault that ends the connection: nothing else is raised."""
    found, fault = dialect.commands(frame), None
    while fault is None:
        try:
            if (command := next(found, None)) is None:
                return
            assert command.pong in (True, False)
        except Fault as raised:
            fault = raised
    assert fault.verdict is Disconnects.BAD_REQUEST


@pytest.mark.parametrize("dialect", [JSON, PROTOBUF], ids=lambda dialect: dialect.name)
@given(st.lists(built, min_size=1, max_size=4))
def test_what_a_client_writes_is_read(dialect: Dialect, sent: list[Command]) -> None:
    frame = dialect.join([dialect.encode(command) for command in sent])
    assert list(dialect.commands(frame)) == sent


@pytest.mark.parametrize("dialect", [JSON, PROTOBUF], ids=lambda dialect: dialect.name)
@given(st.binary(max_size=200) | texts)
def test_any_bytes_are_commands_or_a_fault(dialect: Dialect, frame: bytes | str) -> None:
    judge(dialect, frame)


@pytest.mark.parametrize("dialect", [JSON, PROTOBUF], ids=lambda dialect: dialect.name)
@given(built, st.data())
def test_a_damaged_frame_is_commands_or_a_fault(dialect: Dialect, command: Command, draw: st.DataObject) -> None:
    frame = bytearray(dialect.encode(command))
    for at in draw.draw(st.lists(st.integers(0, len(frame) - 1), max_size=3)):
        frame[at] = draw.draw(st.integers(0, 255))
    end = draw.draw(st.integers(0, len(frame)))
    judge(dialect, bytes(frame[:end]))


@pytest.mark.parametrize("dialect", [JSON, PROTOBUF], ids=lambda dialect: dialect.name)
@given(
    data,
    texts,
    offsets,
    st.dictionaries(texts, texts, max_size=2),
    st.none() | st.builds(ClientInfo, user=texts, client=texts),
)
def test_a_publication_arrives(
    dialect: Dialect, data: Raw, channel: str, offset: int, tags: dict[str, str], info: ClientInfo | None
) -> None:
    sent = push(Publication(data=data, offset=offset, tags=tags, info=info), channel)
    assert list(dialect.replies(dialect.encode(sent))) == [sent]
