"""What a hub's messages are to a broker: bodies of publications.

| first byte | then |
|---|---|
| `t` | text, in UTF-8 |
| `b` | binary data |
| `T`, `B` | 4 bytes, by which the publishing process knows whom to leave out; then the same |
"""

from __future__ import annotations

from hubbub.wire import Frame, Opcode

__all__ = ["body_of", "message_of"]

KINDS = {Opcode.TEXT: (b"t", b"T"), Opcode.BINARY: (b"b", b"B")}


def body_of(message: Frame, token: int = 0) -> bytes:
    """The message as a body. `token`: from 1 to 2^32 - 1; 0: nobody is left out."""
    kind, excluding = KINDS[message.opcode]
    return excluding + token.to_bytes(4, "big") + message.payload if token else kind + message.payload


def message_of(body: bytes) -> tuple[str | bytes, int]:
    """The message, and its token or 0. Raises: ValueError: no body of a hub's message."""
    kind, start = body[:1], 1
    token = 0
    if kind in (b"T", b"B") and len(body) >= 5:
        token, start = int.from_bytes(body[1:5], "big"), 5
        kind = kind.lower()
    if kind == b"t":
        return str(body[start:], "utf-8"), token
    if kind == b"b":
        return body[start:], token
    raise ValueError(f"not the body of a message: {body[:20]!r}")
