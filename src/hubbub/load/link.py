"""What a process of a run hears from its parent, and tells it."""

from __future__ import annotations

import asyncio
import select
import sys
from multiprocessing.connection import Connection
from typing import Any

from hubbub.load.tally import Start, Stop, Totals

__all__ = ["Link"]


class Link:
    """A process's end of the pipe to its parent. A parent that is gone says stop."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._start: asyncio.Future[Start | None] = asyncio.get_running_loop().create_future()
        self._totals: asyncio.Future[Totals | None] = asyncio.get_running_loop().create_future()
        self.stopped: asyncio.Event = asyncio.Event()
        asyncio.get_running_loop().add_reader(pipe.fileno(), self._read)

    def tell(self, word: Any) -> None:
        """Tell the parent."""
        try:
            self._pipe.send(word)
        except OSError:
            self._end()

    def mention(self, word: Any) -> None:
        """Tell the parent, unless it does not listen: a terminal that is held must not hold up what is measured."""
        if sys.platform != "win32":
            room = select.poll()
            room.register(self._pipe.fileno(), select.POLLOUT)
            if room.poll(0):
                self.tell(word)

    async def start(self) -> Start | None:
        """When to publish; None if it is not to."""
        return await self._start

    async def totals(self) -> Totals | None:
        """What all processes sent; None if there is nobody to say so."""
        return await self._totals

    def close(self) -> None:
        """Hear and tell no more."""
        asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        self._pipe.close()

    def _read(self) -> None:
        try:
            word = self._pipe.recv()
        except (EOFError, OSError):
            self._end()
            return
        if isinstance(word, Stop):
            self.stopped.set()
        elif isinstance(word, Start) and not self._start.done():
            self._start.set_result(word)
        elif isinstance(word, Totals) and not self._totals.done():
            self._totals.set_result(word)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        self.stopped.set()
        for future in (self._start, self._totals):
            if not future.done():
                future.set_result(None)
