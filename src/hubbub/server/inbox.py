"""What waits for a handler or application that is busy: bounded, by making the peer wait."""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

from hubbub.limits import Limits

__all__ = ["Inbox", "Source"]

Item = TypeVar("Item")


class Source(Protocol):
    """Where the items come from: a connection."""

    def hold(self) -> None:
        """Stop reading."""

    def read_on(self) -> None:
        """Read again, if `hold` was called."""


class Inbox(Generic[Item]):
    """Items in order of arrival. When it is full the source is held; when it is half empty, it is read on.

    Nothing is refused: the item that fills it is kept, and the source brings no other until it is read on.
    """

    __slots__ = ("_full", "_items", "_most", "_most_size", "_size", "_source")

    def __init__(self, source: Source, limits: Limits) -> None:
        self._items: deque[tuple[Item, int]] = deque()
        self._size = 0
        self._source = source
        self._most = limits.max_inbox
        self._most_size = limits.max_inbox_size
        self._full = False  # the source is held

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item, size: int = 0) -> None:
        """Let an item of so many bytes wait."""
        self._items.append((item, size))
        self._size += size
        if len(self._items) >= self._most or self._size >= self._most_size:
            self._full = True
            self._source.hold()

    def take(self) -> Item:
        """The item that has waited longest."""
        item, size = self._items.popleft()
        self._size -= size
        if self._full and len(self._items) <= self._most // 2 and self._size <= self._most_size // 2:
            self._full = False
            self._source.read_on()
        return item
