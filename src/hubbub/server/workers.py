"""Several processes that share a port with SO_REUSEPORT: started, watched, started again, stopped together."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence

from hubbub.logs import logger
from hubbub.server.listener import bind_tcp
from hubbub.supervision import Pauses

__all__ = ["run_workers"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_workers(count: int, hosts: Sequence[str], port: int, work: Callable[[int], None]) -> None:
    """Run `work(port)` in so many processes until SIGINT or SIGTERM. A second signal kills them.

    Args:
        port: 0 for any free port, the same for all.

    Raises:
        OSError: the address cannot be had.
        SystemExit: a second signal came; with 128 and its number.
    """
    reserved = bind_tcp(hosts[0], port, reuse_port=True)  # held, not listening: says at once if it cannot be had
    port = reserved[0].getsockname()[1]
    family = Family(count, lambda: work(port))
    try:
        family.watch()
    finally:
        for held in reserved:
            held.close()


class Family:
    """A parent's view of its workers."""

    def __init__(self, count: int, work: Callable[[], None]) -> None:
        self._work = work
        self._started: dict[int, float] = {}  # by process id, when
        self._due = [0.0] * count  # when each missing worker is to be started
        self._pauses = Pauses()
        self._signals: list[int] = []  # that came so far

    def watch(self) -> None:
        """Keep the workers running until a signal comes, then until they are gone."""
        read, write = os.pipe()
        os.set_blocking(write, False)
        before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        wake = signal.set_wakeup_fd(write)
        try:
            while not self._signals:
                self._start_due()
                self._reap()
                pause = min([1.0, *(max(0.0, due - time.monotonic()) for due in self._due)])
                if select.select([read], [], [], max(pause, 0.05))[0]:
                    os.read(read, 64)
            self._stop()
        finally:
            signal.set_wakeup_fd(wake)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(read)
            os.close(write)
        if len(self._signals) > 1:
            sys.exit(128 + self._signals[-1])

    def _on_signal(self, number: int, frame: object) -> None:
        self._signals.append(number)
        for pid in self._started:
            os.kill(pid, number if len(self._signals) == 1 else signal.SIGKILL)

    def _start_due(self) -> None:
        # a signal between a fork and the note of it would be told to nobody, and be handled by the child as a parent
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            now = time.monotonic()
            for due in [due for due in self._due if due <= now and not self._signals]:
                self._due.remove(due)
                pid = os.fork()
                if pid == 0:
                    self._be_worker()
                self._started[pid] = now
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _be_worker(self) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            self._work()
            code = 0
        except BaseException:
            logger.exception("worker %d failed", os.getpid())
        finally:
            os._exit(code)

    def _reap(self) -> None:
        while self._started:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            started = self._started.pop(pid, None)
            if started is not None and not self._signals:
                pause = self._pauses.after(time.monotonic() - started)
                logger.error("worker %d ended with %d; starting another in %.1f s", pid, status, pause)
                self._due.append(time.monotonic() + pause)

    def _stop(self) -> None:
        while self._started:
            self._reap()
            time.sleep(0.02)
