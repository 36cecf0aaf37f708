"""The log of one channel in memory: what is kept of it, where it stands, and what it refuses. No I/O, no clock."""

from __future__ import annotations

import secrets
from collections import deque
from itertools import islice

from hubbub.brokers.contract import (
    EPOCH_SIZE,
    NUMBERS_TTL,
    POSITION_TTL,
    History,
    Outgoing,
    Page,
    Position,
    Publication,
    Published,
)

__all__ = ["KEY_TTL", "Log", "new_epoch"]

KEY_TTL = 300.0  # seconds for which an idempotency key is known


def new_epoch() -> str:
    """A random one."""
    return secrets.token_hex(EPOCH_SIZE // 2)


class Log:
    """One channel. `now` is in seconds, of a clock that never goes back."""

    __slots__ = (
        "_keys",
        "_publications",
        "due",
        "epoch",
        "kept_until",
        "lives_until",
        "top",
        "version",
        "version_epoch",
    )

    def __init__(self, epoch: str, now: float, position_ttl: float = NUMBERS_TTL) -> None:
        self.epoch: str = epoch
        self.top: int = 0
        self.version: int = 0
        self.version_epoch: str = ""
        self.lives_until: float = now + position_ttl  # then the position is forgotten
        self.due: float = self.lives_until  # when its engine looks at it
        self._publications: deque[Publication] = deque()
        self.kept_until: float = 0.0
        self._keys: dict[str, tuple[float, Published]] | None = None  # in the order in which they expire

    @property
    def position(self) -> Position:
        return Position(self.top, self.epoch)

    def append(self, new: Outgoing, now: float, position_ttl: float | None = None) -> Publication | Published:
        """The publication with its offset, or why it was suppressed."""
        if new.key and (first := self._first(new.key, now)) is not None:
            return first._replace(suppressed="repeated")
        if new.version and self._is_older(new.version, new.version_epoch):
            return Published(self.top, self.epoch, "older")
        previous = self.top
        self.top += 1
        publication = Publication(self.top, previous, self.epoch, new.id, new.body)
        if new.version:
            self.version, self.version_epoch = new.version, new.version_epoch or self.version_epoch
        if new.key:
            self._remember(new.key, Published(self.top, self.epoch), now)
        self._keep(publication, new.history, now)
        lasts = position_ttl or (NUMBERS_TTL if new.history is None else max(POSITION_TTL, new.history.ttl))
        self.lives_until = max(self.lives_until, now + lasts, self.kept_until)
        return publication

    def tidy(self, now: float) -> float:
        """Let go of what has expired. When there is more to let go of."""
        if self.kept_until <= now:
            self._publications.clear()
        keys, next_key = self._keys, self.lives_until
        while keys:
            oldest = next(iter(keys))
            next_key = keys[oldest][0]
            if next_key > now:
                break
            del keys[oldest]
        if not keys:
            self._keys, next_key = None, self.lives_until
        return min(self.lives_until, next_key, self.kept_until if self._publications else self.lives_until)

    def _first(self, key: str, now: float) -> Published | None:
        found = self._keys.get(key) if self._keys is not None else None
        return found[1] if found is not None and found[0] > now else None

    def _remember(self, key: str, published: Published, now: float) -> None:
        if self._keys is None:
            self._keys = {}
        self._keys.pop(key, None)
        self._keys[key] = (now + KEY_TTL, published)

    def _is_older(self, version: int, epoch: str) -> bool:
        return version <= self.version and epoch in ("", self.version_epoch)

    def _keep(self, publication: Publication, history: History | None, now: float) -> None:
        if self._publications and self.kept_until <= now:
            self._publications.clear()
        if history is None:  # what was kept would have a hole behind it
            self._publications.clear()
            return
        self._publications.append(publication)
        self.kept_until = now + history.ttl
        while len(self._publications) > history.size:
            self._publications.popleft()

    def page(self, since: Position | None, limit: int | None, reverse: bool, now: float) -> Page:
        """What is kept, behind `since`, or before it in reverse."""
        if self.kept_until <= now:
            self._publications.clear()
        kept, top = self._publications, self.position
        known = since is None or (since.epoch == self.epoch and since.offset <= self.top)
        first = kept[0].previous if kept else self.top  # what a reader has to have, for nothing to be missing
        if reverse:
            chosen = (p for p in reversed(kept) if since is None or not known or p.offset < since.offset)
            return Page(list(islice(chosen, limit)), top, known)
        chosen = (p for p in kept if since is None or not known or p.offset > since.offset)
        complete = known and (since is None or since.offset >= first)
        return Page(list(islice(chosen, limit)), top, complete)

    def forget(self) -> None:
        self._publications.clear()
