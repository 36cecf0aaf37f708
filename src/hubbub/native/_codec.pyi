"""The compiled codec: the twin of `hubbub.wire.reader`. Every call holds the GIL, but zlib lets go of it."""

from typing import Any

from typing_extensions import Buffer

from hubbub.wire.deflate import Agreed
from hubbub.wire.received import Received

__all__ = ["Encoded", "Reader", "judge_head", "mask", "read_head"]

class Encoded:
    """What a Frame holds, and cannot change: see `hubbub.wire.frames`. `_deflated` is filled as forms are asked for."""

    def __init__(self, opcode: int, payload: bytes) -> None:
        """Encode a message. Without the GIL above 16 KiB."""

    @property
    def opcode(self) -> Any: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def _wire(self) -> bytes:
        """The whole frame, plain and unmasked."""

    @property
    def _deflated(self) -> dict[int, bytes] | None: ...
    def _keep(self, form: int, data: bytes) -> bytes:
        """The bytes for that form: these, unless some are kept already."""

class Reader:
    """Frames in, messages and control frames out. 72 bytes while idle.

    Args:
        max_message_size: bytes of one message, inflated, and of one frame as sent.
        max_fragments: frames of one message.
        agreed: the compression that was negotiated.
    """

    def __init__(self, *, max_message_size: int, max_fragments: int, agreed: Agreed | None) -> None: ...
    @property
    def unfinished(self) -> bool:
        """Whether a frame or a message has begun and not ended."""

    def read(self, data: Buffer, received: list[Received], at: int = 0, most: int = ...) -> int:
        """Append what these bytes complete to `received`, up to and including a close frame.

        Args:
            data: what came; it may be overwritten after the call.
            at: where in it to begin.
            most: how many messages and control frames to append at the most.

        Returns: where in the data to go on; its size if all of it was taken in.
        Raises:
            PeerError: after everything that came before the fault was appended. Nothing may be read after it.
            Misuse: another thread is in this call.
        """

def mask(data: Buffer, key: bytes) -> bytes:
    """XOR with a key of four bytes, repeated: RFC 6455, section 5.3."""

def judge_head(data: Buffer, max_headers: int, max_size: int, before: bytes) -> tuple[str, bytes, bytes] | None:
    """The target of a request as `read_head` takes it, its head, and the usual answer: `before`, what the key is to be
    answered with, and two ends of lines.
    """

def read_head(data: Buffer, max_headers: int, max_size: int) -> tuple[str, list[tuple[str, str]], int] | None:
    """The target, the headers and the size in bytes of an upgrade request, if the data begins with a whole one that is
    right in every way and in the usual form; None leaves it to `hubbub.wire.handshake`, which says what is wrong.

    Args:
        max_headers: header lines.
        max_size: bytes of the whole head.
    """
