"""The JSON dialect: messages joined by newlines, the application's data carried through."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from hubbub.realtime.protocol import (
    JSON,
    PROTOBUF,
    Command,
    Disconnects,
    Errors,
    Fault,
    Publication,
    Unsubscribes,
    push,
    reply,
)
from hubbub.realtime.protocol.commands import PublishRequest, SubscribeRequest
from hubbub.realtime.protocol.json import MOST_MENDED, MOST_MESSAGES, quoted
from hubbub.realtime.protocol.replies import (
    ClientInfo,
    ConnectResult,
    HistoryResult,
    Join,
    Message,
    PresenceResult,
    PresenceStatsResult,
    PublishResult,
    Refresh,
    RpcResult,
    Subscribe,
    SubscribeResult,
    UnsubscribeResult,
)


def only(frame: str | bytes) -> Command:
    (command,) = JSON.commands(frame)
    return command


def test_a_frame_has_several_commands_in_order() -> None:
    first, second = JSON.commands('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"a"}}')
    assert first.connect is not None
    assert second.request == SubscribeRequest(channel="a")
    assert (first.id, second.id) == (1, 2)


def test_one_newline_at_the_end_is_tolerated() -> None:
    assert only('{"id":1,"connect":{}}\n').id == 1


def test_a_binary_frame_is_read_the_same() -> None:
    assert only('{"id":1,"rpc":{"method":"ä"}}'.encode()).rpc.method == "ä"  # type: ignore[union-attr]


@pytest.mark.parametrize("data", ["null", "0", '"x"', "[1, 2]", '{"a" : {"b":[]}}', '"\\u00e4 \\n"', "1e400", "true"])
def test_data_is_carried_as_it_is(data: str) -> None:
    (command,) = JSON.commands('{"id":1,"publish":{"channel":"a","data":%s}}' % data)  # noqa: UP031
    assert isinstance(command.request, PublishRequest)
    assert bytes(command.request.data) == data.encode()


def test_data_that_is_missing_is_empty_and_null_is_data() -> None:
    assert bytes(only('{"id":1,"publish":{"channel":"a"}}').publish.data) == b""  # type: ignore[union-attr]
    assert bytes(only('{"id":1,"publish":{"channel":"a","data":null}}').publish.data) == b"null"  # type: ignore[union-attr]


def test_unknown_fields_are_passed_over() -> None:
    assert only('{"id":1,"more":[{}],"subscribe":{"channel":"a","phase":2,"x":{"y":null}}}').request == (
        SubscribeRequest(channel="a")
    )


def test_every_field_of_a_connect_is_read() -> None:
    request = only(
        '{"id":1,"connect":{"token":"t","data":{"a":1},"name":"js","version":"5","headers":{"h":"v"},"flag":1,'
        '"subs":{"a":{"recover":true,"offset":7,"epoch":"e","delta":"fossil"}}}}'
    ).connect
    assert request is not None
    assert (request.token, bytes(request.data), request.name, request.version) == ("t", b'{"a":1}', "js", "5")
    assert (request.headers, request.flag) == ({"h": "v"}, 1)
    assert request.subs == {"a": SubscribeRequest(recover=True, offset=7, epoch="e", delta="fossil")}


@pytest.mark.parametrize("what", ["{}", '{"connect":{}}', '{"id":0,"publish":{"channel":"a"}}'])
def test_what_has_no_number_is_a_pong(what: str) -> None:
    assert only(what).pong


def test_a_send_needs_no_number() -> None:
    command = only('{"send":{"data":1}}')
    assert not command.pong
    assert command.request is command.send


def test_of_several_requests_the_first_of_the_protocol_counts_and_ping_never() -> None:
    command = only('{"id":1,"rpc":{"method":"x"},"ping":{},"publish":{"channel":"a"},"send":{}}')
    assert command.request is command.publish
    assert only('{"id":1,"ping":{}}').request is None


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "\n",
        "{}\n\n",
        "{}\n\n{}",
        "\n{}",
        "null",
        "[]",
        "1",
        '"x"',
        "{",
        "{}{}",
        "{'id':1}",
        '{"id":-1}',
        '{"id":4294967296}',
        '{"id":1.5}',
        '{"id":"1"}',
        '{"id":true}',
        '{"id":1,"connect":[]}',
        '{"id":1,"connect":{"token":1}}',
        '{"id":1,"connect":{"subs":{"a":1}}}',
        '{"id":1,"subscribe":{"offset":-1}}',
        '{"id":1,"subscribe":{"offset":18446744073709551616}}',
        '{"id":1,"history":{"limit":2147483648}}',
        '{"id":1,"history":{"since":{"offset":1e3}}}',
        '{"id":1,"publish":{"channel":"a","data":{"x":}}}',
        '{"id":1,"publish":{"channel":"a","data":01}}',
        '{"id":1,"publish":{"channel":"a","data":"\x01"}}',
        '{"id":1,"publish":{"channel":"a","data":"\\q"}}',
        '{"id":1,"publish":{"channel":"a","data":"\\ud83d',
        '{"id":1,"publish":{"channel":"a","data":' + "[" * 100_000,
        '{"id":1,"publish":{"channel":"a","data":' + "[" * 100_000 + "]" * 100_000 + "}}",
        '{"x":' * 100_000,
        b"\xff",
        b'{"id":1,"publish":{"channel":"a","data":"\xc3"}}',
        b'{"id":1,"publish":{"channel":"a","data":"\xed\xa0\x80"}}',
        "{}\n" * (MOST_MESSAGES + 1),
    ],
    ids=lambda frame: repr(frame[:60]),
)
def test_what_is_no_command_is_a_bad_request(frame: str | bytes) -> None:
    with pytest.raises(Fault) as raised:
        list(JSON.commands(frame))
    assert raised.value.verdict is Disconnects.BAD_REQUEST
    assert len(str(raised.value)) < 200


def test_what_stands_before_a_bad_command_is_good() -> None:
    found = JSON.commands('{"id":1,"connect":{}}\nnonsense')
    assert next(found).connect is not None
    with pytest.raises(Fault):
        next(found)


def test_as_many_messages_as_a_frame_may_have() -> None:
    assert len(list(JSON.commands("{}\n" * MOST_MESSAGES))) == MOST_MESSAGES


@pytest.mark.parametrize(("sent", "read"), [(0, 0), (2**63 - 1, 2**63 - 1), (2**64 - 1, 2**63 - 1)])
def test_an_offset_is_at_most_what_brokers_count_to(sent: int, read: int) -> None:
    assert only(f'{{"id":1,"subscribe":{{"offset":{sent}}}}}').subscribe.offset == read  # type: ignore[union-attr]
    assert only(f'{{"id":1,"history":{{"since":{{"offset":{sent}}}}}}}').history.since.offset == read  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("cut \\ud83d", "cut \\ufffd"),
        ("\\ude00 x", "\\ufffd x"),
        ("\\ud83d\\ud83d\\ude00", "\\ufffd\\ud83d\\ude00"),
        ("\\ud83d\\\\ud83d", "\\ufffd\\\\ud83d"),
        ("\\uD83D\\n", "\\ufffd\\n"),
    ],
)
def test_half_an_emoji_does_not_cost_the_connection(sent: str, kept: str) -> None:
    command = only('{"id":1,"publish":{"channel":"a","data":"%s"}}' % sent)  # noqa: UP031
    assert bytes(command.publish.data) == f'"{kept}"'.encode()  # type: ignore[union-attr]


def test_a_field_that_is_null_is_one_that_is_left_out() -> None:
    subs = '{"a":{"token":null,"data":null,"offset":7}}'
    command = only(f'{{"id":1,"rpc":null,"connect":{{"token":null,"data":{{"x":null}},"name":"n","subs":{subs}}}}}')
    assert command.rpc is None
    assert command.connect is not None
    assert (command.connect.token, command.connect.name) == ("", "n")
    assert bytes(command.connect.data) == b'{"x":null}'
    assert command.connect.subs == {"a": SubscribeRequest(offset=7, data=Raw(b"null"))}


def test_a_message_that_is_large_gets_no_second_chance() -> None:
    with pytest.raises(Fault):
        only('{"id":1,"rpc":{"method":null,"data":"%s"}}' % ("x" * MOST_MENDED))


INFO = ClientInfo(user="", client="c1")


@pytest.mark.parametrize(
    ("message", "written"),
    [
        (reply(1, Errors.INTERNAL), {"id": 1, "error": {"code": 100, "message": "internal server error", "temporary": True}}),  # noqa: E501
        (reply(2, Errors.BAD_REQUEST), {"id": 2, "error": {"code": 107, "message": "bad request"}}),
        (reply(3, ConnectResult(client="c", ping=25, pong=True)), {"id": 3, "connect": {"client": "c", "ping": 25, "pong": True}}),  # noqa: E501
        (reply(4, SubscribeResult()), {"id": 4, "subscribe": {}}),
        (
            reply(5, SubscribeResult(recovered=True, epoch="e", publications=[Publication(data=Raw(b"1"), offset=2)])),
            {"id": 5, "subscribe": {"recovered": True, "epoch": "e", "publications": [{"data": 1, "offset": 2}]}},
        ),
        (reply(6, PublishResult()), {"id": 6, "publish": {}}),
        (reply(6, UnsubscribeResult()), {"id": 6, "unsubscribe": {}}),
        (reply(7, PresenceResult(presence={})), {"id": 7, "presence": {"presence": {}}}),
        (reply(7, PresenceResult(presence={"c1": INFO})), {"id": 7, "presence": {"presence": {"c1": {"user": "", "client": "c1"}}}}),  # noqa: E501
        (reply(8, PresenceStatsResult(num_clients=0, num_users=0)), {"id": 8, "presence_stats": {"num_clients": 0, "num_users": 0}}),  # noqa: E501
        (reply(9, HistoryResult(publications=[], epoch="", offset=0)), {"id": 9, "history": {"publications": [], "epoch": "", "offset": 0}}),  # noqa: E501
        (reply(9, RpcResult(data=Raw(b"null"))), {"id": 9, "rpc": {"data": None}}),
        (push(Publication(data=Raw(b"[]"), tags={"a": "b"}), "ch"), {"push": {"channel": "ch", "pub": {"data": [], "tags": {"a": "b"}}}}),  # noqa: E501
        (push(Join(info=INFO), "ch"), {"push": {"channel": "ch", "join": {"info": {"user": "", "client": "c1"}}}}),
        (push(Unsubscribes.SERVER, "ch"), {"push": {"channel": "ch", "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}}}),  # noqa: E501
        (push(Message(data=Raw(b"1"))), {"push": {"message": {"data": 1}}}),
        (push(Refresh(expires=True, ttl=60)), {"push": {"refresh": {"expires": True, "ttl": 60}}}),
        (push(Subscribe(recoverable=True, epoch="e", offset=3), "ch"), {"push": {"channel": "ch", "subscribe": {"recoverable": True, "epoch": "e", "offset": 3}}}),  # noqa: E501
        (push(Disconnects.SHUTDOWN), {"push": {"disconnect": {"code": 3001, "reason": "shutdown"}}}),
    ],
)  # fmt: skip
def test_what_is_empty_is_left_out_except_where_clients_need_it(message: Any, written: dict[str, Any]) -> None:
    encoded = JSON.encode(message)
    assert json.loads(encoded) == written
    assert list(JSON.replies(encoded)) == [message]


def test_newlines_between_values_do_not_part_a_message() -> None:
    data = Raw(b'{\n  "a": "b\\n"\n}\n')
    encoded = JSON.encode(push(Publication(data=data), "ch"))
    assert b"\n" not in encoded
    assert json.loads(encoded)["push"]["pub"]["data"] == {"a": "b\n"}


def test_messages_are_joined_by_newlines() -> None:
    assert JSON.join([b"{}", b"{}"]) == b"{}\n{}"


@pytest.mark.parametrize("data", [b"", b"\xff", b'"\xff"', b"{", b"1 2", b"[" * 100_000])
def test_data_of_other_dialects_may_be_no_json(data: bytes) -> None:
    assert not JSON.carries(data)
    assert PROTOBUF.carries(data)


def test_a_document_becomes_a_text() -> None:
    assert json.loads(bytes(quoted('{"a":"ä"}'.encode()))) == '{"a":"ä"}'
