"""How far a hub reaches: with a broker beyond its process, to the members of every hub that shares the broker.

What is broadcast goes to the broker, which puts it into one order with what all others broadcast, and comes back to
every hub with members in the channel, this one included. Only then do members get it: an order of our own would be
another one.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from hubbub.brokers import Broker, Change, History, Outgoing, Publication, Traits, broker_for
from hubbub.errors import BrokerUnavailable, LimitReached, Overloaded
from hubbub.hub.bodies import body_of, message_of
from hubbub.limits import Limits
from hubbub.logs import PeerLog
from hubbub.node import BrokerStatistics, Node, Ticket, channel_of, name_of
from hubbub.node.names import MOST

if TYPE_CHECKING:
    from hubbub.hub.outlet import AnyOutlet
    from hubbub.wire import Frame

__all__ = ["Missed", "Reach"]

Missed = Callable[[Any, "int | None"], object]
HandOut = Callable[[Hashable, "str | bytes", "frozenset[AnyOutlet]"], None]

LATE = 1024  # publications of a channel that wait for room in its mailboxes
AGAIN = 0.005  # seconds until they are tried again


class Reach:
    """A hub's end of its node.

    Args:
        broker: a URL or a Broker.
        hand_out: the hub's broadcast to its own members; raises Overloaded.
        count: the hub's own count of members.
        disconnect: the hub's own end of all members, with a code and a reason.
        drops: counts messages that found no room.
        missed: the program's own callback.
    """

    def __init__(
        self, broker: str | Broker, history: History | None, limits: Limits, hand_out: HandOut,
        count: Callable[[Hashable], int], disconnect: Callable[[Hashable, int, str], int], drops: Counter[str],
        missed: Missed | None,
    ) -> None:  # fmt: skip
        first = broker_for(broker)  # refused now, if ever
        brokers = iter([first])
        self.traits: Traits = first.traits
        self._history = history
        self._hand_out = hand_out
        self._count = count
        self._answers: dict[str, Callable[..., int]] = {"count": count, "disconnect": disconnect}
        self._drops = drops
        self._missed = missed
        self._log = PeerLog(limits.max_log_rate)
        self._most_excluded = limits.max_outbox
        self._tokens = _numbers()
        self._excluded: OrderedDict[int, frozenset[AnyOutlet]] = OrderedDict()  # by token, until the echo comes
        self._ids: dict[bytes, Hashable] = {}  # of channels with members
        self._late: dict[bytes, tuple[Sequence[Publication], asyncio.TimerHandle]] = {}
        self._refused = 0
        self.node: Node = Node(
            lambda: next(brokers, None) or broker_for(broker), self, limits, lambda _: history is not None
        )

    # Called from any thread

    def name(self, channel: Hashable) -> bytes:
        """What others know the channel by. Raises: TypeError: they cannot know it. LimitReached: it is too long."""
        name = name_of(channel)
        if len(name) > MOST:
            raise LimitReached(f"a channel's name of {len(name)} bytes: with a broker {MOST} are allowed")
        return name

    def publish(
        self, channel: Hashable, message: Frame, excluded: frozenset[AnyOutlet], timeout: float,
        ticket: Ticket | None = None, key: str = "",
    ) -> None:  # fmt: skip
        """Give it to the broker. Raises: Overloaded, BrokerUnavailable, TypeError, LimitReached."""
        token = 0
        if excluded and self._count(channel):
            token = self._tokens()
            self._excluded[token] = excluded
            if len(self._excluded) > self._most_excluded:  # the first one's echo never came
                self._excluded.popitem(last=False)
        try:
            self.node.publish(
                self.name(channel), body_of(message, token), history=self._history, key=key, ticket=ticket,
                timeout=timeout,
            )  # fmt: skip
        except BaseException:
            self._excluded.pop(token, None)
            raise

    def want(self, channel: Hashable, loop: asyncio.AbstractEventLoop) -> None:
        """The channel has its first member here."""
        name = name_of(channel)
        self._ids[name] = channel
        self.node.want(name, loop)

    def unwant(self, channel: Hashable) -> None:
        """It has no member here any more."""
        name = name_of(channel)
        self._ids.pop(name, None)
        self.node.unwant(name)

    async def everywhere(self, question: str, channel: Hashable, seconds: float, *more: Any) -> int:
        """The sum of what all nodes answer. Raises: BrokerUnavailable: some did not in time."""
        counts, silent = await self.node.survey(question, [self.name(channel).hex(), *more], seconds)
        total = sum(int(count) for count in counts.values())
        if silent:
            names = ", ".join(sorted(node.hex() for node in silent))
            raise BrokerUnavailable(
                f"{len(silent)} of {len(silent) + len(counts)} processes did not answer within {seconds:g} s ({names});"
                f" the others {'have' if question == 'count' else 'disconnected'} {total} members"
            )
        return total

    def statistics(self) -> BrokerStatistics:
        return self.node.statistics(self._refused)

    # What the node calls, on its event loop

    def deliver(self, name: bytes, publications: Sequence[Publication]) -> None:
        """Hand these out to the members. What finds no room waits a little, and what follows it waits behind it."""
        late, again = self._late.pop(name, ((), None))
        if again is not None:
            again.cancel()
            publications = (*late, *publications)
        channel = self._ids.get(name)
        if channel is None:
            return
        for at, publication in enumerate(publications):
            if not self._deliver(channel, publication):
                return self._let_wait(name, publications[at:])

    def _let_wait(self, name: bytes, publications: Sequence[Publication]) -> None:
        again = asyncio.get_running_loop().call_later(AGAIN, self.deliver, name, ())
        self._late[name] = publications[:LATE], again
        if lost := len(publications[LATE:]):
            self._drops["overloaded"] += lost
            self.missed(name, lost)

    def _deliver(self, channel: Hashable, publication: Publication) -> bool:
        """Returns whether there was room."""
        try:
            message, token = message_of(publication.body)
        except ValueError as error:
            self._refused += 1
            self._log.write(30, "a publication in a channel is none of a hub's: %s", error)
            return True
        excluded: frozenset[AnyOutlet] = frozenset()
        if token and self.node.has_published(publication.id):
            excluded = self._excluded.get(token, excluded)
        try:
            self._hand_out(channel, message, excluded)
        except Overloaded:
            return False
        if excluded:
            self._excluded.pop(token, None)
        return True

    def missed(self, name: bytes, count: int | None) -> None:
        """Tell the program."""
        channel = channel_of(name)
        shown = "some" if count is None else str(count)
        self._log.write(30, "%s messages of channel %s were lost on their way to this process", shown, repr(channel))
        if self._missed is not None:
            try:
                self._missed(channel, count)
            except Exception as error:
                self._log.failure("the hub's missed callback failed", error)

    def failed(self, outgoing: Outgoing) -> None:
        """It will not come back."""
        if outgoing.body[:1] in (b"T", b"B"):
            self._excluded.pop(int.from_bytes(outgoing.body[1:5], "big"), None)

    def gone(self, node: bytes, changes: Sequence[Change]) -> None:
        """A hub puts nobody into presence."""

    def answer(self, question: str, content: Any) -> Any:
        """What others ask this process."""
        name, *more = content
        return self._answers[question](channel_of(bytes.fromhex(name)), *more) if question in self._answers else None


def _numbers() -> Callable[[], int]:
    """1, 2, ... 2^32 - 1, 1, ..."""
    numbers = count()
    return lambda: next(numbers) % (2**32 - 1) + 1
