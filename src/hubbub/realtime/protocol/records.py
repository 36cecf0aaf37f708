"""What the records of the protocol are made of: a field's type, and its number in Protobuf.

A record is defined once, for both dialects: `Annotated[str, 3]` is a text, under its own name in JSON, and field 3 in
Protobuf. What is zero, false or empty is left out; a field without a default is written always.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Raw, Struct

__all__ = ["I32", "I64", "NOTHING", "U32", "U64", "Data", "Record", "bounded", "raw"]

I32: TypeAlias = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1), "int32"]
I64: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1), "int64"]
U32: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 1), "uint32"]
U64: TypeAlias = Annotated[int, Meta(ge=0), "uint64"]
Data: TypeAlias = Annotated[Raw, "bytes"]
"""What belongs to the application: never looked into. In JSON a value of any kind, `null` included."""

NOTHING = Raw(b"")
"""No data. (`null` is data.)"""


def raw(data: bytes) -> Raw:
    """Data as a field has it: empty is none, which is left out."""
    return Raw(data) if data else NOTHING


class Record(Struct, omit_defaults=True, kw_only=True):
    """A message of the protocol, or a part of one."""


def bounded(offset: int) -> int:
    """That offset, or the largest that brokers count to, which no channel reaches. Raises: ValueError: over 64 bits."""
    if offset >> 64:
        raise ValueError("an offset has 64 bits")
    return min(offset, 2**63 - 1)
