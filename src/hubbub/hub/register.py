"""Who is a member of what: the half of a hub that servers, sockets and writers know, and that no program sees."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, cast

from hubbub.arguments import shown
from hubbub.errors import LimitReached, Misuse
from hubbub.hub.backlog import Overflow
from hubbub.hub.channel import Channel, Pool, Seat, Sharding
from hubbub.hub.directory import Directory
from hubbub.hub.memberships import among, every, with_one, without
from hubbub.hub.outlet import AnyOutlet, Outlet, total_backlog
from hubbub.hub.reach import Reach
from hubbub.hub.statistics import Counters, Statistics, fanout, loads_of
from hubbub.hub.writers import Writers
from hubbub.limits import Limits
from hubbub.lock import perform

if TYPE_CHECKING:
    from hubbub.hub.mailbox import Mailbox

__all__ = ["Register"]


class Register:
    """Channels and their members, the pools that write to them, and what is counted.

    Args:
        sharding: how many shards a channel has; None: as its size wants.
        writers: writers that stay, and at the most, of each pool.
    """

    def __init__(self, limits: Limits, overflow: Overflow, sharding: Sharding | None, writers: tuple[int, int]) -> None:
        self.limits: Limits = limits
        """The bounds."""
        self.overflow: Overflow = overflow
        """What happens to members that do not read."""
        self._counters: Counters = Counters()
        self._sharding = sharding
        self._most_shards = writers[1] if sharding is None else 0
        self._channels = Directory()
        self._alone = (self,)  # the hubs of most outlets: one tuple for all
        self._connections = 0
        self._memberships = 0
        self._pool_size = writers
        self._threads: Pool | None = None
        if fanout is not None:
            self._threads = fanout.Writers(*writers, self._counters.native, limits)
        self._writers: dict[asyncio.AbstractEventLoop, Writers] = {}  # of the sockets that their event loop writes to
        self._reach: Reach | None = None

    # What outlets and servers call

    def _adopt(self, outlet: AnyOutlet) -> None:
        """Serve this socket: its overflow policy and counts are the hub's from here on."""
        perform(self._adopt_now, outlet)

    def _forget(self, outlet: AnyOutlet) -> None:
        """The socket is closed: it leaves everything."""
        perform(self._forget_now, outlet)

    def _channels_of(self, outlet: AnyOutlet) -> list[Any]:
        """The ids of those that it is in, in the order of joining."""
        return [seat.shard.channel.id for seat in self._of(outlet)]

    def _catch_up(self, outlet: Outlet) -> None:
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
        for seat in waiting:
            cast("Mailbox", seat.shard).give_pending(seat)

    def _end(self, pool: Writers) -> None:
        """Its event loop is closed, and with it every socket that the pool wrote to."""
        for outlet in list(pool.outlets):
            outlet.detach()
        perform(self._writers.pop, pool.loop, None)

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
        outlet = socket._outlet
        if not channel.count and not self._channels.is_free(channel):
            return None
        if not self._may_join(channel, outlet):
            return False
        seat = channel.join(socket, meta, self._adopt_now(outlet))
        if channel.count == 1:
            self._channels.add(channel)
            if self._reach is not None:
                self._reach.want(channel.id, outlet.loop)
        outlet.memberships = with_one(outlet.memberships, seat)
        self._memberships += 1
        if outlet.open:
            return True
        # closed meanwhile, and it may have told its hubs before this was one of them
        self._forget_now(outlet)
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

    def _leave_later(self, id: Hashable, outlet: AnyOutlet) -> None:
        channel = self._channels.find(id)
        if channel is not None:
            self._leave(channel, outlet)

    def _statistics(self) -> Statistics:
        return Statistics(
            connections=self._connections,
            channels=self._channels.count,
            memberships=self._memberships,
            backlog=total_backlog(),
            broker=None if self._reach is None else self._reach.statistics(),
            **self._counters.totals(),
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

    def _adopt_now(self, outlet: AnyOutlet) -> Pool:
        if self not in outlet.hubs:
            outlet.hubs = (*outlet.hubs, self) if outlet.hubs else self._alone
            outlet.overflow = self.overflow
            outlet.count_in(self._counters)
            self._connections += 1
        return self._pool_of(outlet)

    def _forget_now(self, outlet: AnyOutlet) -> None:
        self._leave_all(outlet)
        if self in outlet.hubs:
            outlet.hubs = () if len(outlet.hubs) == 1 else tuple(hub for hub in outlet.hubs if hub is not self)
            self._connections -= 1
            if isinstance(outlet, Outlet) and (pool := self._writers.get(outlet.loop)) is not None:
                pool.outlets.pop(outlet, None)

    def _leave(self, channel: Channel, outlet: AnyOutlet) -> bool:
        seat = among(outlet.memberships, channel)
        if seat is None:
            return False
        outlet.memberships = without(outlet.memberships, seat)
        channel.leave(seat)
        self._memberships -= 1
        if not channel.count:
            self._channels.remove(channel)
            if self._reach is not None:
                self._reach.unwant(channel.id)
        return True

    def _leave_all(self, outlet: AnyOutlet) -> int:
        mine = self._of(outlet)
        for seat in mine:
            self._leave(seat.shard.channel, outlet)
        return len(mine)

    def _of(self, outlet: AnyOutlet) -> list[Seat]:
        if outlet.hubs is self._alone:  # all of them are ours
            return every(outlet.memberships)
        return [seat for seat in every(outlet.memberships) if seat.shard.channel.hub is self]

    def _join_later(self, channel: Channel, socket: Any, meta: Any) -> None:
        while self._join(channel, socket, meta) is None:
            channel = self._find_or_make(channel.id)
