"""What lies in the stream: one record for each publication, and what follows from a channel's records. Pure.

A record is `h1`, a byte of flags, 12 bytes of id, and, as the flags say, how much of the channel is kept and its
version; then the body. One stream holds the records of all channels, and more of them than are kept by the channel's
History: what is kept is decided here, from the records alone, just as the embedded broker decides it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hubbub.brokers.contract import Outgoing, Page, Position, Publication
from hubbub.brokers.nats.wire import value_of

__all__ = ["FORGOTTEN", "PLAIN", "Record", "packed", "page_of", "record_of"]

MARK = b"h1"
HEAD = 15  # bytes: mark, flags, id
PLAIN, KEPT, VERSIONED, FORGOTTEN = 0, 1, 2, 4  # flags
LATER = 0xF0  # flags of other versions than this one

_kept = struct.Struct(">Id")
_length = struct.Struct(">H")


@dataclass(slots=True)
class Record:
    """One of them, as it was read."""

    offset: int
    at: float  # seconds, by the server's clock
    flags: int
    id: bytes
    body: bytes
    size: int = 0  # how many are kept behind this one; 0: none, not even itself
    ttl: float = 0.0
    version: int = 0
    version_epoch: str = ""
    key: bytes = b""

    @property
    def top(self) -> int:
        """Where the channel stands behind it: a record that empties the history moves nothing."""
        return int(self.body or b"0") if self.flags & FORGOTTEN else self.offset


def packed(new: Outgoing, version_epoch: str = "") -> bytes:
    """`version_epoch`: what the version is of, if the publication says none."""
    history = new.history
    if history is None and not new.version:
        return b"h1\0%b%b" % (new.id, new.body)
    flags = (KEPT if history is not None else 0) | (VERSIONED if new.version else 0)
    parts = [MARK, bytes((flags,)), new.id]
    if history is not None:
        parts.append(_kept.pack(history.size, history.ttl))
    if new.version:
        version = f"{new.version:x} {new.version_epoch or version_epoch}".encode("utf-8", "surrogatepass")
        parts += [_length.pack(len(version)), version]
    return b"".join((*parts, new.body))


def handed_over(data: bytes) -> tuple[int, bytes, bytes] | None:
    """The flags, id and body of a record, and no more: as it is handed over. None: it is not one of ours."""
    if data[:2] != MARK or len(data) < HEAD or data[2] & LATER:
        return None
    flags, at = data[2], HEAD
    if flags & KEPT:
        at += _kept.size
    if flags & VERSIONED:
        at += 2 + int.from_bytes(data[at : at + 2], "big")
    if at > len(data) or (flags & FORGOTTEN and not data[at:].isdigit()):
        return None
    return flags, data[3:HEAD], data[at:]


def record_of(head: bytes, data: bytes) -> Record | None:
    """The record of a message that was read from the stream; None: it is not one of ours."""
    if data[:2] != MARK or len(data) < HEAD or data[2] & LATER:
        return None
    flags, at = data[2], HEAD
    size, ttl, version, version_epoch = 0, 0.0, 0, ""
    try:
        if flags & KEPT:
            size, ttl = _kept.unpack_from(data, at)
            at += _kept.size
        if flags & VERSIONED:
            (length,) = _length.unpack_from(data, at)
            at += 2 + length
            number, _, version_epoch = data[at - length : at].decode("utf-8", "surrogatepass").partition(" ")
            version = int(number, 16)
        if at > len(data) or (flags & FORGOTTEN and not data[at:].isdigit()):
            return None
        offset = int(value_of(head, b"Nats-Sequence"))
        stamp = value_of(head, b"Nats-Time-Stamp")
        then = datetime.fromisoformat(stamp.decode()).timestamp() if stamp else 0.0
    except (ValueError, struct.error):
        return None
    key = value_of(head, b"Nats-Msg-Id")
    return Record(offset, then, flags, data[3:HEAD], data[at:], size, ttl, version, version_epoch, key)


def page_of(
    records: Sequence[Record], epoch: str, oldest: int, since: Position | None, limit: int | None, reverse: bool,
    now: float,
) -> Page:  # fmt: skip
    """What of these records is kept, behind `since`, or before it in reverse.

    Args:
        records: of the channel, oldest first: all there are, or from the one at `since` on.
        oldest: the first offset that the stream has, of any channel: a record without one before it had none, or
            had it before that.
        now: by the server's clock.
    """
    kept, first = _kept_of(records, epoch, now)
    top = Position(records[-1].top if records else 0, epoch)
    known = since is None or (since.epoch == epoch and since.offset <= top.offset)
    if reverse:
        chosen = [p for p in reversed(kept) if since is None or not known or p.offset < since.offset]
        return Page(chosen[:limit], top, known)
    chosen = [p for p in kept if since is None or not known or p.offset > since.offset]
    if kept and not kept[0].previous and since is not None and 0 < since.offset < kept[0].offset:
        first = min(oldest, kept[0].offset) - 1
    return Page(chosen[:limit], top, known and (since is None or since.offset >= first))


def _kept_of(records: Sequence[Record], epoch: str, now: float) -> tuple[list[Publication], int]:
    """The publications that are kept, and what a reader has to have, for nothing to be missing."""
    kept: list[Publication] = []
    top, until = 0, 0.0
    for record in records:
        if until <= record.at:
            kept.clear()
        if record.flags & FORGOTTEN or not record.size:
            kept.clear()
        else:
            kept.append(Publication(record.offset, top, epoch, record.id, record.body))
            del kept[: -record.size]
            until = record.at + record.ttl
        top = record.top
    if until <= now:
        kept.clear()
    return kept, kept[0].previous if kept else top
