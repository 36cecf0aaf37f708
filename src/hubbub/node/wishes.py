"""Which channels somebody here is a member of: changed from any thread, noticed by the node."""

from __future__ import annotations

__all__ = ["Wishes"]


class Wishes:
    """Single steps on sets, so it needs no lock; whoever changes it does so in the order of things."""

    __slots__ = ("changed", "wanted")

    def __init__(self) -> None:
        self.wanted: set[bytes] = set()
        self.changed: set[bytes] = set()
        """Names that came to be wanted, or no longer, and that the node has not noticed yet."""

    def want(self, name: bytes) -> None:
        self.wanted.add(name)
        self.changed.add(name)

    def unwant(self, name: bytes) -> None:
        self.wanted.discard(name)
        self.changed.add(name)
