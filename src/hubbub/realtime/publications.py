"""A publication as subscribers get it: encoded once for each dialect, however many they are.

Subscriptions with deltas have forms of their own: in JSON their data is a text that holds the document, and what has
one before it may be a patch of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from msgspec.structs import replace

from hubbub.realtime import fossil
from hubbub.realtime.protocol import Dialect, Disconnects, Fault, Publication, push

__all__ = ["LARGEST", "full", "judge", "patch", "patched", "plain", "recovered"]

LARGEST = 256 * 1024
"""Bytes of a document, or of the one before it, that are compared. Larger ones are sent in full."""


def plain(dialect: Dialect, channel: str, publication: Publication) -> bytes:
    """The push of a publication, for most subscriptions."""
    return dialect.encode(push(publication, channel))


def judge(publications: Iterable[Publication], dialect: Dialect) -> None:
    """Whether they can be written. Raises: Fault: 3506: what was published is not JSON, and the client speaks that."""
    if not all(dialect.carries(bytes(publication.data)) for publication in publications):
        raise Fault(Disconnects.INAPPROPRIATE_PROTOCOL, "what is published is not JSON")


def full(publication: Publication, dialect: Dialect) -> Publication:
    """The publication for a subscription with deltas, as it gets its first one.

    Raises: UnicodeDecodeError: data that is not UTF-8, in JSON.
    """
    return replace(publication, data=dialect.document(bytes(publication.data)))


def patch(before: bytes, data: bytes) -> bytes | None:
    """What makes this document of the one before it. None: it is not smaller, or one of them is too large.

    It is the same in both dialects, and for all subscribers.
    """
    if max(len(before), len(data)) > LARGEST:
        return None
    made = fossil.create(before, data)
    return made if len(made) < len(data) else None


def patched(publication: Publication, patch: bytes | None, dialect: Dialect) -> Publication:
    """The publication for a subscription with deltas that has the document before it; in full without a patch.

    Raises: UnicodeDecodeError: data that is not UTF-8, in JSON.
    """
    if patch is None:
        return full(publication, dialect)
    return replace(publication, data=dialect.document(patch), delta=True)


def recovered(publications: Sequence[Publication], dialect: Dialect) -> list[Publication]:
    """What a subscription with deltas gets in its reply: the first in full, then patches.

    Raises: UnicodeDecodeError: data that is not UTF-8, in JSON.
    """
    made = [full(publication, dialect) for publication in publications[:1]]
    for before, publication in pairwise(publications):
        made.append(patched(publication, patch(bytes(before.data), bytes(publication.data)), dialect))
    return made
