"""How publications are written: in a call to append, in a channel's list, and on their way to nodes. Pure.

The formats are those of `library.lua`, which says them in full.
"""

from __future__ import annotations

import hashlib
from binascii import crc_hqx
from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Any

from hubbub.brokers.contract import EPOCH_SIZE, ID_SIZE, Outgoing, Publication, Published
from hubbub.errors import HubbubError

__all__ = ["PARTITIONS", "SLOTS", "Batch", "partition_of", "publications_of", "slot_of", "tag_of", "unpacked"]

MARK = b"h1"
TOGETHER = 65536  # bytes of one message, unless one publication is larger
RUN = 256  # publications of one message

SLOTS = 16384  # of a cluster
PARTITIONS = 64  # of its channels; each has its keys in one slot

_size = Struct(">I")
_head = Struct(f">I{ID_SIZE}s")


def partition_of(name: bytes) -> int:
    """Where a cluster has that channel, or node: the first byte of its SHA-1, modulo 64."""
    return hashlib.sha1(name, usedforsecurity=False).digest()[0] % PARTITIONS


def slot_of(tag: bytes) -> int:
    """A cluster's slot for keys with that tag."""
    return crc_hqx(tag, 0) % SLOTS


def tag_of(partition: int) -> bytes:
    """What puts a key into the partition's slot: the smallest number whose slot is in the partition's part of all.

    So the partitions are spread evenly over a cluster's slots, and over servers that share these evenly.
    """
    number = 0
    while slot_of(b"%d" % number) // (SLOTS // PARTITIONS) != partition:
        number += 1
    return b"%d" % number


class _Run:
    """Publications of one channel that follow each other, and are kept alike."""

    __slots__ = ("channel", "entries", "guards", "places", "room", "size", "ttl")

    def __init__(self, new: Outgoing) -> None:
        history = new.history
        self.channel = new.channel
        self.size, self.ttl = (history.size, history.ttl) if history is not None else (0, 0.0)
        self.entries: list[bytes] = []
        self.guards: tuple[bytes, bytes, bytes] | None = None
        self.places: list[int] = []  # in the batch
        self.room = TOGETHER

    def fits(self, new: Outgoing) -> bool:
        history = new.history
        alike = self.size == 0 if history is None else (self.size == history.size and self.ttl == history.ttl)
        return alike and self.room > len(new.body) and len(self.places) < RUN

    def arguments(self) -> list[bytes]:
        count = 0 if self.guards else len(self.entries)
        kept = b"%d" % self.size, b"%d" % int(self.ttl * 1000)
        entries = self.entries if self.size else [b"".join(self.entries)]
        return [self.channel, b"%d" % count, *kept, *(self.guards or ()), *entries]


class Batch:
    """Publications on their way into one shard: the arguments of a call, and what is to be done with its reply."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._open: dict[bytes, _Run] = {}

    def add(self, new: Outgoing, place: int) -> None:
        """`place`: in the batch of the node."""
        body = new.body
        guarded = new.key or new.version
        run = self._open.get(new.channel)
        if run is None or guarded or not run.fits(new):
            run = self._open[new.channel] = _Run(new)
            self._runs.append(run)
            if guarded:
                run.guards = (_text(new.key), b"%d" % new.version, _text(new.version_epoch))
                del self._open[new.channel]
        run.entries.append(_size.pack(len(body)) + new.id + body)
        run.places.append(place)
        run.room -= len(body) + ID_SIZE + 4

    def arguments(self) -> list[bytes]:
        """Of `hubbub1_append`."""
        return [argument for run in self._runs for argument in run.arguments()]

    def settle(self, reply: Sequence[Any], results: list[Published | Exception | None]) -> None:
        """Put into the results what the reply says of each. Raises: ValueError: it is no reply to this."""
        if len(reply) != 2 * len(self._runs):
            raise ValueError(f"a reply of {len(reply)} to {len(self._runs)} runs")
        for at, run in enumerate(self._runs):
            first, said = reply[2 * at], str(reply[2 * at + 1], "ascii")
            epoch, how = said[:EPOCH_SIZE], said[EPOCH_SIZE:]
            if not epoch:
                self._fail(run, HubbubError(f"the server refuses: {_shown(first)}"), results)
            elif how:
                results[run.places[0]] = Published(first, epoch, "repeated" if how == "R" else "older")
            else:
                for offset, place in enumerate(run.places, first):
                    results[place] = Published(offset, epoch)

    def fail(self, error: Exception, results: list[Published | Exception | None]) -> None:
        """None of it was appended, or nobody knows."""
        for run in self._runs:
            self._fail(run, error, results)

    @staticmethod
    def _fail(run: _Run, error: Exception, results: list[Published | Exception | None]) -> None:
        for place in run.places:
            results[place] = error


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _shown(reason: Any) -> str:
    return str(reason, "utf-8", "replace") if isinstance(reason, bytes) else str(reason)


def publications_of(message: bytes) -> list[Publication] | None:
    """What is in a message of a channel. None: it is not one of ours, or truncated."""
    blank = message.find(b" ", 0, 40)
    number = message[2 + EPOCH_SIZE : blank]
    if message[:2] != MARK or blank < 0 or not number.isdigit():
        return None
    try:
        epoch = str(message[2 : 2 + EPOCH_SIZE], "ascii")
    except UnicodeDecodeError:
        return None
    return _entries(message, blank + 1, int(number), epoch)


def _entries(data: bytes, at: int, offset: int, epoch: str) -> list[Publication] | None:
    found: list[Publication] = []
    end, unpack = len(data), _head.unpack_from
    while at + 16 <= end:
        size, id = unpack(data, at)
        at += 16 + size
        found.append(Publication(offset, offset - 1, epoch, id, data[at - size : at]))
        offset += 1
    return found if at == end and found and offset - len(found) > 0 else None


def unpacked(entries: Iterable[bytes], first: int, epoch: str) -> tuple[list[Publication], int]:
    """The publications of a channel's list, and how many entries are not ours."""
    found: list[Publication] = []
    strange = 0
    for offset, entry in enumerate(entries, first):
        one = _entries(entry, 0, offset, epoch)
        if one is None or len(one) != 1:
            strange += 1
        else:
            found += one
    return found, strange
