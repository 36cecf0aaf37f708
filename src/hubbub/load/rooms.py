"""Whose turn it is to publish."""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

__all__ = ["Publisher", "Rooms"]


class Publisher(Protocol):
    """Somebody who can publish, or cannot just now."""

    @property
    def willing(self) -> bool:
        """Whether it can."""
        ...


P = TypeVar("P", bound=Publisher)


class Rooms(Generic[P]):
    """The rooms take turns, and so do the members of each."""

    def __init__(self) -> None:
        self._rooms: dict[int, deque[P]] = {}
        self._turns: deque[deque[P]] = deque()

    def add(self, room: int, publisher: P) -> None:
        """Take somebody in."""
        if room not in self._rooms:
            self._rooms[room] = deque()
            self._turns.append(self._rooms[room])
        self._rooms[room].append(publisher)

    def next(self) -> P | None:
        """Who publishes next; None if nobody of the next room's is willing."""
        if not self._turns:
            return None
        members = self._turns[0]
        self._turns.rotate(-1)
        for _ in range(len(members)):
            publisher = members[0]
            members.rotate(-1)
            if publisher.willing:
                return publisher
        return None
