"""What callers give to a hub, judged."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable
from typing import Any, cast

from hubbub.arguments import shown
from hubbub.hub.outlet import OUTLETS, AnyOutlet

__all__ = ["cores", "name_size", "outlet_of", "outlets_of"]

NOBODY: frozenset[AnyOutlet] = frozenset()


def cores() -> int:
    """Cores that this process may use, and so the writers of a hub unless it is told otherwise."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def name_size(id: Hashable) -> int:
    """Bytes of a channel's name: of text in UTF-8, of bytes, and of what a tuple holds. Other values count as none."""
    if isinstance(id, str):
        return len(id) if id.isascii() else len(id.encode("utf-8", "surrogatepass"))
    if isinstance(id, bytes):
        return len(id)
    return sum(map(name_size, cast("tuple[Hashable, ...]", id))) if isinstance(id, tuple) else 0


def outlet_of(socket: Any) -> AnyOutlet:
    """Raises: TypeError: it is no Socket."""
    outlet: Any = getattr(socket, "_outlet", None)
    if not isinstance(outlet, OUTLETS):
        advice = "pass its `socket`" if hasattr(socket, "socket") else "a handler's is `self.socket`"
        raise TypeError(f"a hub works with Sockets, not with {shown(socket)}: {advice}")
    return cast("AnyOutlet", outlet)


def outlets_of(exclude: Any) -> frozenset[AnyOutlet]:
    """Of one Socket or several; None: of nobody."""
    if exclude is None:
        return NOBODY
    alone = hasattr(exclude, "_outlet") or not hasattr(exclude, "__iter__")
    sockets: Iterable[Any] = (exclude,) if alone else exclude
    return frozenset(outlet_of(socket) for socket in sockets)
