"""A whole run: its processes started, kept in step, and heard."""

from __future__ import annotations

import multiprocessing
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from multiprocessing.connection import wait
from types import FrameType
from typing import Any

from hubbub.load.dial import tls_context
from hubbub.load.plan import Plan, Share
from hubbub.load.report import Report, report
from hubbub.load.tally import Progress, Published, Ready, Start, Stop, Tally, Totals
from hubbub.load.worker import work
from hubbub.system import allow_descriptors, needs_unix

__all__ = ["View", "run"]

GLANCE = 0.1  # seconds between two calls of `watch`
NOTICE = 50_000_000  # nanoseconds from the word to start until the start: a pipe takes less
FALLEN = "a process of the load generator ended by itself"
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class View:
    """What can be seen of a run while it lasts."""

    phase: str  # "connecting", "publishing" or "waiting for what is late"
    elapsed: float  # seconds since publishing began
    stopping: bool
    progress: Progress  # of all processes together


def run(plan: Plan, watch: Callable[[View], None]) -> Report:
    """Run a plan in processes of its own, so that whoever watches does not disturb what is measured.

    The first SIGINT or SIGTERM ends the publishing, and the report is that of the run so far.

    Args: watch: called some times a second.

    Raises:
        KeyboardInterrupt: a second signal; the processes are killed.
        Misuse: a file of certificates that is none; on Windows, whose pipes an event loop cannot watch.
    """
    needs_unix("the load generator", "run it on another machine, against this one")
    tls_context(plan)  # what is wrong with it is better said once, and before
    crew = Crew(plan)
    with _signals(crew.on_signal):
        try:
            crew.start()
            while crew.working:
                crew.listen(GLANCE)
                watch(crew.view())
        finally:
            crew.dismiss()
    tally = reduce(_merged, (hand.tally for hand in crew.hands), Tally())
    return report(plan, tally, interrupted=crew.stopping, descriptors=allow_descriptors())


@dataclass(slots=True)
class Hand:
    """What the parent knows of one process."""

    share: Share
    process: Any  # multiprocessing's, which differs with the way of starting
    pipe: Any  # the same
    progress: Progress = field(default_factory=Progress)
    ready: bool = False
    published: dict[int, int] | None = None
    tally: Tally = field(default_factory=Tally)
    done: bool = False


class Crew:
    """The processes of one run."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._epoch = time.monotonic_ns()
        self._started: int | None = None  # when publishing began, in nanoseconds since the epoch
        self._totalled = False
        self._interrupts = 0
        self.hands: list[Hand] = []

    @property
    def working(self) -> bool:
        """Whether any process has not given account."""
        return not all(hand.done for hand in self.hands)

    @property
    def stopping(self) -> bool:
        """Whether a signal has come."""
        return self._interrupts > 0

    def start(self) -> None:
        """Start all processes. They ignore what the terminal sends to all: their parent tells them what to do.

        Whoever starts with a signal ignored leaves it so; blocked it would not stay, for multiprocessing unblocks it.
        """
        context = multiprocessing.get_context("spawn")
        run = f"{secrets.randbits(16):04x}"
        with _signals(signal.SIG_IGN):
            for number in range(self._plan.processes):
                share = Share(self._plan, number, run, self._epoch)
                ours, theirs = context.Pipe()
                process = context.Process(target=work, args=(share, theirs), daemon=True)
                process.start()
                theirs.close()
                self.hands.append(Hand(share, process, ours))

    def listen(self, seconds: float) -> None:
        """Hear what the processes tell, for so long at most, and keep them in step."""
        heard = wait([hand.pipe for hand in self.hands if not hand.done], seconds)
        for hand in self.hands:
            if hand.pipe in heard:
                self._hear(hand)
        self._keep_step()

    def view(self) -> View:
        """How far it all is."""
        total = sum((hand.progress for hand in self.hands), Progress())
        elapsed = 0.0 if self._started is None else (time.monotonic_ns() - self._epoch - self._started) / 1e9
        late = self._totalled or elapsed > self._plan.duration
        phase = "connecting" if self._started is None else "waiting for what is late" if late else "publishing"
        return View(phase, elapsed, self.stopping, total)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Stop in good order, the second time at once."""
        self._interrupts += 1
        if self._interrupts > 1:
            raise KeyboardInterrupt
        for hand in self.hands:
            self._tell(hand, Stop())

    def dismiss(self) -> None:
        """Wait for the processes to end, which those that gave account do by themselves; kill the others."""
        for hand in self.hands:
            hand.process.join(2.0 if hand.done else 0)
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()
            hand.pipe.close()

    def _hear(self, hand: Hand) -> None:
        try:
            word = hand.pipe.recv()
        except (EOFError, OSError):
            hand.tally = Tally(failed=Counter({FALLEN: len(hand.share.connections)}))
            hand.done = True
            return
        if isinstance(word, Progress):
            hand.progress = word
        elif isinstance(word, Ready):
            hand.ready = True
        elif isinstance(word, Published):
            hand.published = word.sent
        elif isinstance(word, Tally):
            hand.tally = word
            hand.done = True

    def _keep_step(self) -> None:
        """Start when all are ready, and tell what was sent when all have sent."""
        if self._started is None and all(hand.ready or hand.done for hand in self.hands):
            self._started = time.monotonic_ns() - self._epoch + NOTICE
            for hand in self.hands:
                self._tell(hand, Start(self._started))
        if not self._totalled and all(hand.published is not None or hand.done for hand in self.hands):
            self._totalled = True
            for hand in self.hands:
                self._tell(hand, Totals(tuple(one.published or {} for one in self.hands)))

    @staticmethod
    def _tell(hand: Hand, word: Any) -> None:
        try:
            if not hand.done:
                hand.pipe.send(word)
        except OSError:
            pass  # it is gone, which reading from it will tell


def _merged(total: Tally, one: Tally) -> Tally:
    total.merge(one)
    return total


@contextmanager
def _signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Generator[None]:
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
