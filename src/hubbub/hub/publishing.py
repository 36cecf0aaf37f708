"""Publishing from a process that serves nobody: a cron job, the worker of a task queue, a Django command or view.

Each broker has one node for the whole process, in a thread; it ends with the program, and after it has given the broker
what waits.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable, Sequence
from threading import Lock
from typing import Any

from hubbub.brokers import Change, History, Outgoing, Publication, Published, broker_for, redacted
from hubbub.errors import BrokerUnavailable, Misuse
from hubbub.hub.bodies import body_of
from hubbub.limits import Limits
from hubbub.node import Node, Ticket, name_of
from hubbub.rounds import on_event_loop
from hubbub.wire import Frame, frame

__all__ = ["publish", "publish_async"]

_nodes: dict[str, Node] = {}
_making = Lock()
if sys.platform != "win32":
    os.register_at_fork(before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release)


def publish(
    channel: Hashable,
    message: str | bytes | Frame,
    *,
    broker: str | None = None,
    key: str = "",
    history: History | None = None,
    timeout: float = 5.0,
) -> Published:
    """Publish a message to the members of a channel in all processes whose hubs have that broker.

    It waits until the broker has the message. Any thread and any process may call it, as often as it likes: the link
    stays. It needs no hub.

    Args:
        channel: a str, bytes, an int, or a tuple of them: what the hubs call it.
        message: `str` for text, bytes for binary, or a Frame.
        broker: its URL, such as "local:" or "nats://host"; left out, what the environment's HUBBUB_BROKER says.
        key: of messages of one channel with the same key, within 300 s, only the first is published.
        history: how much of the channel the broker keeps, if the hubs have it keep something: give the same.
        timeout: seconds to wait for the broker.

    Returns: its place in the channel, not that a client has it.
    Raises:
        Misuse: no broker, or one that joins no processes; or it is called on an event loop, which it would block.
        BrokerUnavailable: the broker cannot be reached, or did not answer in time; its `outcome` tells whether the
            message may have been published.
        Overloaded: too much waits for the broker already.
    """
    if on_event_loop():
        raise Misuse("publish would block this thread's event loop: await hubbub.publish_async instead")
    node = _node(broker)
    ticket = _publish(node, channel, message, key, history, timeout)
    try:
        return ticket.wait(timeout)
    except BrokerUnavailable:
        if ticket.done or node.up:
            raise
        raise BrokerUnavailable(f"there is no link to the broker: {node.reason}", "unknown") from None


async def publish_async(
    channel: Hashable,
    message: str | bytes | Frame,
    *,
    broker: str | None = None,
    key: str = "",
    history: History | None = None,
) -> Published:
    """`publish`, for coroutines: bound its time with `asyncio.timeout`, which takes no message back."""
    return await _publish(_node(broker), channel, message, key, history, 0.0)


def _publish(
    node: Node, channel: Hashable, message: str | bytes | Frame, key: str, history: History | None, timeout: float
) -> Ticket:
    ticket = Ticket()
    body = body_of(frame(message))
    node.publish(name_of(channel), body, history=history, key=key, ticket=ticket, timeout=timeout)
    return ticket


def _node(broker: str | None) -> Node:
    url = os.environ.get("HUBBUB_BROKER", "") if broker is None else broker
    node = _nodes.get(url)
    if node is None:
        if not url:
            raise Misuse('publish needs a broker that reaches the hubs: broker="local:", or HUBBUB_BROKER=local:')
        if not broker_for(url).traits.processes:
            raise Misuse(f"{redacted(url)} reaches no other process: local: reaches those of this machine")
        with _making:
            node = _nodes.get(url)
            if node is None:
                node = _nodes[url] = Node(lambda: broker_for(url), _Silent(), Limits(), lambda _: False)
    return node


class _Silent:
    """The receiver of a node that serves nobody."""

    def deliver(self, name: bytes, publications: Sequence[Publication]) -> None:
        """Nobody is a member."""

    def missed(self, name: bytes, count: int | None) -> None:
        """Nobody misses it."""

    def failed(self, outgoing: Outgoing) -> None:
        """Its ticket tells."""

    def answer(self, question: str, content: Any) -> Any:
        """It has no members."""
        return 0 if question == "count" else None

    def gone(self, node: bytes, changes: Sequence[Change]) -> None:
        """Nobody asks who was present."""
