"""Who of this node is present, told to the broker in turns: what one turn of the loop changes is one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from hubbub.brokers import Change
from hubbub.errors import BrokerUnavailable
from hubbub.logs import PeerLog
from hubbub.node import Node
from hubbub.node.stay import Stay
from hubbub.realtime.protocol import ClientInfo, raw

__all__ = ["Present"]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[bytes, bytes]).decode


def _presenting(changes: list[Change]) -> Callable[[Stay], Coroutine[Any, Any, None]]:
    return lambda stay: stay.broker.present(changes)


class Present:
    """Used on the event loop of the sessions."""

    def __init__(self, node: Node, log: PeerLog) -> None:
        self._node = node
        self._log = log
        self._changes: list[Change] = []
        self._telling: asyncio.Task[None] | None = None

    def put(self, channel: bytes, user: str, client: str, info: bytes, channel_info: bytes) -> None:
        """This client is in the channel."""
        self._change(Change(channel, client, user, _encode((info, channel_info))))

    def drop(self, channel: bytes, client: str) -> None:
        """It is no more."""
        self._change(Change(channel, client))

    def _change(self, change: Change) -> None:
        self._changes.append(change)
        if self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell(), name="hubbub presence")

    async def _tell(self) -> None:
        try:
            while self._changes:
                changes, self._changes = self._changes, []
                try:
                    await self._node.ask(_presenting(changes))
                except BrokerUnavailable as error:
                    self._log.write(30, "who is present could not be told: %s", error)
        finally:
            self._telling = None

    async def told(self) -> None:
        """Wait until the broker knows what was said by now."""
        while self._telling is not None:
            await asyncio.wait([self._telling])

    async def of(self, channel: bytes, most: int) -> Mapping[str, ClientInfo]:
        """Who is in the channel. Raises: BrokerUnavailable."""
        await self.told()
        found = await self._node.ask(lambda stay: stay.broker.presence(channel, most))
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
        await self.told()
        found = await self._node.ask(lambda stay: stay.broker.presence(channel, 0))
        return found.clients, found.users
