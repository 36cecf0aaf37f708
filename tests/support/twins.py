"""The two twins of the codec, and one way to drive either."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from hubbub.errors import PeerError
from hubbub.wire import Agreed, masking, reader
from hubbub.wire.received import Received

__all__ = ["Twin", "outcome", "twin_named"]


class Twin(NamedTuple):
    Reader: type[reader.Reader]
    mask: Callable[[bytes, bytes], bytes]
    judge_head: Callable[[bytes, int, int, bytes], tuple[str, bytes, bytes] | None] | None
    read_head: Callable[[bytes, int, int], tuple[str, list[tuple[str, str]], int] | None] | None


def twin_named(name: str) -> Twin:
    """Raises: ImportError: the compiled one is not built."""
    if name == "python":
        return Twin(reader.Reader, masking.mask, None, None)
    codec: Any = importlib.import_module("hubbub.native._codec")
    return Twin(codec.Reader, codec.mask, codec.judge_head, codec.read_head)


def outcome(
    twin: Twin, reads: Iterable[bytes | memoryview], max_message_size: int, max_fragments: int, agreed: Agreed | None
) -> list[object]:
    """What each read gave and left behind, up to a close frame or a fault, which comes as its type and words."""
    reader = twin.Reader(max_message_size=max_message_size, max_fragments=max_fragments, agreed=agreed)
    out: list[object] = []
    for data in reads:
        received: list[Received] = []
        try:
            reader.read(data, received)
        except PeerError as error:
            return [*out, received, type(error), str(error)]
        out += [[(type(event), event) for event in received], reader.unfinished]
        if received and type(received[-1]).__name__ == "ReceivedClose":
            break
    return out
