"""The one lock: it guards what hubs, outlets, mailboxes and backlogs have in Python, all of them together.

Between any two steps Python may run code of the program's own: finalizers, when a last reference goes or the
collector comes, and handlers of signals. They may call a hub or a socket while their own thread is inside. So the
lock can be taken again; what only reads is answered from things as they are, and what changes something is put off
until the thread is out.

A signal may come at any step. Between the taking of the lock and the first change, or the last change and the
release, `inside` is true and the call is put off without need. After the release and before `carry_out`, the call
finds what was put off before it, and carries that out first. `with` takes and releases the lock in C, where no
handler runs, so no exception of a handler leaves it taken.

Nothing is logged, and nobody's callback called, with the lock in hand: a logging handler has a lock of its own.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from threading import RLock
from typing import Any, TypeVar

from hubbub.logs import logger

__all__ = ["carry_out", "inside", "later", "lock", "perform", "put_off"]

T = TypeVar("T")

lock: Any = RLock()
inside: Callable[[], bool] = lock._is_owned
"""Whether this very thread has the lock."""
put_off: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
"""Changes that wait until the thread that asked for them is out."""


def perform(change: Callable[..., T], *arguments: Any) -> T | None:
    """Make a change under the lock, after what was put off before; None: this thread is inside, and it is put off."""
    if put_off:
        carry_out()
    if inside():
        put_off.append((change, arguments))
        return None
    try:
        with lock:
            return change(*arguments)
    finally:
        if put_off:
            carry_out()


def later(change: Callable[..., object], *arguments: Any) -> bool:
    """Put a change off if others before it wait until this thread is out. Returns whether that is so."""
    if put_off:
        carry_out()
    if not put_off or not inside():
        return False
    put_off.append((change, arguments))
    return True


def carry_out() -> None:
    """Make the changes that were put off, in order, unless this thread is inside: then it does so when it is out."""
    failures: list[Exception] = []
    while put_off and not inside():
        with lock:
            while put_off:
                change, arguments = put_off.popleft()
                try:
                    change(*arguments)
                except Exception as error:
                    failures.append(error)
    for failure in failures:
        logger.error("a change that had been put off failed", exc_info=failure)


if sys.platform != "win32":  # a child begins with the lock free, and with nothing half changed
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
