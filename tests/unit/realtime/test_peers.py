"""What we write, read by the published Python client, and the other way round."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from msgspec import Raw

from hubbub.realtime import fossil
from hubbub.realtime.protocol import JSON, PROTOBUF, Dialect, Errors, Publication, Unsubscribes, push, reply
from hubbub.realtime.protocol.commands import (
    ConnectRequest,
    FilterNode,
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
from hubbub.realtime.protocol.replies import (
    ClientInfo,
    Connect,
    ConnectResult,
    HistoryResult,
    Join,
    Leave,
    Message,
    PresenceResult,
    PresenceStatsResult,
    PublishResult,
    Refresh,
    RefreshResult,
    RpcResult,
    SubRefreshResult,
    Subscribe,
    SubscribeResult,
    UnsubscribeResult,
)

codecs = pytest.importorskip("centrifuge.codecs", reason="pip install centrifuge-python")
theirs = pytest.importorskip("centrifuge.protocol.client_pb2", reason="pip install centrifuge-python")
json_format = pytest.importorskip("google.protobuf.json_format")

ENCODERS = {JSON: codecs._JsonCodec, PROTOBUF: codecs._ProtobufCodec}
INFO = ClientInfo(user="u", client="c", conn_info=Raw(b"1"), chan_info=Raw(b"2"))
PUBLICATION = Publication(data=Raw(b"{}"), info=INFO, offset=2**40, tags={"a": "b"}, delta=True)
POSITION = {"epoch": "e", "offset": 7}
LIFE = {"expires": True, "ttl": 9}
SUBSCRIBED = SubscribeResult(
    **POSITION,
    **LIFE,
    recoverable=True,
    positioned=True,
    recovered=True,
    was_recovering=True,
    delta=True,
    data=Raw(b"3"),
    publications=[PUBLICATION],
)  # type: ignore[arg-type]
CONNECTED: dict[str, Any] = {
    **LIFE, "client": "c", "version": "v", "data": Raw(b"4"), "subs": {"a": SUBSCRIBED}, "ping": 25, "pong": True,
    "session": "s", "node": "n", "time": 5,
}  # fmt: skip


@pytest.mark.parametrize(
    "message",
    [
        reply(1, Errors.INTERNAL),
        reply(1, ConnectResult(**CONNECTED)),
        reply(1, SUBSCRIBED),
        reply(1, UnsubscribeResult()),
        reply(1, PublishResult()),
        reply(1, PresenceResult(presence={"c": INFO})),
        reply(1, PresenceStatsResult(num_clients=2, num_users=1)),
        reply(1, HistoryResult(publications=[PUBLICATION], epoch="e", offset=7)),
        reply(1, RpcResult(data=Raw(b"5"))),
        reply(1, RefreshResult(expires=True, ttl=9)),
        reply(1, SubRefreshResult(expires=True, ttl=9)),
        push(PUBLICATION, "a"),
        push(Join(info=INFO), "a"),
        push(Leave(info=INFO), "a"),
        push(Unsubscribes.SERVER, "a"),
        push(Message(data=Raw(b"6"))),
        push(Subscribe(epoch="e", offset=7, recoverable=True, positioned=True, data=Raw(b"7")), "a"),
        push(Connect(**CONNECTED)),
        push(Refresh(expires=True, ttl=9)),
    ],
)
def test_the_published_client_reads_our_replies(message: Any) -> None:
    """Both dialects say the same to it: so each field has its number and its type."""
    (read,) = codecs._ProtobufCodec.decode_replies(PROTOBUF.encode(message))
    asked = json_format.ParseDict(read, theirs.Reply())
    assert asked.SerializeToString(deterministic=True) == _as_theirs(JSON.encode(message))


def _as_theirs(encoded: bytes) -> bytes:
    """A JSON reply as the published client's Protobuf: data is bytes there."""

    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: base64.b64encode(json.dumps(one).encode()).decode()
                if key in ("data", "conn_info", "chan_info")
                else turned(one)
                for key, one in value.items()
            }
        return [turned(one) for one in value] if isinstance(value, list) else value

    made: bytes = json_format.ParseDict(turned(json.loads(encoded)), theirs.Reply()).SerializeToString(
        deterministic=True
    )
    return made


FILTER = {"op": "not", "nodes": [{"key": "k", "cmp": "in", "vals": ["x"]}]}
WISHES = {"recover": True, "positioned": True, "recoverable": True, "join_leave": True, "delta": "fossil", "flag": 3}
WISHED: dict[str, Any] = {
    **WISHES,
    **POSITION,
    "tf": FilterNode(op="not", nodes=[FilterNode(key="k", cmp="in", vals=["x"])]),
}
REQUESTS: list[tuple[dict[str, Any], Any]] = [
    (
        {"connect": {"token": "t", "name": "py", "version": "1", "headers": {"a": "b"}, "subs": {"a": POSITION}}},
        ConnectRequest(
            token="t", name="py", version="1", headers={"a": "b"}, subs={"a": SubscribeRequest(epoch="e", offset=7)}
        ),
    ),
    ({"subscribe": {"channel": "a", **WISHES, **POSITION, "tf": FILTER}}, SubscribeRequest(channel="a", **WISHED)),
    ({"unsubscribe": {"channel": "a"}}, UnsubscribeRequest(channel="a")),
    ({"publish": {"channel": "a"}}, PublishRequest(channel="a")),
    ({"presence": {"channel": "a"}}, PresenceRequest(channel="a")),
    ({"presence_stats": {"channel": "a"}}, PresenceStatsRequest(channel="a")),
    (
        {"history": {"channel": "a", "limit": -1, "since": POSITION, "reverse": True}},
        HistoryRequest(channel="a", limit=-1, since=StreamPosition(offset=7, epoch="e"), reverse=True),
    ),
    ({"rpc": {"method": "m"}}, RpcRequest(method="m")),
    ({"send": {}}, SendRequest()),
    ({"refresh": {"token": "t"}}, RefreshRequest(token="t")),
    ({"sub_refresh": {"channel": "a", "token": "t"}}, SubRefreshRequest(channel="a", token="t")),
]


@pytest.mark.parametrize("dialect", [JSON, PROTOBUF], ids=lambda dialect: dialect.name)
def test_we_read_the_published_clients_commands(dialect: Dialect) -> None:
    sent = [{"id": number, **command} for number, (command, _) in enumerate(REQUESTS, 1)]
    frame = ENCODERS[dialect].encode_commands(sent)
    read = list(dialect.commands(frame))
    assert [command.id for command in read] == [command["id"] for command in sent]
    for command, (_, request) in zip(read, REQUESTS, strict=True):
        assert command.request == request
    again = dialect.join([dialect.encode(command) for command in read])
    assert list(dialect.commands(again)) == read
    if dialect is PROTOBUF:
        assert again == frame


def test_the_published_client_applies_our_patches() -> None:
    from centrifuge.fossil import apply_delta

    before = json.dumps({"names": ["Zoë 😀"] * 9, "score": 1}, ensure_ascii=False).encode()
    after = before.replace("ë".encode(), "é".encode(), 2).replace(b"1", b"2")
    assert apply_delta(before, fossil.create(before, after)) == after
