"""The lines of one node: subscribed to for as long as somebody wants them, looked after, and healed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from hubbub.brokers import Broker, Outgoing, Position, Publication
from hubbub.errors import BrokerUnavailable
from hubbub.node.line import Line
from hubbub.node.statistics import Counts
from hubbub.node.wishes import Wishes

__all__ = ["Lines"]

LINGER = 2.0  # seconds for which a channel without members stays subscribed to: many come back at once
AT_ONCE = 4096  # channels that are subscribed to, or looked at, in one call
HEALING = 64  # channels that are healed at once
SETTLES = 12.0  # seconds for a line to be subscribed to, and whole: brokers have as long for one answer
SWAPPED = 0.02  # seconds in which a missing publication may still come, where there is no history
UNDER_WAY = 1.0  # seconds in which a publication comes that the broker has already
ENOUGH = 8  # attempts to heal a line while more keep missing, before others have their turn

Deliver = Callable[[bytes, Sequence[Publication]], None]


class Lines:
    """Of one stay of the node on an event loop, and used there alone.

    Args:
        keeps: whether a channel has a history to heal from.
        deliver: called with what follows in a channel.
        missed: called when so many publications are lost; None: nobody knows how many.
        begin: calls a coroutine function, with arguments, beside this one.
    """

    def __init__(
        self, broker: Broker, wishes: Wishes, counts: Counts, keeps: Callable[[bytes], bool], deliver: Deliver,
        missed: Callable[[bytes, int | None], None], begin: Callable[..., None],
    ) -> None:  # fmt: skip
        self._broker = broker
        self._wishes = wishes
        self._counts = counts
        self._keeps = keeps
        self._deliver = deliver
        self._missed = missed
        self._begin = begin
        self._lines: dict[bytes, Line] = {}
        self._joining: set[bytes] = set()  # to be subscribed to, for the first time or again
        self._leaving: dict[bytes, float] = {}  # since when nobody wants them
        self._healing: set[bytes] = set()
        self._expecting: set[bytes] = set()  # without history: what is under way may still come
        self._slots = asyncio.Semaphore(HEALING)
        self._settled = asyncio.Event()  # something came of subscribing
        self.changed: asyncio.Event = asyncio.Event()
        self.up: bool = False

    def __len__(self) -> int:
        return len(self._lines)

    def position(self, name: bytes) -> Position | None:
        """Behind the latest publication of that channel that came here; None: nobody knows."""
        line = self._lines.get(name)
        return None if line is None else line.position

    @property
    def duplicates(self) -> int:
        return sum(line.duplicates for line in list(self._lines.values()))

    def take(self, name: bytes, batch: Sequence[Publication]) -> None:
        """These came from the broker."""
        line = self._lines.get(name)
        if line is not None:
            self._go_on(name, line, line.follow(batch))
            if name in self._expecting and line.complete:
                self._expect_no_more([name])

    def hold(self, names: Sequence[bytes] | None = None) -> None:
        """Something may be missing in these; None: in all. To subscribe again tells where they stand."""
        for name in list(self._lines) if names is None else names:
            if (line := self._lines.get(name)) is not None:
                line.hold()
                self._joining.add(name)
                self._expecting.discard(name)
        self.changed.set()

    def go_down(self) -> None:
        """There is no link, and no subscription."""
        self.up = False
        self.hold()
        self._settled.set()

    def stands(self, name: bytes) -> Position | None:
        """Where that line stands, or the beginning of none; None: it is not subscribed to, or something is missing."""
        line = self._lines.get(name)
        if line is None or not line.whole or name in self._joining or name in self._wishes.changed:
            return None  # or it may be left in a moment, and subscribed to anew
        return Position(line.top, line.epoch)

    async def standing(self, name: bytes) -> Position:
        """The same, as soon as it is known.

        Raises: BrokerUnavailable: the link broke, nobody wants it any more, or the broker has refused it for long.
        """
        until = time.monotonic() + SETTLES
        while (position := self.stands(name)) is None:
            if not self.up or name not in self._wishes.wanted:
                raise BrokerUnavailable("the link to the broker broke")
            if time.monotonic() > until:
                raise BrokerUnavailable(f"the broker did not let it be subscribed to within {SETTLES:g} s")
            self._settled.clear()
            self.changed.set()
            line = self._lines.get(name)
            if line is not None and name not in self._joining:  # it is being healed
                await asyncio.sleep(0.005)
            else:
                await self._settled.wait()
        return position

    async def joined(self, batch: Sequence[Outgoing]) -> None:
        """Wait until the channels of these are subscribed to, or there is no link: or this process misses its own."""
        while (
            self.up and (self._joining or self._wishes.changed) and any(self._is_joining(new.channel) for new in batch)
        ):
            self._settled.clear()
            self.changed.set()
            await self._settled.wait()

    def _is_joining(self, name: bytes) -> bool:
        return name in self._joining or (name in self._wishes.changed and name not in self._lines)

    async def keep_up(self) -> None:
        """See to it that just those channels are subscribed to that somebody wants."""
        while True:
            try:
                async with asyncio.timeout(LINGER / 2 if self._leaving else None):
                    await self.changed.wait()
            except TimeoutError:
                pass
            self.changed.clear()
            try:
                self._notice()
                while self.up and self._joining:
                    await self._join_some()
                    self._notice()
                await self._leave_some()
            except BrokerUnavailable:
                await asyncio.sleep(0.05)  # when there is a link again, all are subscribed to
            finally:
                self._settled.set()

    def _notice(self) -> None:
        changed, wanted = self._wishes.changed, self._wishes.wanted
        while changed:
            name = changed.pop()
            if name in wanted:
                self._leaving.pop(name, None)
                if name not in self._lines:
                    self._joining.add(name)
                    self._lines[name] = Line()
            elif name in self._lines:
                self._leaving.setdefault(name, time.monotonic())

    async def _join_some(self) -> None:
        names = list(islice(self._joining, AT_ONCE))
        positions = await self._broker.subscribe(names)
        if not self.up:
            return
        self._joining.difference_update(names)
        before = len(self._expecting)
        for name, position in zip(names, positions, strict=True):
            if (line := self._lines.get(name)) is None:
                continue
            if line.begun:
                self._resume(name, line, position)
            else:
                self._go_on(name, line, line.begin(position))
        self._settled.set()
        if len(self._expecting) > before:
            self._begin(self._expect_for_a_while, names)

    async def _leave_some(self) -> None:
        horizon = time.monotonic() - LINGER
        names = [name for name, since in self._leaving.items() if since <= horizon][:AT_ONCE]
        for name in names:
            del self._leaving[name]
            self._joining.discard(name)
            if (line := self._lines.pop(name, None)) is not None:
                self._counts.duplicates += line.duplicates
        if names and self.up:
            await self._broker.unsubscribe(names)
            if back := self._wishes.wanted.intersection(names):  # they came back meanwhile
                self._wishes.changed.update(back)
                self.changed.set()

    async def look_after(self) -> None:
        """Compare with where the channels stand: the loss of a last publication is shown by nothing that follows.

        A line that goes on meanwhile shows it by itself.
        """
        names = [name for name, line in self._lines.items() if line.whole]
        for at in range(0, len(names), AT_ONCE):
            some = names[at : at + AT_ONCE]
            stood = {name: line.position for name in some if (line := self._lines.get(name)) is not None}
            positions = await self._broker.positions(some)
            ahead = [(name, to) for name, to in zip(some, positions, strict=True) if to != stood.get(name)]
            if ahead:
                await asyncio.sleep(UNDER_WAY)
            for name, position in ahead:
                line = self._lines.get(name)
                if line is not None and line.whole and self.up and line.position == stood.get(name):
                    self._resume(name, line, position)
            self._expect_no_more([name for name, _ in ahead])

    def _resume(self, name: bytes, line: Line, position: Position | None) -> None:
        following = line.resume(position)
        if following is None and not self._keeps(name):
            line.expect(position or Position(0, ""))
            self._expecting.add(name)
            if line.complete:
                self._expect_no_more([name])
        else:
            self._go_on(name, line, following or ())

    async def _expect_for_a_while(self, names: Sequence[bytes]) -> None:
        await asyncio.sleep(UNDER_WAY)
        self._expect_no_more(names)

    def _expect_no_more(self, names: Iterable[bytes]) -> None:
        """What has not come by now is missing."""
        for name in self._expecting.intersection(names):
            self._expecting.discard(name)
            if (line := self._lines.get(name)) is not None:
                self._go_on(name, line, ())

    def _go_on(self, name: bytes, line: Line, following: Sequence[Publication]) -> None:
        if following:
            self._counts.received += len(following)
            self._deliver(name, following)
        if not (line.whole or name in self._healing or name in self._joining or name in self._expecting):
            self._healing.add(name)
            self._counts.gaps += 1
            self._begin(self._heal, name, line)

    async def _heal(self, name: bytes, line: Line) -> None:
        lost = False
        try:
            async with self._slots:
                for _ in range(ENOUGH):
                    if line.whole or name in self._joining or self._lines.get(name) is not line:
                        break
                    if self._keeps(name):
                        healed = line.heal(await self._broker.history(name, line.position))
                    else:
                        await asyncio.sleep(SWAPPED)
                        healed = line.give_up()
                    lost = lost or healed.missed != 0
                    self._tell_missed(name, healed.missed)
                    self._go_on(name, line, healed.publications)
                self._counts.healed += line.whole and not lost
        except BrokerUnavailable:
            await asyncio.sleep(0.1)
        finally:
            self._healing.discard(name)
        if self.up and self._lines.get(name) is line:
            self._go_on(name, line, ())

    def _tell_missed(self, name: bytes, missed: int | None) -> None:
        if missed != 0:
            self._counts.missed += missed or 1
            self._missed(name, missed if self._broker.traits.dense else None)
