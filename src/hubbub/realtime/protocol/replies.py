"""Replies and pushes: what servers send."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from hubbub.realtime.protocol.codes import Disconnect, Error, Unsubscribe
from hubbub.realtime.protocol.records import I32, I64, NOTHING, U32, U64, Data, Record

__all__ = [
    "Body",
    "ClientInfo",
    "Connect",
    "ConnectResult",
    "HistoryResult",
    "Join",
    "Leave",
    "Message",
    "PingResult",
    "PresenceResult",
    "PresenceStatsResult",
    "Publication",
    "PublishResult",
    "Push",
    "Refresh",
    "RefreshResult",
    "Reply",
    "Result",
    "RpcResult",
    "SubRefreshResult",
    "Subscribe",
    "SubscribeResult",
    "UnsubscribeResult",
    "push",
    "reply",
]


class ClientInfo(Record):
    """A client, as others see it."""

    user: Annotated[str, 1]
    """"": anonymous."""
    client: Annotated[str, 2]
    """Of its connection alone."""
    conn_info: Annotated[Data, 3] = NOTHING
    """What its token or the connect handler says of it, in JSON."""
    chan_info: Annotated[Data, 4] = NOTHING
    """What its subscription token or the subscribe handler says of it in this channel, in JSON."""


class Publication(Record):
    """Data in a channel."""

    data: Annotated[Data, 4] = NOTHING
    """As it was published: `bytes(publication.data)`, usually JSON."""
    info: Annotated[ClientInfo | None, 5] = None
    """Who published it, if a client did."""
    offset: Annotated[U64, 6] = 0
    """0: it is not kept."""
    tags: Annotated[dict[str, str], 7] = {}
    """For clients that choose by them."""
    delta: Annotated[bool, 8] = False
    """The data is a patch of the publication before it."""
    epoch: Annotated[str, 14] = ""
    """Only of the first one of a history."""


class SubscribeResult(Record):
    expires: Annotated[bool, 1] = False
    ttl: Annotated[U32, 2] = 0
    recoverable: Annotated[bool, 3] = False
    epoch: Annotated[str, 6] = ""
    publications: Annotated[list[Publication], 7] = []
    recovered: Annotated[bool, 8] = False
    offset: Annotated[U64, 9] = 0
    positioned: Annotated[bool, 10] = False
    data: Annotated[Data, 11] = NOTHING
    was_recovering: Annotated[bool, 12] = False
    delta: Annotated[bool, 13] = False
    id: Annotated[I64, 14] = 0
    type: Annotated[I32, 15] = 0


class ConnectResult(Record):
    client: Annotated[str, 1] = ""
    version: Annotated[str, 2] = ""
    expires: Annotated[bool, 3] = False
    ttl: Annotated[U32, 4] = 0
    data: Annotated[Data, 5] = NOTHING
    subs: Annotated[dict[str, SubscribeResult], 6] = {}
    ping: Annotated[U32, 7] = 0
    pong: Annotated[bool, 8] = False
    session: Annotated[str, 9] = ""
    node: Annotated[str, 10] = ""
    time: Annotated[I64, 11] = 0


class UnsubscribeResult(Record):
    pass


class PublishResult(Record):
    pass


class PresenceResult(Record):
    presence: Annotated[dict[str, ClientInfo], 1]


class PresenceStatsResult(Record):
    num_clients: Annotated[U32, 1]
    num_users: Annotated[U32, 2]


class HistoryResult(Record):
    """A part of a channel's history, and where the channel stands."""

    publications: Annotated[list[Publication], 1]
    epoch: Annotated[str, 2]
    offset: Annotated[U64, 3]
    """Of the latest publication, whether it is among them or not."""


class PingResult(Record):
    pass


class RpcResult(Record):
    data: Annotated[Data, 1] = NOTHING


class RefreshResult(Record):
    expires: Annotated[bool, 3] = False
    ttl: Annotated[U32, 4] = 0


class SubRefreshResult(Record):
    expires: Annotated[bool, 1] = False
    ttl: Annotated[U32, 2] = 0


class Join(Record):
    info: Annotated[ClientInfo, 1]


class Leave(Record):
    info: Annotated[ClientInfo, 1]


class Message(Record):
    """What the server sends to one client alone, in no channel."""

    data: Annotated[Data, 1] = NOTHING


