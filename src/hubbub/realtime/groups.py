"""Users instead of sessions: one join for the first session of a user in a channel, on whatever node, and one leave
after the last.

A node says beside the channel when it gets a user's first session there, and when it has lost the last. The broker puts
that into one order for all nodes, so all of them see the same moment in which a user comes to the channel's first node,
or is gone from its last; and each then tells its own members. Whoever is there already when a node's first member comes
is read from presence. A user who is lost without a word is missed for a while before that is said.

A node that the others took for dead, since it stood still or its link did, hears of its users that they went: if it has
them after all, it says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hubbub.node import Node
from hubbub.realtime.bodies import Came, Info, Joined, Left, Went
from hubbub.realtime.channel import Channel

__all__ = ["Groups"]


class _Group:
    """A user's sessions of this node in one channel."""

    __slots__ = ("info", "missed", "sessions")

    def __init__(self, info: Info) -> None:
        self.info = info
        self.sessions = 0
        self.missed: asyncio.TimerHandle | None = None


class Groups:
    """Used on the event loop of the sessions.

    Args:
        say: says something beside a channel, to all nodes.
        tell: tells the members of this node.
    """

    def __init__(
        self, node: Node, say: Callable[[str, Came | Went], None], tell: Callable[[Channel, Joined | Left], None]
    ) -> None:
        self._node = node
        self._say = say
        self._tell = tell
        self._groups: dict[tuple[str, str], _Group] = {}

    # Sessions of this node

    def join(self, channel: str, info: Info) -> None:
        """A session of that user has come."""
        group = self._groups.setdefault((channel, info[0]), _Group(info))
        group.sessions += 1
        if group.missed is not None:
            group.missed.cancel()
            group.missed = None
        elif group.sessions == 1:
            self._say(channel, Came(info=info, node=self._node.id))

    def leave(self, channel: str, info: Info, grace: float) -> None:
        """One has gone. `grace`: seconds in which another one may come, and nobody has noticed."""
        group = self._groups[channel, info[0]]
        group.sessions -= 1
        if group.sessions:
            return
        if grace:
            group.missed = asyncio.get_running_loop().call_later(grace, self._go, channel, info)
        else:
            self._go(channel, info)

    def _go(self, channel: str, info: Info) -> None:
        del self._groups[channel, info[0]]
        self._say(channel, Went(info=info, node=self._node.id))

    # All nodes

    async def begin(self, channel: Channel) -> None:
        """See who is in a channel that this node gets the events of from now on; again, when it may have missed some.

        Raises: BrokerUnavailable.
        """
        channel.waiting_users = []
        found = await self._node.presence(channel.names)
        users: dict[str, set[bytes]] = {}
        for entry in found.entries:
            users.setdefault(entry.user, set()).add(entry.node)
        before, channel.users = channel.users, users
        if before is not None:  # what was missed meanwhile
            for name, user in list(self._groups):
                if name == channel.name:
                    self._say_again(name, user)
            for user in users.keys() - before.keys():
                self._tell(channel, Joined(info=(user, "", b"", b"")))
            for user in before.keys() - users.keys():
                self._tell(channel, Left(info=(user, "", b"", b"")))
        waiting, channel.waiting_users = channel.waiting_users, None
        for event in waiting or ():
            self.hear(channel, event)

    def hear(self, channel: Channel, event: Came | Went) -> None:
        """A user came to a node, or went from it."""
        if isinstance(event, Went) and event.node == self._node.id:
            self._say_again(channel.name, event.info[0])
        if channel.waiting_users is not None:
            channel.waiting_users.append(event)
            return
        if channel.users is None:
            return
        user = event.info[0]
        nodes = channel.users.setdefault(user, set())
        were = bool(nodes)
        if isinstance(event, Came):
            nodes.add(event.node)
        else:
            nodes.discard(event.node)
        if nodes and not were:
            self._tell(channel, Joined(info=event.info))
        elif not nodes:
            del channel.users[user]
            if were:
                self._tell(channel, Left(info=event.info))

    def _say_again(self, channel: str, user: str) -> None:
        """If they are here. It may have been said in vain, and to say it twice does no harm."""
        group = self._groups.get((channel, user))
        if group is not None:
            self._say(channel, Came(info=group.info, node=self._node.id))

    def lost(self, channel: str, user: str, client: str, node: bytes) -> None:
        """A session of a node that has ended: say so for it."""
        self._say(channel, Went(info=(user, client, b"", b""), node=node))
