"""Users instead of sessions: one join for the first session of a user in a channel, on whatever node, and one leave
after the last.

A node that has a user's first session asks all others whether they have one already, and so does one that has lost the
last. Of two that ask at the same moment the one with the lower id tells, unless one of them knows what it has answered
the other before. A user who is lost without a word is missed for a while before that is told.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from typing import TypeVar

from hubbub.errors import BrokerUnavailable
from hubbub.node import Node
from hubbub.realtime.bodies import Info, Joined, Left

__all__ = ["QUESTION", "Groups"]

V = TypeVar("V")

QUESTION = "rt.group"
REMEMBERED = 4096  # answers
ANSWERED = 1.0  # seconds for the other nodes to say whether they have the user
HAS, JOINING, LEAVING, NOTHING = "has", "joining", "leaving", ""


class _Group:
    """A user's sessions of this node in one channel."""

    __slots__ = ("announced", "asking", "info", "missed", "number", "sessions")

    def __init__(self) -> None:
        self.sessions = 0
        self.announced = False  # a join was told, by whom ever
        self.asking = NOTHING  # what others are being asked for
        self.number = 0  # of that question
        self.missed: asyncio.TimerHandle | None = None
        self.info: Info = ("", "", b"", b"")


class Groups:
    """Used on the event loop of the sessions.

    Args:
        tell: tells a channel's members, on all nodes.
        begin: does something beside what goes on.
    """

    def __init__(self, node: Node, tell: Callable[[str, Joined | Left], None], begin: Callable[..., None]) -> None:
        self._node = node
        self._tell = tell
        self._begin = begin
        self._groups: dict[tuple[str, str], _Group] = {}
        self._answered: OrderedDict[tuple[bytes, int], str] = OrderedDict()  # by node and number of its question
        self._yielded: OrderedDict[tuple[bytes, int], tuple[str, int]] = OrderedDict()  # what is left to that question
        self._numbers = count(1)

    def join(self, channel: str, info: Info) -> None:
        """A session of that user has come."""
        group = self._groups.setdefault((channel, info[0]), _Group())
        group.sessions += 1
        if group.missed is not None:
            group.missed.cancel()
            group.missed = None
        if not group.announced and not group.asking:
            group.info = info
            self._begin(lambda: self._come(channel, info[0], group))

    def leave(self, channel: str, info: Info, grace: float) -> None:
        """One has gone. `grace`: seconds in which another one may come, and nobody has noticed."""
        group = self._groups.get((channel, info[0]))
        if group is None:
            return
        group.sessions -= 1
        group.info = info
        if group.sessions or group.missed is not None or group.asking:
            return
        if grace:
            loop = asyncio.get_running_loop()
            group.missed = loop.call_later(grace, self._miss, channel, info[0], group)
        else:
            self._begin(lambda: self._go(channel, info[0], group))

    def lost(self, channel: str, user: str, client: str) -> None:
        """A session of a node that has ended."""
        if (channel, user) not in self._groups:
            group = self._groups[channel, user] = _Group()
            group.announced, group.info = True, (user, client, b"", b"")
            self._begin(lambda: self._go(channel, user, group))

    def answer(self, channel: str, user: str, node: str, number: int) -> tuple[str, int]:
        """What this node says to one that asks, and the number of what it is asking itself about that user."""
        group = self._groups.get((channel, user))
        said = NOTHING
        if group is not None:
            said = group.asking or (HAS if group.sessions or group.missed is not None else NOTHING)
        asked = (bytes.fromhex(node), number)
        mine = 0 if group is None else group.number
        said, mine = self._yielded.pop(asked, (said, mine))
        _remember(self._answered, asked, said)
        return said, mine

    def _miss(self, channel: str, user: str, group: _Group) -> None:
        group.missed = None
        self._begin(lambda: self._go(channel, user, group))

    async def _come(self, channel: str, user: str, group: _Group) -> None:
        if not await self._others(channel, user, group, JOINING):
            self._tell(channel, Joined(info=group.info))
        group.announced, group.asking = True, NOTHING
        if not group.sessions and group.missed is None:
            await self._go(channel, user, group)

    async def _go(self, channel: str, user: str, group: _Group) -> None:
        if group.sessions or group.asking:
            return
        others = await self._others(channel, user, group, LEAVING)
        group.asking = NOTHING
        if self._is_back(group):
            return
        self._groups.pop((channel, user), None)
        if not others:
            self._tell(channel, Left(info=group.info))

    @staticmethod
    def _is_back(group: _Group) -> bool:
        return group.sessions > 0

    async def _others(self, channel: str, user: str, group: _Group, what: str) -> bool:
        """Whether another node has the user, or will tell what we would."""
        mine = self._node.id
        group.asking, group.number = what, next(self._numbers)
        try:
            answers, _ = await self._node.survey(QUESTION, [channel, user, mine.hex(), group.number], ANSWERED)
        except BrokerUnavailable:
            return False
        return any(
            self._leaves_it_to(node, str(said), int(number), group)
            for node, (said, number) in answers.items()
            if node != mine
        )

    def _leaves_it_to(self, node: bytes, said: str, number: int, group: _Group) -> bool:
        before = self._answered.get((node, number))  # what we have told it when it asked for that
        if said == HAS:
            return True
        if said == group.asking and before not in (NOTHING, HAS):  # both ask at the same moment
            if node > self._node.id:
                return False
            if before is None:  # its question is still to come: it is to hear that it is its own
                _remember(self._yielded, (node, number), (said, group.number))
            return True
        if said == JOINING:  # it tells the join if we had nothing, and there is nothing to tell if we leave meanwhile
            return group.asking == LEAVING or before == NOTHING
        if said == LEAVING:  # it has told the leave if we had nothing, and left it to us if we had the user
            return group.asking == JOINING and before != NOTHING
        return False


def _remember(known: OrderedDict[tuple[bytes, int], V], key: tuple[bytes, int], value: V) -> None:
    known[key] = value
    if len(known) > REMEMBERED:
        known.popitem(last=False)
