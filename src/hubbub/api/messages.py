"""What programs ask of the HTTP API, and what they are answered.

Fields that are not known are passed over, and null is as if a field were not there, but for data, info and params.
What is zero, false or empty is left out of an answer, unless its field has no default.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Raw, Struct

from hubbub.brokers import Position
from hubbub.realtime import Error
from hubbub.realtime.protocol import NOTHING, ClientInfo, Errors, Fault
from hubbub.realtime.protocol.records import I32, I64, U32, U64, bounded

__all__ = [
    "Batch",
    "Broadcast",
    "BroadcastResult",
    "Channels",
    "ChannelsResult",
    "Command",
    "Disconnect",
    "Empty",
    "History",
    "HistoryRemove",
    "HistoryResult",
    "Info",
    "InfoResult",
    "NodeResult",
    "NumClients",
    "Presence",
    "PresenceResult",
    "PresenceStats",
    "PresenceStatsResult",
    "Publication",
    "Publish",
    "PublishResult",
    "Refresh",
    "Result",
    "Rpc",
    "RpcResult",
    "Since",
    "Subscribe",
    "Unsubscribe",
    "content",
    "position",
]


Version: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Content(Struct):
    """What is published, and how."""

    data: Raw = NOTHING
    b64data: str | None = None
    skip_history: bool | None = None
    tags: dict[str, str] | None = None
    idempotency_key: str | None = None
    delta: bool | None = None
    version: Version | None = None
    version_epoch: str | None = None


class Publish(Content):
    channel: str | None = None


class Broadcast(Content):
    channels: list[str] | None = None


class Since(Struct):
    """A position."""

    offset: U64 | None = None
    epoch: str | None = None


class Chosen(Struct):
    value: bool | None = None


class Override(Struct):
    presence: Chosen | None = None
    join_leave: Chosen | None = None
    force_push_join_leave: Chosen | None = None
    force_recovery: Chosen | None = None
    force_positioning: Chosen | None = None


class Who(Struct):
    """Which sessions: those of a user, or of these the one of that client or session."""

    user: str | None = None
    client: str | None = None
    session: str | None = None


class Subscribe(Who):
    channel: str | None = None
    info: Raw = NOTHING
    b64info: str | None = None
    data: Raw = NOTHING
    b64data: str | None = None
    expire_at: I64 | None = None
    recover_since: Since | None = None
    override: Override | None = None


class Unsubscribe(Who):
    channel: str | None = None


class Ending(Struct):
    code: U32 | None = None
    reason: str | None = None


class Disconnect(Who):
    whitelist: list[str] | None = None
    disconnect: Ending | None = None


class Refresh(Who):
    expired: bool | None = None
    expire_at: I64 | None = None
    info: Raw = NOTHING


class Presence(Struct):
    channel: str | None = None


class PresenceStats(Struct):
    channel: str | None = None


class History(Struct):
    channel: str | None = None
    limit: I32 | None = None
    since: Since | None = None
    reverse: bool | None = None


class HistoryRemove(Struct):
    channel: str | None = None


class Channels(Struct):
    pattern: str | None = None


class Info(Struct):
    pass


class Rpc(Struct):
    method: str | None = None
    params: Raw = NOTHING


class Command(Struct):
    """One of a batch: the first field that is set counts."""

    publish: Publish | None = None
    broadcast: Broadcast | None = None
    subscribe: Subscribe | None = None
    unsubscribe: Unsubscribe | None = None
    disconnect: Disconnect | None = None
    history: History | None = None
    history_remove: HistoryRemove | None = None
    presence: Presence | None = None
    presence_stats: PresenceStats | None = None
    info: Info | None = None
    rpc: Rpc | None = None
    refresh: Refresh | None = None
    channels: Channels | None = None


class Batch(Struct):
    commands: list[Command | None] | None = None
    parallel: bool | None = None


class PublishResult(Struct, omit_defaults=True):
    offset: int = 0
    epoch: str = ""


class BroadcastResult(Struct):
    responses: list[dict[str, PublishResult | Error]]


class Empty(Struct):
    """It is done, and there is nothing to tell."""


class PresenceResult(Struct):
    presence: dict[str, ClientInfo]


class PresenceStatsResult(Struct):
    num_clients: int
    num_users: int


class Publication(Struct, omit_defaults=True):
    data: Raw = NOTHING
    info: ClientInfo | None = None
    offset: int = 0
    tags: dict[str, str] = {}


class HistoryResult(Struct):
    publications: list[Publication]
    epoch: str
    offset: int


class NumClients(Struct, omit_defaults=True):
    num_clients: int = 0


class ChannelsResult(Struct):
    channels: dict[str, NumClients]


class NodeResult(Struct, kw_only=True):
    uid: str
    name: str
    version: str
    num_clients: int
    num_users: int
    num_channels: int
    uptime: int
    num_subs: int


class InfoResult(Struct):
    nodes: list[NodeResult]


class RpcResult(Struct, omit_defaults=True):
    data: Raw = NOTHING


Result: TypeAlias = (
    PublishResult
    | BroadcastResult
    | Empty
    | PresenceResult
    | PresenceStatsResult
    | HistoryResult
    | ChannelsResult
    | InfoResult
    | RpcResult
)


def content(plain: Any, encoded: str | None) -> bytes:
    """What data or info hold: the one in base64 counts. Raises: Fault: it is no base64."""
    if not encoded:
        return bytes(plain)
    try:
        return b64decode(encoded, validate=True)
    except ValueError:
        raise Fault(Errors.BAD_REQUEST, "b64data or b64info that is no base64") from None


def position(since: Since | None) -> Position | None:
    """Where a program says that it stands. Raises: Fault: an offset of more than 64 bits."""
    if since is None:
        return None
    try:
        return Position(bounded(since.offset or 0), since.epoch or "")
    except ValueError as error:
        raise Fault(Errors.BAD_REQUEST, str(error)) from None
