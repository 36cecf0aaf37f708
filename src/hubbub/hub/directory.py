"""The channels of a hub, by id.

An id is the program's own, and so are its `__hash__` and `__eq__`, which may take their time, take locks, or fail. They
are called in `find` and `find_or_make` alone, and those need no lock: channels are kept by the number that `hash` gave,
and those that share one are chained, the newest first. What needs the lock tells channels apart by identity.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubbub.hub.channel import Channel

__all__ = ["Directory"]


class Directory:
    """Channels that have members, and how many they are."""

    __slots__ = ("count", "newest")

    def __init__(self) -> None:
        self.newest: dict[int, Channel] = {}
        """By hash, of those that share one."""
        self.count: int = 0

    def ids(self) -> list[Any]:
        """Of all channels, in no order. Others may come and go meanwhile."""
        found: list[Any] = []
        for channel in list(self.newest.values()):
            each: Channel | None = channel
            while each is not None:
                found.append(each.id)
                each = each.next
        return found

    def find(self, id: Hashable) -> Channel | None:
        """The channel of that id. Its last member may leave, and another channel of that id begin, at any moment."""
        channel = self.newest.get(hash(id))
        while channel is not None and not (channel.id is id or channel.id == id):
            channel = channel.next
        return channel

    def find_or_make(self, id: Hashable, make: Callable[[int, Channel | None], Channel]) -> Channel:
        """The channel of that id, or a new one for `add`, made from its hash and the newest channel that shares it."""
        number = hash(id)
        newest = channel = self.newest.get(number)
        while channel is not None and not (channel.id is id or channel.id == id):
            channel = channel.next
        return make(number, newest) if channel is None else channel

    # With the lock held

    def is_free(self, channel: Channel) -> bool:
        """Whether no other channel of its id can have been added since this one was found or made."""
        return self.newest.get(channel.hash) is channel.next

    def add(self, channel: Channel) -> None:
        """It `is_free`, and has its first member."""
        self.newest[channel.hash] = channel
        self.count += 1

    def remove(self, channel: Channel) -> None:
        """Its last member left. It keeps its `next`, for who is just looking through the chain."""
        newer = self.newest[channel.hash]
        if newer is not channel:
            while newer.next is not channel:
                assert newer.next is not None
                newer = newer.next
            newer.next = channel.next
        elif channel.next is not None:
            self.newest[channel.hash] = channel.next
        else:
            del self.newest[channel.hash]
        self.count -= 1
