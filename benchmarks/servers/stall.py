"""An independent timer inside a Python server: how late it is called is how long the event loop was held up.

SIGUSR2 prints one line of JSON about the time since the last one, and begins anew: the load sends it when measuring
begins and when it ends.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable

PERIOD = 0.005  # seconds: rare enough to cost nothing, and a stall that matters is longer

_watching = False


def watch(counts: Callable[[], dict[str, float]] = dict) -> None:
    """Begin, in the running event loop; again is a no-op.

    Args: counts: running totals of the server's own, whose growth is printed too.
    """
    global _watching
    if _watching:
        return
    _watching = True
    loop = asyncio.get_running_loop()
    late: list[float] = []
    before = counts()
    due = time.perf_counter() + PERIOD

    def tick() -> None:
        nonlocal due
        now = time.perf_counter()
        late.append(now - due)
        due = now + PERIOD
        loop.call_later(PERIOD, tick)

    def tell() -> None:
        nonlocal before
        now = counts()
        waited = max(0.0, time.perf_counter() - due)  # the stall that this signal waited for: of both times
        late.append(waited)
        late.sort()
        facts = {"stall_p99_ms": late[int(len(late) * 0.99)] * 1e3, "stall_max_ms": late[-1] * 1e3}
        print(json.dumps(facts | {name: now[name] - before[name] for name in now}), flush=True)
        late[:] = [waited]
        before = now

    loop.call_later(PERIOD, tick)
    loop.add_signal_handler(signal.SIGUSR2, tell)
