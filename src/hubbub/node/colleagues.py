"""The other nodes: who lives, by heartbeats over the broker's control messages, and questions that all answer.

A node's own heartbeat comes back to it. So it is also the probe of the link: one on which it does not come, though
it was sent, is deaf.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any, NamedTuple

from hubbub.logs import PeerLog

__all__ = ["HEARTBEAT", "LEASE", "Colleagues"]

HEARTBEAT = 2.5  # seconds between two of a node
LEASE = 10.0  # seconds after the last one, until a node is gone
DEAF = 6.0  # seconds in which one's own heartbeat must come back

BEAT, WHO, BYE, ASK, ANSWER, EVICTED = b"h", b"w", b"q", b"?", b"!", b"x"

Send = Callable[[bytes, bytes | None], Awaitable[None]]


class Asked(NamedTuple):
    """A question that waits for answers; `arrived` is set by each, and when somebody is gone."""

    question: bytes
    answers: dict[bytes, Any]
    arrived: asyncio.Event


class Colleagues:
    """What one node knows of the others.

    Args:
        node: its own id.
        send: the broker's `control`.
        gone: called with the id of a node that has ended or whose lease is over.
        answer: called with a question's kind and data; its result is JSON's.
        begin: calls a coroutine function, with arguments, beside this one.
        evicted: called when another node has dropped what this one put into presence, and taken it for dead.
    """

    def __init__(
        self, node: bytes, send: Send, gone: Callable[[bytes], None], answer: Callable[[str, Any], Any], log: PeerLog,
        begin: Callable[..., None], evicted: Callable[[], None],
    ) -> None:  # fmt: skip
        self._node = node
        self._evicted = evicted
        self._send = send
        self._gone = gone
        self._answer = answer
        self._log = log
        self._begin = begin
        self._numbers = count(1)
        self._seen: dict[bytes, float] = {}  # when each was last heard of
        self._asked: dict[int, Asked] = {}
        self._sent_at: float | None = None  # the first heartbeat that has not come back

    @property
    def living(self) -> set[bytes]:
        """Nodes that are known to live, this one included."""
        return {self._node, *self._seen}

    @property
    def deaf(self) -> bool:
        """A heartbeat was sent long ago, and has not come back."""
        return self._sent_at is not None and _now() - self._sent_at > DEAF

    async def greet(self) -> None:
        """The link is there: ask who else is."""
        self._sent_at = None
        now = _now()
        for node in self._seen:  # nobody could be heard while there was no link
            self._seen[node] = now
        await self._send(WHO, None)

    async def beat(self) -> None:
        """One heartbeat; and who was not heard of for the time of a lease is gone."""
        before, self._sent_at = self._sent_at, self._sent_at or _now()
        try:
            await self._send(BEAT, None)
        except BaseException:
            self._sent_at = before  # one that was not accepted proves nothing
            raise
        horizon = _now() - LEASE
        for node in [node for node, seen in self._seen.items() if seen < horizon]:
            self.lose(node)

    async def tell_evicted(self, node: bytes) -> None:
        """To whom this node took for dead. The dead do not mind."""
        await self._send(EVICTED, node)

    async def leave(self) -> None:
        await self._send(BYE, None)

    def lose(self, node: bytes) -> None:
        """That node is gone."""
        if self._seen.pop(node, None) is not None:
            for asked in self._asked.values():
                asked.arrived.set()
            self._gone(node)

    def hear(self, node: bytes, data: bytes) -> None:
        """A control message came."""
        kind, rest = data[:1], data[1:]
        if node == self._node and kind in (BEAT, WHO):
            self._sent_at = None
            return
        if kind == BYE:
            return self.lose(node)
        if node != self._node:
            self._seen[node] = _now()
        if kind == EVICTED:
            self._evicted()
        elif kind == WHO:
            self._begin(self._send, BEAT, node)
            for asked in self._asked.values():  # it lives now, and was not there when they were asked
                self._begin(self._send, asked.question, node)
        elif kind in (ASK, ANSWER):
            try:
                self._hear_of_survey(node, kind, *json.loads(rest))
            except Exception as error:
                self._log.failure("a control message could not be understood", error)
        elif kind != BEAT:
            self._log.write(30, "a control message of a kind that is not understood: %s", kind)

    def _hear_of_survey(self, node: bytes, kind: bytes, number: int, what: Any, content: Any) -> None:
        if kind == ASK:
            self._begin(self._send, ANSWER + _dump(number, what, self._answer(str(what), content)), node)
        elif (asked := self._asked.get(number)) is not None:
            asked.answers[node] = content
            asked.arrived.set()

    async def survey(self, what: str, content: Any, seconds: float) -> tuple[Mapping[bytes, Any], set[bytes]]:
        """Ask all nodes. Returns the answers by node, and who did not answer within so many seconds."""
        number = next(self._numbers)
        asked = self._asked[number] = Asked(ASK + _dump(number, what, content), {}, asyncio.Event())
        try:
            await self._send(asked.question, None)
            deadline = _now() + seconds
            while (silent := self.living - asked.answers.keys()) and (rest := deadline - _now()) > 0:
                asked.arrived.clear()
                try:
                    async with asyncio.timeout(rest):
                        await asked.arrived.wait()
                except TimeoutError:
                    break
            return asked.answers, silent
        finally:
            del self._asked[number]


def _dump(number: int, what: str, content: Any) -> bytes:
    return json.dumps([number, what, content]).encode()


def _now() -> float:
    return asyncio.get_running_loop().time()
