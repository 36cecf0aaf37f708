"""Conversations of clients of sessions, made of any bytes: mostly commands that could be, often damaged.

And a server that has something of everything, which judges what comes back.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from msgspec import Raw

from hubbub.realtime import Accepted, Bounds, Client, Connected, Denied, History, Namespace, Realtime, Tokens
from hubbub.realtime.protocol import JSON, PROTOBUF, Command, Dialect, Disconnects
from hubbub.realtime.protocol import commands as c
from support.client import RawClient, encode
from support.serving import serving

__all__ = ["Conversing", "conversation"]

SECRET = "0123456789abcdef0123456789abcdef"
CHANNELS = (
    "room", "cache:x", "deltas:x", "asked:y", "denied:y", "none:z", "$private", "user#1,2", "bad name!", "", "é",
    ":", "cache:", "room\n", "x" * 300, "room2", "positioned:a",
)  # fmt: skip
NUMBERS = (0, 1, 2, 3, 5, 2**31 - 1, 2**32 - 1, 2**63 - 1)
SIGNED = (0, 1, -1, 2, 3, 2**31 - 1, -(2**31))
TEXTS = ("", "fossil", "e", "and", "or", "not", "eq", "neq", "in", "nin", "gt", "ct", "sw", "1", "\ud7ff", "x" * 500)
DATA = (b"", b"{}", b'{"text": "hi"}', b"1", b"null", b'"\\ud800"', b"[" * 60 + b"]" * 60, b"{", b"\xff", b"1\n2")
TOKENS = (
    "", "a.b.c", "..", "x" * 40, "e30.e30.", "eyJhbGciOiJub25lIn0.e30.",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.AAAA",
)  # fmt: skip
NASTY = (
    "null", "[]", "{}", "-1", "1e999", "1.5", "true", '"x"', "18446744073709551616",
    '"\\ud800"', "[" * 2000, '{"a":' * 500,
    "NaN", "",
)  # fmt: skip
MISSHAPEN = (
    '{{"id":{0},"subscribe":{{"channel":"room"}}}}',
    '{{"id":1,"subscribe":{0}}}',
    '{{"id":1,"subscribe":{{"channel":{0}}}}}',
    '{{"id":1,"subscribe":{{"channel":"room","offset":{0}}}}}',
    '{{"id":1,"connect":{0}}}',
    '{{"id":1,"connect":{{"data":{0}}}}}',
    '{{"id":1,"connect":{{"subs":{{"room":{0}}}}}}}',
    '{{"id":1,"history":{{"channel":"room","since":{0},"limit":{0}}}}}',
    '{{"id":1,"rpc":{{"method":"echo","data":{0}}}}}',
    '{{"send":{{"data":{0}}}}}',
    '{{"id":1,{0}:{{}}}}',
    "{0}",
    '{{"id":1,"subscribe":{{"channel":"room","tf":{0}}}}}',
    '{{"id":1,"publish":{{"channel":"room","data":{0}}}}}',
)
PROBE = 4_000_000_000  # the number of the last command
MOST_FRAMES = 12


class _Choices:
    """What the bytes say; when there are no more, the first of everything."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def below(self, count: int) -> int:
        byte = self._data[self._at] if self else 0
        self._at += 1
        return byte % count

    def of(self, choices: Sequence[Any]) -> Any:
        return choices[self.below(len(choices))]

    def bytes(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken


def conversation(data: bytes) -> tuple[Dialect, list[bytes]]:
    """What a client says, frame by frame."""
    choices = _Choices(data)
    dialect = (JSON, PROTOBUF)[choices.below(2)]
    frames: list[bytes] = []
    if choices.below(8):
        frames.append(dialect.encode(Command(id=1, connect=c.ConnectRequest(data=Raw(choices.of((b"{}", b'"subs"')))))))
    while choices and len(frames) < MOST_FRAMES:
        messages = [_message(choices, dialect) for _ in range(1 + choices.below(4))]
        frames.append(_damaged(choices, dialect.join(messages)))
    return dialect, frames


def _message(choices: _Choices, dialect: Dialect) -> bytes:
    how = choices.below(16)
    if how == 0:
        return choices.bytes(choices.below(40))
    if how == 1 and dialect is JSON:
        return str(choices.of(MISSHAPEN).format(choices.of(NASTY))).encode()
    if how == 2:
        return dialect.ping
    field = choices.of(tuple(_MAKERS))
    return dialect.encode(Command(id=choices.of((2, 3, 4, 0, 2**32 - 1)), **{field: _MAKERS[field](choices)}))


def _damaged(choices: _Choices, frame: bytes) -> bytes:
    how, made = choices.below(8), bytearray(frame)
    if how == 0 and made:
        for _ in range(1 + choices.below(3)):
            made[(choices.below(256) << 8 | choices.below(256)) % len(made)] = choices.below(256)
    elif how == 1:
        del made[choices.below(256) :]
    elif how == 2:
        made *= 1 + choices.below(3)
    return bytes(made)


def _filter(choices: _Choices, depth: int = 3) -> c.FilterNode:
    node = c.FilterNode(op=choices.of(TEXTS), key=choices.of(TEXTS), cmp=choices.of(TEXTS), val=choices.of(TEXTS))
    node.vals = [choices.of(TEXTS) for _ in range(choices.below(3))]
    if depth:
        node.nodes = [_filter(choices, depth - 1) for _ in range(choices.below(3))]
    return node


def _subscribe(choices: _Choices) -> c.SubscribeRequest:
    request = c.SubscribeRequest(channel=choices.of(CHANNELS))
    if choices.below(3):
        return request
    request.token = choices.of(TOKENS)
    request.recover, request.positioned, request.recoverable, request.join_leave = (
        bool(choices.below(2)) for _ in range(4)
    )
    request.epoch, request.offset, request.delta = choices.of(TEXTS), choices.of(NUMBERS), choices.of(TEXTS)
    request.flag, request.type = choices.of(SIGNED), choices.of(SIGNED)
    request.data = Raw(choices.of(DATA))
    if choices.below(2):
        request.tf = _filter(choices)
    return request


def _connect(choices: _Choices) -> c.ConnectRequest:
    subs = {choices.of(CHANNELS): _subscribe(choices) for _ in range(choices.below(3))}
    data = choices.of((*DATA, b'"subs"', b'"deny"'))
    return c.ConnectRequest(token=choices.of(TOKENS), data=Raw(data), subs=subs, headers={choices.of(TEXTS): ""})


def _history(choices: _Choices) -> c.HistoryRequest:
    since = c.StreamPosition(offset=choices.of(NUMBERS), epoch=choices.of(TEXTS)) if choices.below(2) else None
    return c.HistoryRequest(
        channel=choices.of(CHANNELS), limit=choices.of(SIGNED), since=since, reverse=bool(choices.below(2))
    )


_MAKERS: dict[str, Any] = {
    "subscribe": _subscribe,
    "publish": lambda given: c.PublishRequest(
        channel=given.of(CHANNELS), data=Raw(given.of(DATA)), type=given.of((0, 1))
    ),
    "unsubscribe": lambda given: c.UnsubscribeRequest(channel=given.of(CHANNELS)),
    "history": _history,
    "presence": lambda given: c.PresenceRequest(channel=given.of(CHANNELS)),
    "presence_stats": lambda given: c.PresenceStatsRequest(channel=given.of(CHANNELS)),
    "rpc": lambda given: c.RpcRequest(method=given.of(("echo", "typed", "later", "", "x")), data=Raw(given.of(DATA))),
    "send": lambda given: c.SendRequest(data=Raw(given.of(DATA))),
    "refresh": lambda given: c.RefreshRequest(token=given.of(TOKENS)),
    "sub_refresh": lambda given: c.SubRefreshRequest(
        channel=given.of(CHANNELS), token=given.of(TOKENS), type=given.of(SIGNED)
    ),
    "connect": _connect,
}  # fmt: skip


def everything() -> Realtime:
    """A server that has something of everything."""
    kept = Namespace(
        history=History(10, 60), allow_recovery=True, allow_positioning=True, presence=True, join_leave=True,
        allow_subscribe_for_client=True, allow_subscribe_for_anonymous=True, allow_publish_for_client=True,
        allow_publish_for_anonymous=True, allow_presence_for_client=True, allow_presence_for_anonymous=True,
        allow_history_for_client=True, allow_history_for_anonymous=True, allow_user_limited_channels=True,
        allow_tags_filter=True, publication_data_format="json",
    )  # fmt: skip
    realtime = Realtime(
        broker="memory:", anonymous=True, tokens=Tokens(hmac=SECRET), bounds=Bounds(max_channels=8),
        namespaces={
            "": kept,
            "cache": replace(kept, force_recovery=True, force_recovery_mode="cache", auto_cache_recover=True),
            "deltas": replace(kept, force_recovery=True, allowed_delta_types=("fossil",), delta_publish=True),
            "positioned": replace(kept, force_positioning=True, force_push_join_leave=True),
            "asked": Namespace(presence=True),
            "denied": Namespace(),
        },
    )  # fmt: skip

    @realtime.on_connect
    def who(client: Client, data: bytes) -> Connected | None:
        if data == b'"deny"':
            raise Denied
        return Connected(user="1", channels={"room": Accepted(), "deltas:x": Accepted()}) if data == b'"subs"' else None

    @realtime.on_subscribe("asked:*")
    async def join(client: Client, channel: str) -> Accepted:
        await asyncio.sleep(0)
        return Accepted(info={"a": 1}, expire_at=4e9)

    @realtime.on_publish("asked:*")
    def publish(client: Client, channel: str, data: dict[str, str]) -> dict[str, str]:
        return data

    @realtime.on_message
    def message(client: Client, data: list[int]) -> None:
        client.send(data)

    @realtime.rpc("echo")
    def echo(client: Client, data: bytes) -> bytes:
        return data

    @realtime.rpc("typed")
    def typed(client: Client, data: dict[str, int]) -> dict[str, int]:
        return data

    @realtime.rpc("later")
    async def later(client: Client, data: Any) -> str:
        await asyncio.sleep(0.001)
        return "later"

    return realtime


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Conversing:
    """A server, and clients that say to it what they are told to, one after the other."""

    def __init__(self, port: int, realtime: Realtime, log: _Kept) -> None:
        self._port, self._realtime, self._log = port, realtime, log

    @classmethod
    @asynccontextmanager
    async def begun(cls) -> AsyncIterator[Conversing]:
        realtime, log, logger = everything(), _Kept(), logging.getLogger("hubbub")
        level, propagates = logger.level, logger.propagate
        logger.addHandler(log)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        try:
            async with serving(realtime.handler, hub=realtime.hub) as server:
                yield cls(server.port, realtime, log)
                await realtime.close()
        finally:
            logger.removeHandler(log)
            logger.setLevel(level)
            logger.propagate = propagates

    async def say(self, dialect: Dialect, frames: Sequence[bytes]) -> int:
        """Say it, and judge the answers. Returns the code with which the server has closed the connection, or 0.

        Raises: AssertionError, TimeoutError: it did not answer as it has to.
        """
        path = "/?format=protobuf" if dialect.binary else "/"
        client = await RawClient.connect(self._port, path)
        opcode = 2 if dialect.binary else 1
        probe = dialect.encode(Command(id=PROBE, rpc=c.RpcRequest(method="echo", data=Raw(b"1"))))
        for frame in (*frames, probe):
            client.send(encode(opcode, frame))
        try:
            code = await self._hear(client, dialect)
        finally:
            RawClient.alive.remove(client)
            client.kill()
        self._judge_log()
        return code

    async def _hear(self, client: RawClient, dialect: Dialect) -> int:
        while True:
            first, payload = await client.frame()
            if first == 0x88:
                code = int(struct.unpack("!H", payload[:2])[0])
                assert code in _CODES, f"closed with {code}"
                return code
            assert first == (0x82 if dialect.binary else 0x81), payload
            for reply in dialect.replies(payload):
                assert reply.error is None or reply.error.code in _ERRORS, reply
                if reply.id == PROBE:
                    return 0

    def _judge_log(self) -> None:
        records, self._log.records[:] = list(self._log.records), []
        for record in records:
            said = record.getMessage()
            assert record.levelno < logging.WARNING or "were suppressed" in said, said
            assert record.exc_info is None, said
            assert len(said) < 600, f"a line of {len(said)} characters: {said[:100]}..."
            assert not any(token in said for token in TOKENS if len(token) > 5), said


_CODES = {1007, 1009} | {
    value.code for name, value in vars(Disconnects).items() if name in (
        "BAD_REQUEST", "INVALID_TOKEN", "EXPIRED", "SUBSCRIPTION_EXPIRED", "NOT_AVAILABLE", "INAPPROPRIATE_PROTOCOL",
        "CHANNEL_LIMIT", "CONNECTION_LIMIT",
    )
}  # fmt: skip
_ERRORS = {102, 103, 104, 105, 106, 107, 108, 109, 112}
