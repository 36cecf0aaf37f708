"""Where a node lives: on the event loop of a server, or on one of its own, in a thread.

Members are served by some event loop, and there the node is best at home: what comes from the broker is in no other
thread's way. A process without members has a thread for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Home"]


class Home:
    """One run of `live`, on the given loop, or on one in a thread of its own.

    Args:
        live: its argument is an event that asks it to end.
        ended: called when it has ended, there.
    """

    def __init__(
        self, live: Callable[[asyncio.Event], Coroutine[Any, Any, None]], ended: Callable[[Home], None],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:  # fmt: skip
        self._live = live
        self._ended = ended
        self._enough = asyncio.Event()
        self.over: threading.Event = threading.Event()
        self.thread: threading.Thread | None = None
        self.loop: asyncio.AbstractEventLoop = loop or asyncio.new_event_loop()
        if loop is None:
            self.thread = threading.Thread(target=self._run, name="hubbub-node", daemon=True)
            self.thread.start()
        elif not self.call(self._begin):
            self.over.set()

    @property
    def alive(self) -> bool:
        return not (self.over.is_set() or self.loop.is_closed())

    def call(self, callback: Callable[..., object], *arguments: Any) -> bool:
        """Call it there. Returns whether there still is somebody to call."""
        try:
            self.loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:  # closed
            return False
        return not self.over.is_set()

    def end(self) -> None:
        """Ask it to end, from any thread; `over` tells when it has."""
        if not self.call(self._enough.set):
            self.over.set()

    def _begin(self) -> asyncio.Task[None]:
        task = self.loop.create_task(self._live(self._enough), name="hubbub node")
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.loop.call_exception_handler({"message": "a node failed", "exception": error, "task": task})
        self._ended(self)  # first: who sees that it is over may begin another one
        self.over.set()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:

            async def live() -> None:
                await asyncio.wait([self._begin()])

            runner.run(live())
