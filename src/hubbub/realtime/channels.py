"""The channels of a node: what comes from the broker goes to the sessions, and who joins gets what it missed."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from hubbub.brokers import Change, Outgoing, Page, Position, Publication
from hubbub.errors import Overloaded
from hubbub.hub import Hub
from hubbub.logs import PeerLog
from hubbub.node import Node
from hubbub.realtime.bodies import Came, Joined, Left, Sent, Went, event_of, info_of, publication_of
from hubbub.realtime.channel import Channel
from hubbub.realtime.forms import Forms
from hubbub.realtime.groups import Groups
from hubbub.realtime.namespaces import Place
from hubbub.realtime.protocol import push
from hubbub.realtime.protocol.replies import Join, Leave

__all__ = ["Channels"]

AGAIN = 0.005  # seconds until what found no room is tried again
LATE = 256  # batches of a channel that wait for room
CATCH_UP = 2.0  # seconds for a node to get what the broker has already


class Channels:
    """Used on the event loop of the sessions, where the node lives as well.

    Args:
        insufficient: called with a channel some of whose publications are lost to this node.
        asked: what this node answers to others.
        gone: called with a node that has ended, and each client of it.
        left: called with a channel and a client of which another node says that it has left.
    """

    def __init__(
        self, hub: Hub, log: PeerLog, most: int, insufficient: Callable[[Channel], None],
        asked: Callable[[str, Any], Any], gone: Callable[[bytes, Change], None],
        left: Callable[[Channel, str], None],
    ) -> None:  # fmt: skip
        self.node: Node
        self.groups: Groups
        self._forms = Forms(hub)
        self._log = log
        self._most = most
        self._insufficient = insufficient
        self._asked = asked
        self._gone = gone
        self._left = left
        self._named: dict[str, Channel] = {}
        self._known: dict[bytes, Channel] = {}  # by both of their names at the broker
        self._late: dict[Channel, deque[Sequence[Publication]]] = {}
        self.handed: dict[bytes, int] = {}  # by publication, for those whose publisher asks: to how many sessions
        self.refused: int = 0
        self._begun: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._named)

    def __iter__(self) -> Any:
        return iter(list(self._named.values()))

    def find(self, name: str) -> Channel | None:
        return self._named.get(name)

    def known(self, name: bytes) -> Channel | None:
        """By what the broker knows it by."""
        return self._known.get(name)

    def begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do that beside what goes on."""
        task = asyncio.get_running_loop().create_task(work())
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)

    # Coming and going

    def hold(self, place: Place) -> Channel:
        """The channel, which stays until `release`."""
        channel = self._named.get(place.channel)
        if channel is None:
            channel = self._named[place.channel] = Channel(place, self._most)
            self._known[channel.names] = channel
            loop = asyncio.get_running_loop()
            self.node.want(channel.names, loop)
            if channel.beside is not None:
                self._known[channel.beside] = channel
                self.node.want(channel.beside, loop)
        channel.holds += 1
        return channel

    def release(self, channel: Channel) -> None:
        channel.holds -= 1
        self.let_go(channel)

    def let_go(self, channel: Channel) -> None:
        """If nobody needs it any more."""
        if channel.idle and self._named.get(channel.name) is channel:
            del self._named[channel.name]
            for name in filter(None, (channel.names, channel.beside)):
                del self._known[name]
                self.node.unwant(name)
            channel.tell_waiting()  # of what will not come any more

    async def ready(self, channel: Channel, positioned: bool) -> None:
        """Wait until whatever is published from now on gets here; with an epoch, if it is to be known.

        Raises: BrokerUnavailable.
        """
        while self._late.get(channel):  # noqa: ASYNC110
            await asyncio.sleep(AGAIN)
        if channel.top is None or (channel.beside is not None and not channel.members):
            for name in filter(None, (channel.names, channel.beside)):
                position = self.node.stands(name) or await self._standing(name)
                if name == channel.names:
                    channel.begin(position)
        if channel.place.options.group_by_user and channel.users is None and channel.waiting_users is None:
            await self.groups.begin(channel)
        if positioned and channel.top is not None and not channel.top.epoch:
            top = (await self.page(channel.names, None, 0)).top
            channel.name_epoch(top.epoch)

    async def _standing(self, name: bytes) -> Position:
        return await self.node.ask(lambda stay: stay.lines.standing(name))

    async def recover(self, channel: Channel, since: Position) -> bool:
        """Have what follows that position here, so that `Channel.since` has it. Returns whether all of it is.

        Raises: BrokerUnavailable.
        """
        until = time.monotonic() + CATCH_UP
        while channel.top is not None and since.epoch in ("", channel.top.epoch):
            if channel.since(since.offset, self._most) is not None:
                return True
            page = await self.page(channel.names, since._replace(epoch=channel.top.epoch), self._most + 1)
            if not page.complete or len(page.publications) > self._most:
                return False
            if channel.learn(since, page) and channel.top.offset >= since.offset:
                continue
            if time.monotonic() > until:
                return False
            await asyncio.sleep(AGAIN)  # the broker has what is still under way to this node
        return False

    async def page(self, name: bytes, since: Position | None, limit: int | None, reverse: bool = False) -> Page:
        """A part of what the broker keeps. Raises: BrokerUnavailable."""
        return await self.node.ask(lambda stay: stay.broker.history(name, since, limit, reverse))

    # What the node calls

    def deliver(self, name: bytes, publications: Sequence[Publication]) -> None:
        """These follow."""
        channel = self._known.get(name)
        if channel is None:
            return
        if name != channel.names:
            return self._deliver_beside(channel, publications)
        late = self._late.get(channel)
        if late is not None:
            if len(late) >= LATE:
                late.clear()
                self._lose(channel)
            return late.append(publications)
        if not self._hand_out(channel, publications):
            self._late[channel] = deque((publications,))
            channel.late = 1
            asyncio.get_running_loop().call_later(AGAIN, self._try_again, channel)

    def _try_again(self, channel: Channel) -> None:
        late = self._late[channel]
        while late:
            if not self._hand_out(channel, late[0]):
                asyncio.get_running_loop().call_later(AGAIN, self._try_again, channel)
                return
            late.popleft()
        del self._late[channel]

    def _hand_out(self, channel: Channel, publications: Sequence[Publication]) -> bool:
        """Give these to the sessions in all forms. Returns False, and does nothing, if there is no room."""
        events: list[tuple[Publication, Sent | None]] = []
        for publication in publications:
            try:
                event = event_of(publication.body)
            except ValueError:
                event = None
            if not isinstance(event, Sent):
                self.refused += 1
                self._log.write(30, "a publication is none of a real-time server's: %s", publication.body[:20])
                event = None
            events.append((publication, event))
        try:
            handed = self._forms.hand_out(channel, events)
        except Overloaded:
            return False
        except Exception as error:  # nobody knows who has it
            self._log.failure("a publication could not be handed out", error)
            handed = -1
        for publication, event in events:
            channel.advance(Position(publication.offset, publication.epoch), publication.previous, event)
            if publication.id in self.handed:
                self.handed[publication.id] = max(handed, 0)
        channel.handed_at = time.monotonic()
        if handed < 0:
            self._lose(channel)
        channel.tell_waiting()
        return True

    def _deliver_beside(self, channel: Channel, publications: Sequence[Publication]) -> None:
        for publication in publications:
            try:
                event = event_of(publication.body)
                if isinstance(event, Sent):
                    handed = self._forms.hand_out_unkept(channel, publication_of(event))
                    if publication.id in self.handed:
                        self.handed[publication.id] = handed
                elif isinstance(event, (Came, Went)):
                    self.groups.hear(channel, event)
                else:
                    self.tell(channel, event)
                    if isinstance(event, Left) and not self.node.has_published(publication.id):
                        self._left(channel, event.info[1])
            except ValueError:
                self.refused += 1

    def tell(self, channel: Channel, event: Joined | Left) -> None:
        """Tell this node's members who joins and leaves."""
        said = (Join if isinstance(event, Joined) else Leave)(info=info_of(event.info))
        try:
            self._forms.tell_joins(channel, push(said, channel.name))
        except Overloaded:
            self._log.write(30, "a channel has no room for who joins and leaves: %s", channel.name)

    def missed(self, name: bytes, count: int | None) -> None:
        """So many publications of that channel are lost to this node."""
        channel = self._known.get(name)
        if channel is None:
            return
        if name == channel.names:
            self._lose(channel)
        elif channel.users is not None:
            self.begin(lambda: self.groups.begin(channel))

    def _lose(self, channel: Channel) -> None:
        channel.lose()
        channel.tell_waiting()
        self._insufficient(channel)

    def failed(self, outgoing: Outgoing) -> None:
        """It will not come."""
        self.handed.pop(outgoing.id, None)

    def answer(self, question: str, content: Any) -> Any:
        """What others ask this node."""
        return self._asked(question, content)

    def gone(self, node: bytes, changes: Sequence[Change]) -> None:
        """These were of a node that has ended."""
        for change in changes:
            self._gone(node, change)
