"""Commands: what clients send."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from hubbub.realtime.protocol.records import I32, I64, NOTHING, U32, U64, Data, Record, bounded

__all__ = [
    "Command",
    "ConnectRequest",
    "FilterNode",
    "HistoryRequest",
    "PingRequest",
    "PresenceRequest",
    "PresenceStatsRequest",
    "PublishRequest",
    "RefreshRequest",
    "Request",
    "RpcRequest",
    "SendRequest",
    "StreamPosition",
    "SubRefreshRequest",
    "SubscribeRequest",
    "UnsubscribeRequest",
]


class StreamPosition(Record):
    """Where in a channel's history a client stands."""

    offset: Annotated[U64, 1] = 0
    epoch: Annotated[str, 2] = ""

    def __post_init__(self) -> None:
        self.offset = bounded(self.offset)


class FilterNode(Record):
    """A condition on a publication's tags, or several joined by `op`: "and", "or", "not"."""

    op: Annotated[str, 1] = ""
    key: Annotated[str, 2] = ""
    cmp: Annotated[str, 3] = ""
    val: Annotated[str, 4] = ""
    vals: Annotated[list[str], 5] = []
    nodes: Annotated[list[FilterNode], 6] = []


class SubscribeRequest(Record):
    """Subscribe to a channel; in a connect request, the position in one that the server subscribes to."""

    channel: Annotated[str, 1] = ""
    token: Annotated[str, 2] = ""
    recover: Annotated[bool, 3] = False
    epoch: Annotated[str, 6] = ""
    offset: Annotated[U64, 7] = 0
    data: Annotated[Data, 8] = NOTHING
    positioned: Annotated[bool, 9] = False
    recoverable: Annotated[bool, 10] = False
    join_leave: Annotated[bool, 11] = False
    delta: Annotated[str, 12] = ""
    tf: Annotated[FilterNode | None, 13] = None
    flag: Annotated[I64, 14] = 0
    """1: numbers instead of names of channels are understood. 2: error 112 instead of a failed recovery."""
    type: Annotated[I32, 15] = 0
    """0: a stream. Maps (1 to 3) and shared polls (4) are refused, so what else these send is passed over."""

    def __post_init__(self) -> None:
        self.offset = bounded(self.offset)


class ConnectRequest(Record):
    """The first command of every connection."""

    token: Annotated[str, 1] = ""
    data: Annotated[Data, 2] = NOTHING
    subs: Annotated[dict[str, SubscribeRequest], 3] = {}
    name: Annotated[str, 4] = ""
    version: Annotated[str, 5] = ""
    headers: Annotated[dict[str, str], 6] = {}
    flag: Annotated[I64, 7] = 0


class UnsubscribeRequest(Record):
    channel: Annotated[str, 1] = ""


class PublishRequest(Record):
    channel: Annotated[str, 1] = ""
    data: Annotated[Data, 2] = NOTHING
    type: Annotated[I32, 3] = 0  # 1: into a map


class PresenceRequest(Record):
    channel: Annotated[str, 1] = ""


class PresenceStatsRequest(Record):
    channel: Annotated[str, 1] = ""


class HistoryRequest(Record):
    channel: Annotated[str, 1] = ""
    limit: Annotated[I32, 7] = 0
    """0: the position only; -1: all."""
    since: Annotated[StreamPosition | None, 8] = None
    reverse: Annotated[bool, 9] = False


class PingRequest(Record):
    """Clients do not send it: a pong is an empty command."""


class SendRequest(Record):
    data: Annotated[Data, 1] = NOTHING


class RpcRequest(Record):
    data: Annotated[Data, 1] = NOTHING
    method: Annotated[str, 2] = ""


class RefreshRequest(Record):
    token: Annotated[str, 1] = ""


class SubRefreshRequest(Record):
    channel: Annotated[str, 1] = ""
    token: Annotated[str, 2] = ""
    type: Annotated[I32, 3] = 0  # 1 and 2: of a shared poll


Request: TypeAlias = (
    ConnectRequest
    | SubscribeRequest
    | UnsubscribeRequest
    | PublishRequest
    | PresenceRequest
    | PresenceStatsRequest
    | HistoryRequest
    | RpcRequest
    | SendRequest
    | RefreshRequest
    | SubRefreshRequest
)


class Command(Record):
    """A request and its number, which the reply repeats."""

    id: Annotated[U32, 1] = 0
    connect: Annotated[ConnectRequest | None, 4] = None
    subscribe: Annotated[SubscribeRequest | None, 5] = None
    unsubscribe: Annotated[UnsubscribeRequest | None, 6] = None
    publish: Annotated[PublishRequest | None, 7] = None
    presence: Annotated[PresenceRequest | None, 8] = None
    presence_stats: Annotated[PresenceStatsRequest | None, 9] = None
    history: Annotated[HistoryRequest | None, 10] = None
    ping: Annotated[PingRequest | None, 11] = None
    send: Annotated[SendRequest | None, 12] = None
    rpc: Annotated[RpcRequest | None, 13] = None
    refresh: Annotated[RefreshRequest | None, 14] = None
    sub_refresh: Annotated[SubRefreshRequest | None, 15] = None

    @property
    def request(self) -> Request | None:
        """What is asked for. If there are several, the first in this order counts; `ping` counts never."""
        return (
            self.connect
            or self.subscribe
            or self.unsubscribe
            or self.publish
            or self.presence
            or self.presence_stats
            or self.history
            or self.rpc
            or self.send
            or self.refresh
            or self.sub_refresh
        )

    @property
    def pong(self) -> bool:
        """Whether it answers a ping: so does whatever has no number, except `send`."""
        return self.id == 0 and self.send is None
