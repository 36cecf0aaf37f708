"""Data of programs as it travels."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from hubbub.errors import Misuse
from hubbub.realtime.protocol.json import is_json

__all__ = ["encoded", "encoded_json"]

_encode = msgspec.json.Encoder().encode


def encoded(data: Any) -> bytes:
    """Bytes as they are, which JSON clients need to be JSON; anything else as JSON.

    Raises: Misuse: it cannot be.
    """
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(cast("bytes", data))
    try:
        return _encode(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise Misuse(f"data is bytes, or what can be JSON: {error}") from None


def encoded_json(data: Any) -> bytes:
    """The same, where bytes have to be JSON, or nothing. Raises: Misuse: they are not."""
    made = encoded(data)
    if made and isinstance(data, (bytes, bytearray, memoryview)) and not is_json(made):
        raise Misuse("these bytes are to be JSON, and are not")
    return made
