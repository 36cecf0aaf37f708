"""A publication as subscribers get it: encoded once for each dialect, however many they are.

Subscriptions with deltas have forms of their own: in JSON their data is a text that holds the document, and what has
one before it may be a patch of that.
"""

from __future__ import annotations

from msgspec.structs import replace

from hubbub.realtime import fossil
from hubbub.realtime.protocol import Dialect, Publication, push

__all__ = ["LARGEST", "full", "patched", "plain"]

LARGEST = 256 * 1024
"""Bytes of a document, or of the one before it, that are compared. Larger ones are sent in full."""


def plain(dialect: Dialect, channel: str, publication: Publication) -> bytes:
    """The push of a publication, for most subscriptions."""
    return dialect.encode(push(publication, channel))


def full(publication: Publication, dialect: Dialect) -> Publication:
    """The publication for a subscription with deltas, as it gets its first one.

    Raises: UnicodeDecodeError: data that is not UTF-8, in JSON.
    """
    return replace(publication, data=dialect.document(bytes(publication.data)))


def patched(publication: Publication, before: bytes, dialect: Dialect) -> Publication:
    """The publication for a subscription with deltas that has the document `before` it: a patch, if that is smaller.

    Raises: UnicodeDecodeError: data that is not UTF-8, in JSON.
    """
    data = bytes(publication.data)
    if max(len(before), len(data)) > LARGEST:
        return full(publication, dialect)
    patch = fossil.create(before, data)
    if len(patch) >= len(data):
        return full(publication, dialect)
    return replace(publication, data=dialect.document(patch), delta=True)
