"""Data of programs as it travels."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from hubbub.errors import Misuse

__all__ = ["encoded"]

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
