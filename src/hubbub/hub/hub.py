"""The hub: joins, leaves and broadcasts, from any thread.

The lock (`hubbub/lock.py`) guards the channels, their members, and the order in which messages are posted to mailboxes.
Where the event loop writes, it also guards the mailboxes and who has been given what of them, and is held for one slice
of sends at a time, none of which waits; the compiled writers never take it.

A method called by a finalizer or a signal's handler while its own thread has the lock says what can be said then, and
what it changes is changed once that thread lets go.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any, cast

from hubbub import native
from hubbub.arguments import instance, shown, whole
from hubbub.brokers import Broker, History
from hubbub.errors import LimitReached, Misuse
from hubbub.hub.backlog import Overflow
from hubbub.hub.channel import Channel, Member, Pool, Sharding
from hubbub.hub.directory import Directory
from hubbub.hub.given import cores, name_size, outlet_of, outlets_of
from hubbub.hub.memberships import among, every, with_one, without
from hubbub.hub.outlet import AnyOutlet, Outlet, total_backlog
from hubbub.hub.reach import Missed, Reach
from hubbub.hub.several import warn_if_several
from hubbub.hub.statistics import Counters, Statistics, fanout, loads_of
from hubbub.hub.writers import Writers
from hubbub.limits import Limits
from hubbub.lock import carry_out, inside, lock, perform, put_off
from hubbub.node import Ticket
from hubbub.wire import Frame, frame

if TYPE_CHECKING:
    from hubbub.hub.mailbox import AnyEntry, Mailbox

__all__ = ["Hub"]

_usual: Callable[..., int | None] = (lambda *_: None) if fanout is None else fanout.broadcast


class Hub:
    """Owns all channels. Every method may be called from any thread and any task, from finalizers and signal handlers.

    Args:
        writers: writers that stay when there is nothing to do.
        max_writers: writers at the most, while shards wait and all others are busy; one for each core if left out.
        shards: tells how many shards a channel of that id has, from 1; asked when a first socket joins the channel.
            Left out, a channel gets another shard for every 512 members, up to `max_writers` (in pure Python, where
            shards bring no speed, for every 4,096).
        overflow: what happens to a member whose backlog passes `limits.max_backlog`: "disconnect", "drop-oldest",
            "drop-newest", "drop-rest" or "latest".
        limits: the bounds.
        broker: what joins this hub with those of other processes: a URL, such as "local:" for the processes of one
            machine or "redis://host", or a Broker. Left out, what the environment's HUBBUB_BROKER says; "" for none.
        history: how much the broker keeps of each channel, for processes that missed something; None: nothing.
        missed: called as `missed(channel, count)`, on the node's event loop, when so many messages of a channel were
            lost on their way to this process; None: nobody knows how many.

    Raises: Misuse: arguments that are wrong or contradict each other, an unknown overflow policy, or no such broker.
    """

    def __init__(
        self,
        *,
        writers: int = 1,
        max_writers: int | None = None,
        shards: Sharding | None = None,
        overflow: str = "disconnect",
        limits: Limits | None = None,
        broker: str | Broker | None = None,
        history: History | None = None,
        missed: Missed | None = None,
    ) -> None:
        writers = whole("writers", writers, 1)
        max_writers = max(writers, cores()) if max_writers is None else whole("max_writers", max_writers, 1)
        if writers > max_writers:
            raise Misuse(f"a pool has 1 <= writers <= max_writers, not {writers} and {max_writers}")
        if shards is not None and not callable(shards):
            raise Misuse(f"shards is a function that takes a channel's id, not {shown(shards)}")
        native.active()  # or refuse to start
        self.limits: Limits = instance("limits", limits, Limits, "a hubbub.Limits") or Limits()
        self.overflow: Overflow = Overflow.of(overflow)
        self.counters: Counters = Counters()
        self._sharding = shards
        self._most_shards = max_writers if shards is None else 0
        self._channels = Directory()
        self._alone = (self,)  # the hubs of most outlets: one tuple for all
        self._connections = 0
        self._memberships = 0
        self._pool_size = (writers, max_writers)
        self._threads: Pool | None = None
        if fanout is not None:
            self._threads = fanout.Writers(*self._pool_size, self.counters.native, self.limits)
        self._writers: dict[asyncio.AbstractEventLoop, Writers] = {}  # of the sockets that their event loop writes to
        self.reach: Reach | None = None
        if broker := os.environ.get("HUBBUB_BROKER", "") if broker is None else broker:
            instance("history", history, History, "a hubbub.History")
            self.reach = Reach(broker, history, self.limits, self._hand_out, self.count, self.counters.drops, missed)
        self.spans: bool = self.reach is not None and self.reach.traits.processes
        """Whether others' broadcasts reach its members, or whoever owns it sees to that."""
        self.warned: bool = False  # that they do not

    def __repr__(self) -> str:
        return f"<Hub: {self._channels.count} channels, {self._memberships} memberships>"

    # Membership

    def join(self, channel: Hashable, socket: Any, meta: Any = None) -> bool:
        """Make the socket a member of the channel.

        Joining again is a no-op and keeps the first meta; so is joining with a closed socket.

        Args:
            channel: any hashable value. Equal values are one channel, as they are one key of a dict: so 1, 1.0 and
                True are, while "1" and b"1" are others.
            meta: a small piece of data that `members` shows beside the socket.

        Returns: whether it became a member now.
        Raises:
            LimitReached: `Limits.max_channels`, `Limits.max_channels_per_socket` or `Limits.max_channel_name`.
            TypeError: the channel is not hashable, or `socket` is not a Socket.
        """
        outlet = outlet_of(socket)
        if (size := name_size(channel)) > self.limits.max_channel_name:
            most = self.limits.max_channel_name
            raise LimitReached(f"a channel's name of {size} bytes: {most} are allowed (Limits.max_channel_name)")
        if self.reach is not None:
            self.reach.name(channel)
        joined = None
        while joined is None:  # again when the channel has ended, or begun, between finding it and taking the lock
            known = self._find_or_make(channel)
            if inside():
                may_join = self._may_join(known, outlet)
                put_off.append((self._join_later, (known, socket, meta)))
                return may_join
            joined = perform(self._join, known, socket, meta)
        if not (self.spans or self.warned):
            self.warned = warn_if_several()
        return joined

    def leave(self, channel: Hashable, socket: Any) -> bool:
        """End the membership; always safe. What was broadcast before still reaches the socket.

        Returns: whether it was a member.
        """
        outlet = outlet_of(socket)
        known = self._channels.find(channel)
        if inside():
            put_off.append((self._leave_later, (channel, outlet)))
            return known is not None and among(outlet.memberships, known) is not None
        return known is not None and bool(perform(self._leave, known, outlet))

    def leave_all(self, socket: Any) -> int:
        """Leave every channel. Returns how many those were."""
        outlet = outlet_of(socket)
        left = perform(self._leave_all, outlet)
        return len(self._of(outlet)) if left is None else left

    def is_member(self, channel: Hashable, socket: Any) -> bool:
        """Whether the socket is a member of the channel."""
        outlet = outlet_of(socket)
        known = self._channels.find(channel)
        return known is not None and among(outlet.memberships, known) is not None

    def channels_of(self, socket: Any) -> list[Any]:
        """The ids of the channels that the socket is a member of, in the order in which it joined them."""
        return [member.shard.channel.id for member in self._of(outlet_of(socket))]

    def count(self, channel: Hashable) -> int:
        """How many members the channel has; 0 if there is no such channel."""
        known = self._channels.find(channel)
        return 0 if known is None else known.count

    def members(self, channel: Hashable) -> Iterator[Member]:
        """Iterate over the members as they are at this moment: later joins and leaves do not disturb it."""
        known = self._channels.find(channel)
        if known is None:
            return iter(())
        try:
            with lock:
                return iter(known.members())
        finally:
            if put_off:
                carry_out()

    # Broadcasting

    def broadcast(
        self,
        channel: Hashable,
        message: str | bytes | Frame,
        *,
        exclude: Any = None,
        timeout: float = 30.0,
    ) -> int:
        """Send a message to every member, at most once, in the same order as every other member gets it.

        It is encoded once. Nothing here waits for a socket: slow members have backlogs and overflow policies.

        Args:
            message: `str` for text, bytes for binary, or a Frame made before with `text` or `binary`.
            exclude: a socket, or several, that are not to get it.
            timeout: on a plain thread, how long to wait for room in a full mailbox, in seconds.

        With a broker it goes to the members in all processes, when it comes back from the broker, in one order for all.

        Returns: how many members it was handed to; with a broker, how many the channel has in this process.
        Raises:
            Overloaded: the mailbox, or with a broker the outbox, is full: at once on a thread that runs an event loop,
                which is never blocked, and after `timeout` elsewhere. Nobody gets the message then.
            BrokerUnavailable: there has been no link for `Limits.broker_timeout`: likewise.
            TypeError: with a broker, a channel that is not a str, bytes, an int, or a tuple of them.
        """
        if self.reach is not None:
            return self._broadcast_everywhere(channel, message, exclude, timeout)
        if exclude is None and (handed := _usual(self._channels.newest, channel, message)) is not None:
            return handed
        return self._broadcast(channel, frame(message), outlets_of(exclude), timeout)

    def _broadcast_everywhere(self, channel: Hashable, message: Any, exclude: Any, timeout: float) -> int:
        assert self.reach is not None
        self.reach.publish(channel, frame(message), excluded := outlets_of(exclude), timeout)
        known = self._channels.find(channel)
        return 0 if known is None else known.count - known.count_among(excluded)

    def _broadcast(self, channel: Hashable, message: Frame, excluded: frozenset[AnyOutlet], timeout: float) -> int:
        """To the members in this process."""
        if put_off:
            carry_out()
        known = self._channels.find(channel)
        if inside():
            return self._broadcast_later(channel, known, message, excluded)
        if known is None:
            return 0
        if known.forms:
            known.compress(message)
        entry, size = known.entry(message, excluded), len(message.wire)
        return (self._broadcast_except if excluded else self._broadcast_to_all)(known, entry, size, timeout)

    def _broadcast_to_all(self, channel: Channel, entry: AnyEntry, size: int, timeout: float) -> int:
        try:
            with lock:
                channel.wait_for_room(size, timeout)
                handed = channel.count
                if handed:
                    channel.post(entry)
                    self.counters.broadcasts += 1
                return handed
        finally:
            if put_off:
                carry_out()

    def _broadcast_except(self, channel: Channel, entry: AnyEntry, size: int, timeout: float) -> int:
        """To all but those whom the entry excludes. They are counted before the lock is taken, and again if somebody
        joined or left meanwhile: in the end with the lock, if that goes on and on."""
        tries = 3
        while True:
            changes, excluded = channel.changes, channel.count_among(entry.excluded)
            try:
                with lock:
                    channel.wait_for_room(size, timeout)
                    if channel.changes != changes:
                        tries -= 1
                        if tries:
                            continue
                        excluded = channel.count_among(entry.excluded)
                    handed = channel.count - excluded
                    if handed:
                        channel.post(entry)
                        self.counters.broadcasts += 1
                    return handed
            finally:
                if put_off:
                    carry_out()

    def publish(self, channel: Hashable, message: str | bytes | Frame, *, exclude: Any = None, key: str = "") -> Ticket:
        """Broadcast through the broker, and learn what became of it: `await` the ticket, or `wait` for it on a thread.

        Args:
            key: of messages of one channel with the same key, within 300 s, only the first is published.

        Returns: a Ticket, whose result is a Published: the message's place in its channel. Not that a client has it.
        Raises:
            Misuse: this hub has no broker.
            Overloaded: too much waits for the broker (`Limits.max_outbox`).
            BrokerUnavailable: there has been no link for `Limits.broker_timeout`.
        """
        if self.reach is None:
            raise Misuse("what becomes of a message is the broker's to say, and this hub has none: use broadcast")
        ticket = Ticket()
        self.reach.publish(channel, frame(message), outlets_of(exclude), 0, ticket, key)
        return ticket

    async def count_everywhere(self, channel: Hashable, *, timeout: float = 2.0) -> int:  # noqa: ASYNC109
        """How many members the channel has in all processes that share the broker; they have so many seconds to answer.

        Raises: BrokerUnavailable: there is no link, or some did not answer: it says which, and what the others have.
        """
        return self.count(channel) if self.reach is None else await self.reach.count_everywhere(channel, timeout)

    async def close(self) -> None:
        """Give the broker what waits for it, and leave it, as the end of the program does. Nothing goes out then."""
        if self.reach is not None:
            await asyncio.to_thread(self.reach.node.close)

    def statistics(self) -> Statistics:
        """A frozen snapshot of counts and loads."""
        try:
            with lock:
                return self._statistics()
        finally:
            if put_off:
                carry_out()

    # What outlets and servers call

    def adopt(self, outlet: AnyOutlet) -> None:
        """Serve this socket: its overflow policy and counts are the hub's from here on."""
        perform(self._adopt, outlet)

    def forget(self, outlet: AnyOutlet) -> None:
        """The socket is closed: it leaves everything."""
        perform(self._forget, outlet)

    def catch_up(self, outlet: Outlet) -> None:
        """Give a socket that the event loop writes to what waits for it, so that what follows cannot overtake it.

        With the lock held.
        """
        pool, memberships = self._writers.get(outlet.loop), outlet.memberships
        if pool is None or not pool.queue or not memberships:
            return
        queue = pool.queue
        if not isinstance(memberships, dict) or len(memberships) <= len(queue):
            waiting = self._of(outlet)
        else:
            waiting = [m for s in queue if (m := memberships.get(s.channel)) is not None and m.shard is s]
        for member in waiting:
            cast("Mailbox", member.shard).give_pending(member)

    def end(self, pool: Writers) -> None:
        """Its event loop is closed, and with it every socket that the pool wrote to."""
        for outlet in list(pool.outlets):
            outlet.detach()
        perform(self._writers.pop, pool.loop, None)

    def _hand_out(self, channel: Hashable, message: str | bytes, excluded: frozenset[AnyOutlet]) -> None:
        if excluded or _usual(self._channels.newest, channel, message) is None:
            self._broadcast(channel, frame(message), excluded, 0)

    def _find_or_make(self, id: Hashable) -> Channel:
        def make(number: int, newest: Channel | None) -> Channel:
            return Channel(self, id, self._shards_of(id), self._most_shards, number, newest)

        return self._channels.find_or_make(id, make)

    def _shards_of(self, channel: Hashable) -> int:
        if self._sharding is None:
            return 1
        shards: Any = self._sharding(channel)
        if not isinstance(shards, int) or shards < 1:
            raise Misuse(f"shards({shown(channel)}) must be a whole number from 1, not {shown(shards)}")
        return int(shards)

    # With the lock held

    def _join(self, channel: Channel, socket: Any, meta: Any) -> bool | None:
        """None: another channel may have that id by now."""
        outlet = socket.outlet
        if not channel.count and not self._channels.is_free(channel):
            return None
        if not self._may_join(channel, outlet):
            return False
        member = channel.join(socket, meta, self._adopt(outlet))
        if channel.count == 1:
            self._channels.add(channel)
            if self.reach is not None:
                self.reach.want(channel.id, outlet.loop)
        outlet.memberships = with_one(outlet.memberships, member)
        self._memberships += 1
        if outlet.open:
            return True
        # closed meanwhile, and it may have told its hubs before this was one of them
        self._forget(outlet)
        return False

    def _may_join(self, channel: Channel, outlet: AnyOutlet) -> bool:
        """Whether it would become a member. Raises: LimitReached."""
        if not outlet.open or among(outlet.memberships, channel) is not None:
            return False
        limits = self.limits
        if not channel.count and self._channels.count >= limits.max_channels:
            raise LimitReached(f"the hub has {limits.max_channels} channels (Limits.max_channels)")
        most = limits.max_channels_per_socket
        if most is not None and len(every(outlet.memberships)) >= most:
            raise LimitReached(f"the socket is in {most} channels (Limits.max_channels_per_socket)")
        return True

    def _join_later(self, channel: Channel, socket: Any, meta: Any) -> None:
        while self._join(channel, socket, meta) is None:
            channel = self._find_or_make(channel.id)

    def _leave_later(self, id: Hashable, outlet: AnyOutlet) -> None:
        channel = self._channels.find(id)
        if channel is not None:
            self._leave(channel, outlet)

    def _broadcast_later(
        self, id: Hashable, channel: Channel | None, message: Frame, excluded: frozenset[AnyOutlet]
    ) -> int:
        """Inside already: nothing can be waited for, and the message goes out when this thread is outside."""
        handed = 0
        if channel is not None:
            handed = channel.count - channel.count_among(excluded)
            channel.compress(message)  # now, as `_broadcast_now` has the lock
            if channel.full_shard(len(message.wire)) is not None:
                channel.refuse("this thread is inside a hub and cannot wait")
        put_off.append((self._broadcast_now, (id, message, excluded)))
        return handed

    def _broadcast_now(self, id: Hashable, message: Frame, excluded: frozenset[AnyOutlet]) -> None:
        channel = self._channels.find(id)
        if channel is None or channel.count == channel.count_among(excluded):
            return
        if channel.full_shard(len(message.wire)) is not None:
            channel.refuse("it has filled up since")
        channel.post(channel.entry(message, excluded))
        self.counters.broadcasts += 1

    def _statistics(self) -> Statistics:
        return Statistics(
            connections=self._connections,
            channels=self._channels.count,
            memberships=self._memberships,
            backlog=total_backlog(),
            broker=None if self.reach is None else self.reach.statistics(),
            **self.counters.totals(),
            **loads_of(self._pools()),
        )

    def _pools(self) -> list[Pool]:
        of_loops: list[Pool] = list(self._writers.values())
        return of_loops if self._threads is None else [*of_loops, self._threads]

    def _pool_of(self, outlet: AnyOutlet) -> Pool:
        """Of the loop that writes to it, whoever asks, or of threads."""
        if not isinstance(outlet, Outlet):
            assert self._threads is not None
            return self._threads
        pool = self._writers.get(outlet.loop)
        if pool is None:
            pool = self._writers[outlet.loop] = Writers(self, *self._pool_size, outlet.loop)
        pool.thread = outlet.thread  # a loop may go on on another thread
        pool.outlets[outlet] = None
        return pool

    def _adopt(self, outlet: AnyOutlet) -> Pool:
        if self not in outlet.hubs:
            outlet.hubs = (*outlet.hubs, self) if outlet.hubs else self._alone
            outlet.overflow = self.overflow
            outlet.count_in(self.counters)
            self._connections += 1
        return self._pool_of(outlet)

    def _forget(self, outlet: AnyOutlet) -> None:
        self._leave_all(outlet)
        if self in outlet.hubs:
            outlet.hubs = () if len(outlet.hubs) == 1 else tuple(hub for hub in outlet.hubs if hub is not self)
            self._connections -= 1
            if isinstance(outlet, Outlet) and (pool := self._writers.get(outlet.loop)) is not None:
                pool.outlets.pop(outlet, None)

    def _leave(self, channel: Channel, outlet: AnyOutlet) -> bool:
        member = among(outlet.memberships, channel)
        if member is None:
            return False
        outlet.memberships = without(outlet.memberships, member)
        channel.leave(member)
        self._memberships -= 1
        if not channel.count:
            self._channels.remove(channel)
            if self.reach is not None:
                self.reach.unwant(channel.id)
        return True

    def _leave_all(self, outlet: AnyOutlet) -> int:
        mine = self._of(outlet)
        for member in mine:
            self._leave(member.shard.channel, outlet)
        return len(mine)

    def _of(self, outlet: AnyOutlet) -> list[Member]:
        if outlet.hubs is self._alone:  # all of them are ours
            return every(outlet.memberships)
        return [member for member in every(outlet.memberships) if member.shard.channel.hub is self]
