"""What is done to users while somebody connects: who turns out to be one of them is no exception.

Who connects is known when their token, and the program, have said so, which may take a while.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

__all__ = ["Act", "Meanwhile"]


class Act(NamedTuple):
    """Done to a user's sessions."""

    what: str
    user: str
    client: str
    """The only one; "": all."""
    how: Mapping[str, Any]

    def concerns(self, user: str, client: str) -> bool:
        return user == self.user and self.client in ("", client)


class Meanwhile:
    """Used in a `with` by each session that connects, for as long as it does.

    Args:
        seconds: that a connect may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._connecting = 0
        self._noted = 0  # since the first of those who connect began
        self._acts: deque[tuple[float, Act]] = deque()

    def __enter__(self) -> int:
        """Returns what `since` is to be asked with."""
        self._connecting += 1
        return self._noted

    def __exit__(self, *_: object) -> None:
        self._connecting -= 1
        if not self._connecting:
            self._acts.clear()

    def note(self, act: Act) -> None:
        """This was done to the sessions that there are."""
        if not self._connecting:
            return
        now = time.monotonic()
        while self._acts and self._acts[0][0] < now - self._seconds:
            self._acts.popleft()
        self._noted += 1
        self._acts.append((now, act))

    def since(self, mark: int, user: str, client: str) -> list[Act]:
        """What would have been done to that client as well, in this order."""
        newest_first = islice(reversed(self._acts), self._noted - mark)
        return [act for _, act in newest_first if act.concerns(user, client)][::-1]
