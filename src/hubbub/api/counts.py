"""What the HTTP API counts of itself."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Counts"]


class Counts:
    """How often each method was called, by what came of it.

    Args:
        methods: the names that are counted apart: all others are one.
    """

    def __init__(self, methods: Iterable[str]) -> None:
        self._methods = frozenset(methods)
        self.calls: dict[tuple[str, int], int] = {}
        """By method and code: 0 for a result, 400 for a request that could not be read, else the error's."""
        self.refused: int = 0
        """Requests without the right key."""

    def add(self, method: str, code: int) -> None:
        key = (method if method in self._methods else "unknown", min(400, code))
        self.calls[key] = self.calls.get(key, 0) + 1
