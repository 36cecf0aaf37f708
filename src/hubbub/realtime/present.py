"""Who of this node is present. The node tells the broker, and again when that may have forgotten."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hubbub.brokers import Change
from hubbub.node import Node
from hubbub.realtime.protocol import ClientInfo, raw

__all__ = ["Present"]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[bytes, bytes]).decode


class Present:
    """Used on the event loop of the sessions."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def put(self, channel: bytes, user: str, client: str, info: bytes, channel_info: bytes) -> None:
        """This client is in the channel."""
        self._node.present([Change(channel, client, user, _encode((info, channel_info)))])

    def drop(self, channel: bytes, client: str) -> None:
        """It is no more."""
        self._node.present([Change(channel, client)])

    async def of(self, channel: bytes, most: int) -> Mapping[str, ClientInfo]:
        """Who is in the channel. Raises: BrokerUnavailable."""
        found = await self._node.presence(channel, most)
        clients: dict[str, ClientInfo] = {}
        for entry in found.entries:
            try:
                info, channel_info = _decode(entry.info)
            except msgspec.DecodeError:
                continue
            clients[entry.client] = ClientInfo(
                user=entry.user, client=entry.client, conn_info=raw(info), chan_info=raw(channel_info)
            )
        return clients

    async def counts(self, channel: bytes) -> tuple[int, int]:
        """How many clients, and how many users. Raises: BrokerUnavailable."""
        found = await self._node.presence(channel, 0)
        return found.clients, found.users
