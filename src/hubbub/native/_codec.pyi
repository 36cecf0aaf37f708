"""The compiled codec. Every call holds the GIL."""

from typing_extensions import Buffer

__all__ = ["mask"]

def mask(data: Buffer, key: bytes) -> bytes:
    """XOR with a key of four bytes, repeated: RFC 6455, section 5.3."""
