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
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, overload

from hubbub import native
from hubbub.arguments import instance, shown, whole
from hubbub.brokers import Broker, History
from hubbub.errors import LimitReached, Misuse
from hubbub.hub.backlog import Overflow, Policy
from hubbub.hub.channel import Channel, Seat, Sharding
from hubbub.hub.given import cores, name_size, outlet_of, outlets_of
from hubbub.hub.memberships import among
from hubbub.hub.outlet import AnyOutlet
from hubbub.hub.reach import Missed, Reach
from hubbub.hub.register import Register
from hubbub.hub.several import warn_if_several
from hubbub.hub.socket import Socket
from hubbub.hub.statistics import Statistics, fanout
from hubbub.limits import Limits
from hubbub.lock import carry_out, inside, lock, perform, put_off
from hubbub.node import Ticket
from hubbub.wire import Frame, close, frame

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from hubbub.hub.mailbox import AnyEntry

    Meta = TypeVar("Meta", default=Any)
else:  # a default is a thing of Python 3.13, and of those who check types
    from typing import TypeVar

    Meta = TypeVar("Meta")

__all__ = ["Hub", "Member"]

Other = TypeVar("Other")
_usual: Callable[..., int | None] = (lambda *_: None) if fanout is None else fanout.broadcast


class Member(NamedTuple, Generic[Meta]):
    """One socket in one channel, with the small piece of data given at join. Unpacks as `socket, meta`."""

    socket: Socket
    meta: Meta