class Subscribe(Record):
    """The server has subscribed the client."""

    recoverable: Annotated[bool, 1] = False
    epoch: Annotated[str, 4] = ""
    offset: Annotated[U64, 5] = 0
    positioned: Annotated[bool, 6] = False
    data: Annotated[Data, 7] = NOTHING


class Connect(Record):
    """What a connect result says, where the client cannot ask: over unidirectional transports."""

    client: Annotated[str, 1] = ""
    version: Annotated[str, 2] = ""
    data: Annotated[Data, 3] = NOTHING
    subs: Annotated[dict[str, SubscribeResult], 4] = {}
    expires: Annotated[bool, 5] = False
    ttl: Annotated[U32, 6] = 0
    ping: Annotated[U32, 7] = 0
    pong: Annotated[bool, 8] = False
    session: Annotated[str, 9] = ""
    node: Annotated[str, 10] = ""
    time: Annotated[I64, 11] = 0


class Refresh(Record):
    expires: Annotated[bool, 1] = False
    ttl: Annotated[U32, 2] = 0


class Push(Record):
    """What a client did not ask for."""

    id: Annotated[I64, 1] = 0
    channel: Annotated[str, 2] = ""
    pub: Annotated[Publication | None, 4] = None
    join: Annotated[Join | None, 5] = None
    leave: Annotated[Leave | None, 6] = None
    unsubscribe: Annotated[Unsubscribe | None, 7] = None
    message: Annotated[Message | None, 8] = None
    subscribe: Annotated[Subscribe | None, 9] = None
    connect: Annotated[Connect | None, 10] = None
    disconnect: Annotated[Disconnect | None, 11] = None
    refresh: Annotated[Refresh | None, 12] = None


class Reply(Record):
    """A result or an error, with the number of its command; a push; or, empty, a ping."""

    id: Annotated[U32, 1] = 0
    error: Annotated[Error | None, 2] = None
    push: Annotated[Push | None, 4] = None
    connect: Annotated[ConnectResult | None, 5] = None
    subscribe: Annotated[SubscribeResult | None, 6] = None
    unsubscribe: Annotated[UnsubscribeResult | None, 7] = None
    publish: Annotated[PublishResult | None, 8] = None
    presence: Annotated[PresenceResult | None, 9] = None
    presence_stats: Annotated[PresenceStatsResult | None, 10] = None
    history: Annotated[HistoryResult | None, 11] = None
    ping: Annotated[PingResult | None, 12] = None
    rpc: Annotated[RpcResult | None, 13] = None
    refresh: Annotated[RefreshResult | None, 14] = None
    sub_refresh: Annotated[SubRefreshResult | None, 15] = None


Result: TypeAlias = (
    ConnectResult
    | SubscribeResult
    | UnsubscribeResult
    | PublishResult
    | PresenceResult
    | PresenceStatsResult
    | HistoryResult
    | RpcResult
    | RefreshResult
    | SubRefreshResult
)
Body: TypeAlias = (
    Publication | Join | Leave | Unsubscribe | Message | Subscribe | Connect | Disconnect | Refresh
)  # of a push

_FIELD_OF_RESULT: dict[type[Record], str] = {
    Error: "error",
    ConnectResult: "connect",
    SubscribeResult: "subscribe",
    UnsubscribeResult: "unsubscribe",
    PublishResult: "publish",
    PresenceResult: "presence",
    PresenceStatsResult: "presence_stats",
    HistoryResult: "history",
    RpcResult: "rpc",
    RefreshResult: "refresh",
    SubRefreshResult: "sub_refresh",
}
_FIELD_OF_BODY: dict[type[Record], str] = {
    Publication: "pub",
    Join: "join",
    Leave: "leave",
    Unsubscribe: "unsubscribe",
    Message: "message",
    Subscribe: "subscribe",
    Connect: "connect",
    Disconnect: "disconnect",
    Refresh: "refresh",
}


def reply(id: int, result: Result | Error) -> Reply:
    """What answers the command with that number."""
    fields: dict[str, Any] = {_FIELD_OF_RESULT[type(result)]: result}
    return Reply(id=id, **fields)


def push(body: Body, channel: str = "") -> Reply:
    """What tells the client of something; `message`, `disconnect` and `refresh` concern no channel."""
    fields: dict[str, Any] = {_FIELD_OF_BODY[type(body)]: body}
    return Reply(push=Push(channel=channel, **fields))
