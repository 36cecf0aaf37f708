"""What reaches the log: escaped, and about peers no more often than a rate allows."""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Generator

__all__ = ["PLAIN", "PeerLog", "behind_a_bar", "logger", "on_stderr", "printable"]

logger: logging.Logger = logging.getLogger("hubbub")

PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"  # a line where there is no terminal, and with its date

_LONGEST = 200  # characters of a peer's text in one log line
_MOST_LINES = 200  # of one traceback: the message of an exception may be a peer's, line by line


@contextlib.contextmanager
def on_stderr() -> Generator[None]:
    """Show the log there meanwhile, from INFO on, if the program has not said what is to become of it."""
    if logger.hasHandlers() or logger.level or logger.disabled:
        yield
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(PLAIN))
    handler.addFilter(_is_ours)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def _is_ours(_: logging.LogRecord) -> bool:
    """Whether nobody else shows it: a program may configure its logging later."""
    return not logging.getLogger().handlers


def printable(text: object) -> str:
    """The text with everything that could move a cursor or forge a line escaped, and cut to 200 characters."""
    shown = str(text)
    cut = shown[:_LONGEST] + ("…" if len(shown) > _LONGEST else "")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


class PeerLog:
    """Log lines that peers can cause, at most `rate` in a second; the rest is counted and said in one line.

    Args:
        logger: where they go.
    """

    __slots__ = ("_clock", "_count", "_logger", "_rate", "_second", "suppressed")

    def __init__(
        self, rate: int, clock: Callable[[], float] = time.monotonic, *, logger: logging.Logger = logger
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._logger = logger
        self._second = -1
        self._count = 0
        self.suppressed: int = 0  # lines of all time that were counted instead of written

    def _allowed(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            if self._count > self._rate:
                self._logger.warning("%d more log lines about peers were suppressed", self._count - self._rate)
            self._second, self._count = second, 0
        self._count += 1
        if self._count > self._rate:
            self.suppressed += 1
            return False
        return True

    def write(self, level: int, message: str, *peer_text: object) -> None:
        """Log `message % peer_text`, each of them escaped; numbers stay numbers, for `%d`."""
        if self._logger.isEnabledFor(level) and self._allowed():
            shown = (text if isinstance(text, int) else printable(text) for text in peer_text)
            self._logger.log(level, message, *shown)

    def failure(self, message: str, error: BaseException) -> None:
        """Log an error of the program's own with its traceback.

        The record has the exception as `exc_info`, for those who collect exceptions. What formatters show of it is
        `exc_text`, made here: an exception often quotes what the peer sent, so each line is escaped, and set in behind
        a bar, so that none of them can pass for a log line.
        """
        log = self._logger
        if log.isEnabledFor(logging.ERROR) and self._allowed():
            place, line, function, _ = log.findCaller(stacklevel=2)
            details = (type(error), error, error.__traceback__)
            record = log.makeRecord(log.name, logging.ERROR, place, line, message, (), details, function)
            record.exc_text = behind_a_bar(error)
            log.handle(record)


def behind_a_bar(error: BaseException) -> str:
    """The traceback, each line of it escaped and marked; 200 lines of it at most, the last ones among them."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    if (more := len(lines) - _MOST_LINES) > 0:
        half = _MOST_LINES // 2
        lines = [*lines[:half], f"... {more} lines more ...", *lines[-half:]]
    return "\n".join(f"  | {printable(line)}" for line in lines)
