"""Several processes that share a port with SO_REUSEPORT: started, watched, started again, stopped together."""

# mypy: disable-error-code="attr-defined"
# (on Windows, where `hubbub.run` refuses several workers)

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence

from hubbub.hub import WORKERS
from hubbub.logs import logger
from hubbub.server.listener import bind_tcp
from hubbub.supervision import Pauses

__all__ = ["run_workers"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_workers(count: int, hosts: Sequence[str], port: int, work: Callable[[int, int], None]) -> None:
    """Run `work(port, parent)` in so many processes until SIGINT or SIGTERM. A second signal kills them.

    Args:
        port: 0 for any free port, the same for all.
        work: its second argument is a descriptor that is readable when the parent is gone, however it ended: a worker
            that stayed would serve the port for ever.

    Raises:
        OSError: the address cannot be had.
        SystemExit: a second signal came; with 128 and its number.
    """
    reserved = bind_tcp(hosts[0], port, reuse_port=True)  # held, not listening: says at once if it cannot be had
    port = reserved[0].getsockname()[1]
    family = Family(count, lambda parent: work(port, parent))
    try:
        family.watch()
    finally:
        for held in reserved:
            held.close()


class Family:
    """A parent's view of its workers."""

    def __init__(self, count: int, work: Callable[[int], None]) -> None:
        self._work = work
        self._count = count
        self._started: dict[int, float] = {}  # by process id, when
        self._due = [0.0] * count  # when each missing worker is to be started
        self._pauses = Pauses()
        self._signals: list[int] = []  # that came so far
        self._parent = -1  # what workers watch: the end of a pipe whose other end only the parent has
        self._alive = -1  # that one
        self._woken: tuple[int, int] = (-1, -1)  # the pipe in which signals wake us

    def watch(self) -> None:
        """Keep the workers running until a signal comes, then until they are gone."""
        self._parent, self._alive = os.pipe()
        self._woken = read, write = os.pipe()
        os.set_blocking(write, False)
        before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        # it only wakes us, and has to have a handler: were it ignored, as it may be inherited, nobody would be told
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _wake)
        wake = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        try:
            while not self._signals:
                self._start_due()
                self._reap()
                pause = min([1.0, *(max(0.0, due - time.monotonic()) for due in self._due)])
                if select.select([read], [], [], max(pause, 0.05))[0]:
                    os.read(read, 64)
            self._stop()
        finally:  # whatever ended it: without the pipe the workers stop, too
            signal.set_wakeup_fd(wake)
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            for descriptor in (self._parent, self._alive, read, write):
                os.close(descriptor)
        if len(self._signals) > 1:
            sys.exit(128 + self._signals[-1])

    def _on_signal(self, number: int, frame: object) -> None:
        self._signals.append(number)
        for pid in self._started:
            with contextlib.suppress(OSError):  # gone already: the others are to hear of it all the same
                os.kill(pid, number if len(self._signals) == 1 else signal.SIGKILL)

    def _start_due(self) -> None:
        # a signal between a fork and the note of it would be told to nobody, and be handled by the child as a parent
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            now = time.monotonic()
            for due in [due for due in self._due if due <= now and not self._signals]:
                self._due.remove(due)
                try:
                    pid = os.fork()
                except OSError as error:
                    self._start_later(0.0, f"no worker can be started: {error.strerror}")
                    continue
                if pid == 0:
                    self._be_worker()
                self._started[pid] = now
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _start_later(self, lasted: float, why: str) -> None:
        pause = self._pauses.after(lasted)
        logger.error("%s; starting another in %.1f s", why, pause)
        self._due.append(time.monotonic() + pause)

    def _be_worker(self) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (*SIGNALS, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            for descriptor in (self._alive, *self._woken):
                os.close(descriptor)
            os.environ[WORKERS] = str(self._count)
            self._work(self._parent)
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:
            logger.exception("worker %d failed", os.getpid())
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        for pid, started in list(self._started.items()):
            try:
                ended, status = os.waitpid(pid, os.WNOHANG)  # each by itself: the program may have other children
            except ChildProcessError:  # somebody else has waited for it
                ended, status = pid, 0
            if ended:
                del self._started[pid]
                if not self._signals:
                    why = f"worker {pid} ended with {os.waitstatus_to_exitcode(status)}"
                    self._start_later(time.monotonic() - started, why)

    def _stop(self) -> None:
        while self._started:
            self._reap()
            time.sleep(0.02)


def _wake(number: int, frame: object) -> None:
    """Nothing: that there is a handler makes the signal interrupt our waiting."""
