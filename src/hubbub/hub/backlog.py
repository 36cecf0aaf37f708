"""The backlog of one socket, and what its overflow policy does when it passes its limit. Pure: no I/O, no lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from enum import StrEnum
from typing import Literal, NamedTuple, TypeAlias

from hubbub.errors import Misuse

__all__ = ["Backlog", "Outcome", "Overflow", "Policy", "TotalBacklog", "Waiting"]

Policy: TypeAlias = Literal["disconnect", "drop-oldest", "drop-newest", "drop-rest", "latest"]
"""The policies by name."""


class Overflow(StrEnum):
    """What happens to a socket whose backlog passes its limit. Control frames are never dropped."""

    DISCONNECT = "disconnect"
    """Cut the connection: the peer knows that it missed something, and may come back. The default."""
    DROP_OLDEST = "drop-oldest"
    """Drop what has waited longest until the new message fits."""
    DROP_NEWEST = "drop-newest"
    """Drop the new message."""
    DROP_REST = "drop-rest"
    """Drop the new message, and those of channels that follow it, until the handler's `dropped` has been called: so
    nothing comes behind a gap before the program knows of it."""
    LATEST = "latest"
    """Keep only the newest message of each channel. What was written to the socket itself is kept; if that alone
    passes the limit, the connection is cut."""

    @classmethod
    def of(cls, name: Overflow | Policy) -> Overflow:
        """The policy of that name. Raises: Misuse: there is none."""
        try:
            return cls(name)
        except ValueError:
            raise Misuse(f"no overflow policy {name!r}: choose one of {', '.join(cls)}") from None


class Waiting(NamedTuple):
    """A whole encoded frame that waits. The bytes are shared with every other socket that waits for them."""

    data: bytes
    channel: Hashable | None  # None: written to the socket itself
    control: bool = False


class Outcome(NamedTuple):
    """What adding to a backlog came to."""

    accepted: bool
    dropped: int = 0  # messages dropped to make room, or the new one itself
    cause: str = ""  # "overflow" or "budget" when anything was dropped or refused
    disconnect: bool = False


class TotalBacklog:
    """The bytes that wait for all sockets of the process. Changed under the lock; the compiled twin by any thread."""

    __slots__ = ("used",)

    def __init__(self) -> None:
        self.used: int = 0

    def add(self, difference: int) -> None:
        self.used += difference

    def claim(self, own: int, size: int, limit: int) -> bool:
        """Add `size` if it is `affordable`; returns whether it was."""
        if not affordable(own, size, self.used, limit):
            return False
        self.used += size
        return True


def affordable(own: int, size: int, used: int, limit: int) -> bool:
    """Whether a socket of whom `own` bytes wait may let `size` more wait, when `used` wait for all.

    It may have as many as stay free beside it. So the limit is kept, those who let much wait stop each other, and who
    lets a little wait is served.
    """
    return own + size <= limit - used - size


_ACCEPTED = Outcome(True)


class Backlog:
    """Frames that wait for one socket, in order.

    Args:
        limit: bytes, besides a single frame that is larger by itself.
        total_limit: bytes of all backlogs of the process.
        total: counts them.
    """

    __slots__ = ("_frames", "_limit", "_policy", "_total", "_total_limit", "size")

    def __init__(self, limit: int, total_limit: int, policy: Overflow, total: TotalBacklog) -> None:
        self._frames: deque[Waiting] = deque()
        self._limit = limit
        self._total_limit = total_limit
        self._policy = policy
        self._total = total
        self.size: int = 0  # bytes waiting here

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: Waiting, already: int = 0) -> Outcome:
        """Let a frame wait, or do as the policy says.

        Args:
            already: bytes in front of this backlog, given to the transport but not yet taken by the kernel.
        """
        size = len(frame.data)
        if frame.control:
            self._push(frame)
            return _ACCEPTED
        cause = self._claim(size, already)
        if not cause:
            self._frames.append(frame)
            return _ACCEPTED
        match self._policy:
            case Overflow.DISCONNECT:
                return Outcome(False, 1, cause, disconnect=True)
            case Overflow.DROP_NEWEST | Overflow.DROP_REST:
                return Outcome(False, 1, cause)
            case Overflow.DROP_OLDEST:
                dropped = self._drop_oldest(size, already)
                if self._claim(size, already):
                    return Outcome(False, dropped + 1, cause)
            case Overflow.LATEST:
                dropped = self._keep_latest(frame)
                if self._claim(size, already):
                    return Outcome(False, dropped + 1, cause, disconnect=True)
        self._frames.append(frame)
        return Outcome(True, dropped, cause)

    def put_control(self, data: bytes) -> None:
        """Let a ping or pong wait in place of one that waits already: the latest says all (RFC 6455, section 5.5.3)."""
        for index, frame in enumerate(self._frames):
            if frame.control and frame.data[0] == data[0]:
                self._resize(len(data) - len(frame.data))
                self._frames[index] = Waiting(data, None, control=True)
                return
        self._push(Waiting(data, None, control=True))

    def take(self, most: int) -> bytes:
        """The next whole frames, joined: at most so many bytes, but at least one frame.

        They stay in the total of all: whoever takes them lets go of them there.
        """
        frames = self._frames
        first = frames.popleft().data
        size = len(first)
        if not frames or size + len(frames[0].data) > most:
            self.size -= size
            return first
        parts = [first]
        while frames and size + len(frames[0].data) <= most:
            parts.append(frames.popleft().data)
            size += len(parts[-1])
        self.size -= size
        return b"".join(parts)

    def clear(self) -> int:
        """Forget everything; returns how many messages that were, control frames not counted."""
        lost = sum(not frame.control for frame in self._frames)
        self._frames.clear()
        self._resize(-self.size)
        return lost

    def _claim(self, size: int, already: int) -> str:
        """Count so many bytes in, or say why not."""
        waiting = self.size + already
        if waiting and waiting + size > self._limit:
            return "overflow"
        if not self._total.claim(waiting, size, self._total_limit):
            return "budget"
        self.size += size
        return ""

    def _excess(self, size: int, already: int) -> str:
        return self._excess_beside(self.size + already, size, self._total.used)

    def _excess_beside(self, waiting: int, size: int, used: int) -> str:
        if waiting and waiting + size > self._limit:
            return "overflow"
        return "" if affordable(waiting, size, used, self._total_limit) else "budget"

    def _push(self, frame: Waiting) -> None:
        self._frames.append(frame)
        self._resize(len(frame.data))

    def _resize(self, difference: int) -> None:
        self.size += difference
        self._total.add(difference)

    def _drop_oldest(self, size: int, already: int) -> int:
        """Drop what has waited longest until `size` bytes fit; nothing if that would not do."""
        droppable = sum(len(frame.data) for frame in self._frames if not frame.control)
        if self._excess_beside(self.size + already - droppable, size, self._total.used - droppable):
            return 0
        kept: list[Waiting] = []
        dropped = 0
        while self._frames and self._excess(size, already):
            frame = self._frames.popleft()
            if frame.control:
                kept.append(frame)
            else:
                dropped += 1
                self._resize(-len(frame.data))
        self._frames.extendleft(reversed(kept))
        return dropped

    def _keep_latest(self, new: Waiting) -> int:
        """Drop every message that a later one of the same channel, `new` included, has made stale."""
        seen = {new.channel}
        kept: deque[Waiting] = deque()
        dropped = 0
        for frame in reversed(self._frames):
            if not frame.control and frame.channel is not None and frame.channel in seen:
                dropped += 1
                self._resize(-len(frame.data))
                continue
            seen.add(frame.channel)
            kept.appendleft(frame)
        self._frames = kept
        return dropped
