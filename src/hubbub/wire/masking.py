"""Masking in pure Python: RFC 6455, section 5.3."""

from __future__ import annotations

__all__ = ["mask"]

AT_ONCE = 64 * 1024  # bytes: XOR of integers is linear, but larger ones leave the processor's caches


def mask(data: bytes, key: bytes) -> bytes:
    """XOR with a key of four bytes, repeated."""
    size = len(data)
    if size <= AT_ONCE:
        keys = key * (size // 4) + key[: size % 4]
        return (int.from_bytes(data, "little") ^ int.from_bytes(keys, "little")).to_bytes(size, "little")
    return b"".join(mask(data[at : at + AT_ONCE], key) for at in range(0, size, AT_ONCE))
