"""What an open connection is waited for, and until when. Pure: times come in, verdicts go out."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from hubbub.limits import Limits

__all__ = ["Deadlines", "Due", "Verdict"]


class Due(Enum):
    """What is to be done with a connection."""

    NOTHING = "nothing"
    PING = "it was silent for ping_interval"
    NO_PONG = "it was silent for pong_timeout after a ping"
    UNFINISHED = "a message was not finished within message_timeout"
    STALLED = "it took no byte for backlog_timeout"


class Verdict(NamedTuple):
    """What is due now, and when to look again."""

    due: Due
    again: float


class Deadlines:
    """The times of one open connection, in seconds of the sweep's clock; 0.0 for what has not happened."""

    __slots__ = ("_left", "_queued", "pinged", "seen", "stalled", "unfinished")

    def __init__(self) -> None:
        self.seen: float = 0.0  # when bytes last came
        self.pinged: float = 0.0  # when it was pinged, if no byte came since
        self.unfinished: float = 0.0  # when the message under way began
        self.stalled: float = 0.0  # when the kernel last took bytes, if some wait for it
        self._left = 0  # how many waited then
        self._queued = 0  # bytes on their way to the peer at the latest look

    def stall(self, now: float, left: int) -> None:
        """Bytes begin to wait for the kernel; so many are kept for the peer by it and the transport."""
        self.stalled, self._left = now, left

    def excuse(self, now: float) -> None:
        """It is not read, so its silence is ours."""
        self.seen = now
        if self.unfinished:
            self.unfinished = now

    def judge(self, now: float, limits: Limits, left: int, waiting: int = 0, queued: int = 0) -> Verdict:
        """What is due.

        Args:
            left: bytes that transport and kernel keep for the peer: that they get fewer is progress.
            waiting: all bytes that wait for the kernel: a ping waits behind them.
            queued: bytes that the kernel has and the peer has not: a ping that left is behind them.
        """
        if self.pinged and (waiting or queued < self._queued):  # the ping may have left just now, or not have arrived
            self.pinged = now
        self._queued = waiting + queued
        if self.stalled and left != self._left:
            self.stall(now, left)
        ends = [
            (since + timeout, due)
            for since, timeout, due in (
                (self.stalled, limits.backlog_timeout, Due.STALLED),
                (self.unfinished, limits.message_timeout, Due.UNFINISHED),
                self._silence(now, limits),
            )
            if since
        ]
        again, due = min(ends, key=lambda end: end[0])
        if now < again:
            return Verdict(Due.NOTHING, again)
        if due is Due.PING:
            self.pinged = now
            again = now + limits.pong_timeout
        return Verdict(due, again)

    def _silence(self, now: float, limits: Limits) -> tuple[float, float, Due]:
        if self.pinged and self.seen >= self.pinged:
            self.pinged = 0.0
        if self.pinged:
            return self.pinged, limits.pong_timeout, Due.NO_PONG
        return self.seen, limits.ping_interval, Due.PING