class Hub(Register, Generic[Meta]):
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

    `Hub[User]()` is a hub whose members' meta are Users, for type checkers; of a plain `Hub()` they may be anything.

    Raises: Misuse: arguments that are wrong or contradict each other, an unknown overflow policy, or no such broker.
    """

    def __init__(
        self,
        *,
        writers: int = 1,
        max_writers: int | None = None,
        shards: Sharding | None = None,
        overflow: Overflow | Policy = "disconnect",
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
        bounds = instance("limits", limits, Limits, "a hubbub.Limits") or Limits()
        super().__init__(bounds, Overflow.of(overflow), shards, (writers, max_writers))
        if broker := os.environ.get("HUBBUB_BROKER", "") if broker is None else broker:
            instance("history", history, History, "a hubbub.History")
            self._reach = Reach(
                broker, history, bounds, self._hand_out, self.count, self.disconnect, self._counters.drops, missed
            )
        # whether others' broadcasts reach its members, or whoever owns it sees to that; and whether it was said if not
        self._spans: bool = self._reach is not None and self._reach.traits.processes
        self._warned: bool = False

    def __repr__(self) -> str:
        return f"<Hub: {self._channels.count} channels, {self._memberships} memberships>"

    # Membership

    @overload
    def join(self: Hub[Other | None], channel: Hashable, socket: Socket) -> bool: ...
    @overload
    def join(self, channel: Hashable, socket: Socket, meta: Meta) -> bool: ...
    def join(self, channel: Hashable, socket: Socket, meta: Any = None) -> bool:
        """Make the socket a member of the channel.

        Joining again is a no-op and keeps the first meta; so is joining with a closed socket.

        Args:
            channel: any hashable value. Equal values are one channel, as they are one key of a dict: so 1, 1.0 and
                True are, while "1" and b"1" are others.
            meta: a small piece of data that `members` shows beside the socket. Of a `Hub[User]` it is a User, as type
                checkers see it, and may be left out of a `Hub[User | None]`.

        Returns: whether it became a member now.
        Raises:
            LimitReached: `Limits.max_channels`, `Limits.max_channels_per_socket` or `Limits.max_channel_name`.
            TypeError: the channel is not hashable, or `socket` is not a Socket.
        """
        outlet = outlet_of(socket)
        if (size := name_size(channel)) > self.limits.max_channel_name:
            most = self.limits.max_channel_name
            raise LimitReached(f"a channel's name of {size} bytes: {most} are allowed (Limits.max_channel_name)")
        if self._reach is not None:
            self._reach.name(channel)
        joined = None
        while joined is None:  # again when the channel has ended, or begun, between finding it and taking the lock
            known = self._find_or_make(channel)
            if inside():
                may_join = self._may_join(known, outlet)
                put_off.append((self._join_later, (known, socket, meta)))
                return may_join
            joined = perform(self._join, known, socket, meta)
        if not (self._spans or self._warned):
            self._warned = warn_if_several()
        return joined

    def leave(self, channel: Hashable, socket: Socket) -> bool:
        """End the membership; always safe. What was broadcast before still reaches the socket.

        Returns: whether it was a member.
        """
        outlet = outlet_of(socket)
        known = self._channels.find(channel)
        if inside():
            put_off.append((self._leave_later, (channel, outlet)))
            return known is not None and among(outlet.memberships, known) is not None
        return known is not None and bool(perform(self._leave, known, outlet))

    def leave_all(self, socket: Socket) -> int:
        """Leave every channel. Returns how many those were."""
        outlet = outlet_of(socket)
        left = perform(self._leave_all, outlet)
        return len(self._of(outlet)) if left is None else left

    def is_member(self, channel: Hashable, socket: Socket) -> bool:
        """Whether the socket is a member of the channel."""
        outlet = outlet_of(socket)
        known = self._channels.find(channel)
        return known is not None and among(outlet.memberships, known) is not None

    def channels_of(self, socket: Socket) -> list[Any]:
        """The ids of the channels that the socket is a member of, in the order in which it joined them."""
        return self._channels_of(outlet_of(socket))

    def channels(self) -> list[Any]:
        """The ids of all channels that have members in this process, in no order."""
        return self._channels.ids()

    def count(self, channel: Hashable) -> int:
        """How many members the channel has; 0 if there is no such channel."""
        known = self._channels.find(channel)
        return 0 if known is None else known.count

    def members(self, channel: Hashable) -> Iterator[Member[Meta]]:
        """Iterate over the members as they are at this moment: later joins and leaves do not disturb it."""
        return (Member(seat.socket, seat.meta) for seat in self._seats(channel))

    def _seats(self, channel: Hashable) -> list[Seat]:
        known = self._channels.find(channel)
        if known is None:
            return []
        try:
            with lock:
                return known.members()
        finally:
            if put_off:
                carry_out()

    def disconnect(
        self,
        target: Hashable | Socket,
        code: int = 1000,
        reason: str = "",
        *,
        exclude: Socket | Iterable[Socket] | None = None,
    ) -> int:
        """Close the connection of every member that the channel has in this process, as `Socket.close` does.

        Each gets what was broadcast before, and has left every channel when this returns. That takes some 30
        microseconds for each: of a channel with many thousands, call it from a thread.

        Args:
            target: a channel, or one Socket.
            exclude: a socket, or several, that stay.

        Returns: how many were open.
        Raises: Misuse: a code or reason that may not be sent.
        """
        close(whole("a close code", code, 0), reason)  # or refuse, whether there are members or not
        if hasattr(target, "socket"):
            outlet_of(target)  # which a handler has none of: it says what to pass
        spared = outlets_of(exclude)
        sockets = [target] if isinstance(target, Socket) else [seat.socket for seat in self._seats(target)]
        return sum(socket.close(code, reason) for socket in sockets if socket._outlet not in spared)

    # Broadcasting

    def broadcast(
        self,
        channel: Hashable,
        message: str | bytes | Frame,
        *,
        exclude: Socket | Iterable[Socket] | None = None,
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
        if self._reach is not None:
            return self._broadcast_everywhere(channel, message, exclude, timeout)
        if exclude is None and (handed := _usual(self._channels.newest, channel, message)) is not None:
            return handed
        return self._broadcast(channel, frame(message), outlets_of(exclude), timeout)

    def _broadcast_everywhere(self, channel: Hashable, message: Any, exclude: Any, timeout: float) -> int:
        assert self._reach is not None
        self._reach.publish(channel, frame(message), excluded := outlets_of(exclude), timeout)
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
        entry, size = known.entry(message, excluded), len(message._wire)
        return (self._broadcast_except if excluded else self._broadcast_to_all)(known, entry, size, timeout)

    def _broadcast_to_all(self, channel: Channel, entry: AnyEntry, size: int, timeout: float) -> int:
        try:
            with lock:
                channel.wait_for_room(size, timeout)
                handed = channel.count
                if handed:
                    channel.post(entry)
                    self._counters.broadcasts += 1
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
                        self._counters.broadcasts += 1
                    return handed
            finally:
                if put_off:
                    carry_out()

    def publish(
        self,
        channel: Hashable,
        message: str | bytes | Frame,
        *,
        exclude: Socket | Iterable[Socket] | None = None,
        key: str = "",
    ) -> Ticket:
        """Broadcast through the broker, and learn what became of it: `await` the ticket, or `wait` for it on a thread.

        Args:
            key: of messages of one channel with the same key, within 300 s, only the first is published.

        Returns: a Ticket, whose result is a Published: the message's place in its channel. Not that a client has it.
        Raises:
            Misuse: this hub has no broker.
            Overloaded: too much waits for the broker (`Limits.max_outbox`).
            BrokerUnavailable: there has been no link for `Limits.broker_timeout`.
        """
        if self._reach is None:
            raise Misuse("what becomes of a message is the broker's to say, and this hub has none: use broadcast")
        ticket = Ticket()
        self._reach.publish(channel, frame(message), outlets_of(exclude), 0, ticket, key)
        return ticket

    async def count_everywhere(self, channel: Hashable, *, timeout: float = 2.0) -> int:  # noqa: ASYNC109
        """How many members the channel has in all processes that share the broker; they have so many seconds to answer.

        Raises: BrokerUnavailable: there is no link, or some did not answer: it says which, and what the others have.
        """
        if self._reach is None:
            return self.count(channel)
        return await self._reach.everywhere("count", channel, timeout)

    async def disconnect_everywhere(
        self,
        channel: Hashable,
        code: int = 1000,
        reason: str = "",
        *,
        timeout: float = 2.0,  # noqa: ASYNC109
    ) -> int:
        """`disconnect` the members in all processes that share the broker; they have so many seconds to answer.

        Raises: BrokerUnavailable: there is no link, or some did not answer: it says which, and what the others did.
            Misuse: a code or reason that may not be sent.
        """
        if self._reach is None:
            return self.disconnect(channel, code, reason)
        close(whole("a close code", code, 0), reason)
        return await self._reach.everywhere("disconnect", channel, timeout, code, reason)

    async def close(self) -> None:
        """Give the broker what waits for it, and leave it, as the end of the program does. Nothing goes out then."""
        if self._reach is not None:
            await asyncio.to_thread(self._reach.node.close)

    def statistics(self) -> Statistics:
        """A frozen snapshot of counts and loads."""
        try:
            with lock:
                return self._statistics()
        finally:
            if put_off:
                carry_out()

    # With the lock held, or later

    def _hand_out(self, channel: Hashable, message: str | bytes, excluded: frozenset[AnyOutlet]) -> None:
        if excluded or _usual(self._channels.newest, channel, message) is None:
            self._broadcast(channel, frame(message), excluded, 0)

    def _broadcast_later(
        self, id: Hashable, channel: Channel | None, message: Frame, excluded: frozenset[AnyOutlet]
    ) -> int:
        """Inside already: nothing can be waited for, and the message goes out when this thread is outside."""
        handed = 0
        if channel is not None:
            handed = channel.count - channel.count_among(excluded)
            channel.compress(message)  # now, as `_broadcast_now` has the lock
            if channel.full_shard(len(message._wire)) is not None:
                channel.refuse("this thread is inside a hub and cannot wait")
        put_off.append((self._broadcast_now, (id, message, excluded)))
        return handed

    def _broadcast_now(self, id: Hashable, message: Frame, excluded: frozenset[AnyOutlet]) -> None:
        channel = self._channels.find(id)
        if channel is None or channel.count == channel.count_among(excluded):
            return
        if channel.full_shard(len(message._wire)) is not None:
            channel.refuse("it has filled up since")
        channel.post(channel.entry(message, excluded))
        self._counters.broadcasts += 1
