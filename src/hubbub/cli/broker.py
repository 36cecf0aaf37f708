"""What `hubbub doctor --broker` finds out: whether the broker is there, how quick it is, and what its settings mean."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Sequence

from hubbub.brokers import Broker, Check, Outgoing, Publication, broker_for, redacted
from hubbub.errors import HubbubError

__all__ = ["examine"]

CONNECT = 6.0  # seconds
TRIPS = 50
SLOW = 0.005  # seconds of a round trip, from which on it is worth a thought


class _Listener:
    """A node that only listens for itself."""

    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.reason = "it did not answer"
        self.came = asyncio.Event()

    def publications(self, channel: bytes, batch: Sequence[Publication]) -> None:
        self.came.set()

    def control(self, node: bytes, data: bytes) -> None: ...
    def gone(self, node: bytes) -> None: ...
    def gap(self, channels: Sequence[bytes] | None) -> None: ...

    def state(self, up: bool, reason: str) -> None:
        self.reason = reason
        (self.up.set if up else self.up.clear)()


def examine(url: str) -> list[Check]:
    """Connect, publish to a channel that nobody is in, and look at the settings. Raises: Misuse: no such broker."""
    return asyncio.run(_examine(url, broker_for(url)))


async def _examine(url: str, broker: Broker) -> list[Check]:
    name, listener = f"broker {redacted(url)}", _Listener()
    try:
        async with asyncio.timeout(CONNECT):
            await broker.start(os.urandom(6), listener)
            await listener.up.wait()
            return [Check(name, listener.reason), await _round_trip(broker, listener), *await broker.check()]
    except TimeoutError:
        return [Check(name, "not reached", listener.reason, fatal=True)]
    except (HubbubError, OSError) as error:
        return [Check(name, "not usable", str(error), fatal=True)]
    finally:
        await broker.close()


async def _round_trip(broker: Broker, listener: _Listener) -> Check:
    """From publishing a message to its coming back, which is what members wait for."""
    channel = b"doctor:" + os.urandom(8)
    await broker.subscribe([channel])
    took: list[float] = []
    for number in range(TRIPS):
        listener.came.clear()
        began = time.perf_counter()
        await broker.append([Outgoing(channel, b"", os.urandom(8) + number.to_bytes(4, "big"))])
        await listener.came.wait()
        took.append(time.perf_counter() - began)
    await broker.unsubscribe([channel])
    median, longest = statistics.median(took), max(took)
    advice = "each message reaches its members that much later: have the broker nearby" if median > SLOW else ""
    return Check("round trip", f"{median * 1e3:.2f} ms, {longest * 1e3:.2f} ms at the most of {TRIPS}", advice)
