"""How many sessions a user has on all nodes, where that is bounded. Each has a seat: an entry of presence.

Who has taken one looks who came before: so of several who come at once, on whatever nodes, as many get in as there is
room for.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

from hubbub.brokers import Change
from hubbub.errors import BrokerUnavailable
from hubbub.node import Node
from hubbub.realtime.bodies import sessions_of
from hubbub.realtime.protocol import Disconnects, Fault

__all__ = ["Seats"]

ANSWERED = 2.0  # seconds for the broker to tell


class Seats:
    """Used on the event loop of the sessions.

    Args:
        most: for one user; 0: any number, and nobody is counted.
        here: how many sessions of this node a user has.
    """

    def __init__(self, node: Node, most: int, here: Callable[[str], int]) -> None:
        self._node = node
        self._most = most
        self._here = here

    async def take(self, user: str, client: str) -> None:
        """For a client that connects. Raises: Fault: the user has as many as there may be."""
        if not self._most or not user:
            return
        self._node.present([Change(sessions_of(user), client, user, struct.pack(">d", time.time()))])
        if self._here(user) >= self._most or await self._before(user, client) >= self._most:
            self.leave(user, client)
            raise Fault(Disconnects.CONNECTION_LIMIT)

    def leave(self, user: str, client: str) -> None:
        """It has gone."""
        if self._most and user and client:
            self._node.present([Change(sessions_of(user), client)])

    async def _before(self, user: str, client: str) -> int:
        """How many had come; 0 while there is no link to the broker."""
        if not self._node.up:
            return 0
        try:
            found = await self._node.presence(sessions_of(user), seconds=ANSWERED)
        except BrokerUnavailable:
            return 0
        came = {entry.client: (entry.info, entry.client) for entry in found.entries}
        return sum(one < came[client] for one in came.values()) if client in came else 0
