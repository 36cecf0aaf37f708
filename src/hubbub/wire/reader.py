"""The incremental parser: RFC 6455, sections 5 to 8. Any split of the stream gives the same results.

It is the specification: the compiled twin, `native/codec.c`, gives the same for every stream.

A frame is judged as early as it can be: by its first byte, by its second, by its length, then by its payload as it
comes. Only what is unfinished is kept: at most 13 bytes of a header, and one buffer for a message, whatever the
number of its fragments or of the reads that brought them.
"""

from __future__ import annotations

import codecs
import sys

from hubbub.errors import InvalidPayload, MessageTooBig, PolicyViolation, ProtocolError
from hubbub.wire.deflate import INVALID, Agreed, Inflater
from hubbub.wire.frames import Opcode
from hubbub.wire.masking import mask
from hubbub.wire.received import NOT_UTF8, Ping, Pong, Received, ReceivedClose, sendable

__all__ = ["Reader"]

ALL = sys.maxsize  # as many as there are
_utf8_decoder = codecs.getincrementaldecoder("utf-8")


class _Message:
    """A data message that has begun."""

    __slots__ = ("buffer", "compressed", "decoder", "fragments", "text")

    def __init__(self, text: bool, compressed: bool) -> None:
        self.text = text
        self.compressed = compressed
        self.buffer = bytearray()
        self.decoder = _utf8_decoder() if text else None
        self.fragments = 0


class _Partial:
    """A frame whose payload has not come to its end."""

    __slots__ = ("fin", "key", "left", "opcode", "payload")

    def __init__(self, opcode: int, fin: bool, left: int, key: bytes) -> None:
        self.opcode = opcode
        self.fin = fin
        self.left = left  # bytes of the payload still to come
        self.key = key  # the mask, turned to the next byte
        self.payload = bytearray()  # of a control frame


class Reader:
    """Frames in, messages and control frames out.

    Args:
        max_message_size: bytes of one message, inflated, and of one frame as sent.
        max_fragments: frames of one message.
        agreed: the compression that was negotiated.
    """

    __slots__ = ("_head", "_inflater", "_max_fragments", "_max_message_size", "_message", "_partial")

    def __init__(self, *, max_message_size: int, max_fragments: int, agreed: Agreed | None) -> None:
        self._max_message_size = max_message_size
        self._max_fragments = max_fragments
        self._inflater = None if agreed is None else Inflater(agreed, max_fragments)
        self._head = b""  # the beginning of a header
        self._partial: _Partial | None = None
        self._message: _Message | None = None

    @property
    def unfinished(self) -> bool:
        """Whether a frame or a message has begun and not ended."""
        return bool(self._head) or self._partial is not None or self._message is not None

    def read(self, data: bytes | memoryview, received: list[Received], at: int = 0, most: int = ALL) -> int:
        """Append what these bytes complete to `received`, up to and including a close frame.

        Args:
            data: what came; it may be overwritten after the call.
            at: where in it to begin.
            most: how many messages and control frames to append at the most.

        Returns: where in the data to go on; its size if all of it was taken in.
        Raises: PeerError: after everything that came before the fault was appended. Nothing may be read after it.
        """
        data = bytes(data)
        stop = len(received) + most
        if self._partial is not None:
            at += self._resume(self._partial, data[at : at + self._partial.left], received)
        elif self._head:
            head, self._head = self._head, b""
            return self.read(head + data[at:], received, 0, most) + at - len(head)
        size = len(data)
        while at < size and len(received) < stop and not (received and type(received[-1]) is ReceivedClose):
            # The usual frame: a whole, short, unfragmented, uncompressed message.
            if self._message is None and data[at] in (0x81, 0x82) and at + 6 <= size:
                length = data[at + 1] - 128
                start = at + 6
                if 0 <= length < 126 and start + length <= size and length <= self._max_message_size:
                    key = data[at + 2 : start]
                    keys = key * (length // 4) + key[: length % 4]
                    plain = int.from_bytes(data[start : start + length], "little") ^ int.from_bytes(keys, "little")
                    payload = plain.to_bytes(length, "little")
                    received.append(_text(payload) if data[at] == 0x81 else payload)
                    at = start + length
                    continue
            begun = self._begin(data, at, size)
            if begun is None:
                self._head = data[at:]
                return size
            partial, at = begun
            self._partial = partial
            at += self._resume(partial, data[at : at + partial.left], received)
        return at

    def _begin(self, data: bytes, at: int, size: int) -> tuple[_Partial, int] | None:
        """Judge a header as far as it has come. Returns the frame and where its payload begins; None for not yet."""
        first = data[at]
        opcode = first & 0x0F
        self._judge_first(first, opcode)
        if at + 1 == size:
            return None
        second = data[at + 1]
        if second < 0x80:
            raise ProtocolError("an unmasked frame")
        if opcode >= 8 and second & 0x7F > 125:
            raise ProtocolError("a control frame of more than 125 bytes")
        extended = _length(second & 0x7F, data, at + 2)
        if extended is None:
            return None
        length, start = extended
        if opcode < 8:
            self._judge_length(length)
        if start + 4 > size:
            return None
        if opcode < 8:
            self._begin_message(first, opcode)
        return _Partial(opcode, first >= 0x80, length, data[start : start + 4]), start + 4

    def _judge_first(self, first: int, opcode: int) -> None:
        """Sections 5.2, 5.4 and 5.5; RFC 7692, section 6."""
        if first & 0x30 or (first & 0x40 and (self._inflater is None or opcode not in (1, 2))):
            raise ProtocolError("a reserved bit is set")
        if opcode in (1, 2):
            if self._message is not None:
                raise ProtocolError("a new message inside a fragmented one")
        elif opcode == 0:
            if self._message is None:
                raise ProtocolError("a continuation of nothing")
        elif opcode not in (8, 9, 10):
            raise ProtocolError("a reserved opcode")
        elif first < 0x80:
            raise ProtocolError("a fragmented control frame")

    def _judge_length(self, length: int) -> None:
        message = self._message
        if message is not None and message.fragments >= self._max_fragments:
            raise PolicyViolation("a message of too many fragments")
        before = len(message.buffer) if message is not None and not message.compressed else 0
        if before + length > self._max_message_size:
            raise MessageTooBig("a message is too big")

    def _begin_message(self, first: int, opcode: int) -> None:
        if self._message is None:
            self._message = _Message(opcode == Opcode.TEXT, bool(first & 0x40))
        self._message.fragments += 1

    def _resume(self, partial: _Partial, data: bytes, received: list[Received]) -> int:
        """Take in more of a frame's payload. Returns how many bytes of `data` belong to it."""
        chunk = data[: partial.left]
        count = len(chunk)
        partial.left -= count
        if count:
            plain = mask(chunk, partial.key)
            turn = count % 4
            partial.key = partial.key[turn:] + partial.key[:turn]
            if partial.opcode >= 8:
                partial.payload += plain
            else:
                self._add(plain)
        if not partial.left:
            self._partial = None
            if partial.opcode >= 8:
                received.append(_control(partial.opcode, bytes(partial.payload)))
            elif partial.fin:
                received.append(self._finish())
        return count

    def _add(self, data: bytes) -> None:
        """Add to the message, judging it as it comes."""
        message = self._message
        assert message is not None
        if message.compressed:
            assert self._inflater is not None
            self._append(message, self._inflater.inflate(data, self._max_message_size - len(message.buffer)))
        else:
            if message.decoder is not None:
                _judge_text(message.decoder, data, NOT_UTF8)
            message.buffer += data

    def _append(self, message: _Message, inflated: bytes) -> None:
        """Whatever comes first in the stream is the fault that is named, however the stream is split."""
        room = self._max_message_size - len(message.buffer)
        if message.decoder is not None:
            _judge_text(message.decoder, inflated[:room], INVALID)
        if len(inflated) > room:
            raise MessageTooBig("a message is too big when inflated")
        message.buffer += inflated

    def _finish(self) -> str | bytes:
        message = self._message
        assert message is not None
        if message.compressed:
            assert self._inflater is not None
            self._append(message, self._inflater.end(self._max_message_size - len(message.buffer)))
        self._message = None
        if message.decoder is None:
            return bytes(message.buffer)
        try:
            return message.buffer.decode()
        except UnicodeDecodeError:  # only a sequence that is cut off by the end can still be wrong
            raise InvalidPayload(INVALID if message.compressed else NOT_UTF8) from None


def _length(short: int, data: bytes, start: int) -> tuple[int, int] | None:
    """The payload's length, and where what follows it begins; None for not yet."""
    if short < 126:
        return short, start
    wide = 2 if short == 126 else 8
    if wide == 8 and start < len(data) and data[start] & 0x80:
        raise ProtocolError("a length of more than 63 bits")
    if start + wide > len(data):
        return None
    length = int.from_bytes(data[start : start + wide], "big")
    if length < (126 if wide == 2 else 65536):
        raise ProtocolError("a length that is not in its shortest form")
    return length, start + wide


def _judge_text(decoder: codecs.IncrementalDecoder, data: bytes, fault: str) -> None:
    try:
        decoder.decode(data)
    except UnicodeDecodeError:
        raise InvalidPayload(fault) from None
    pending = decoder.getstate()[0]
    if pending[:1] == b"\xed" and pending[1:] >= b"\xa0":  # half a surrogate: CPython waits for its third byte
        raise InvalidPayload(fault)


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise InvalidPayload(NOT_UTF8) from None


def _control(opcode: int, payload: bytes) -> Received:
    if opcode == Opcode.PING:
        return Ping(payload)
    if opcode == Opcode.PONG:
        return Pong(payload)
    if not payload:
        return ReceivedClose(1005, "")
    if len(payload) == 1:
        raise ProtocolError("a close frame of one byte")
    code = int.from_bytes(payload[:2], "big")
    if not sendable(code):
        raise ProtocolError("a close code that may not be sent")
    try:
        return ReceivedClose(code, payload[2:].decode())
    except UnicodeDecodeError:
        raise InvalidPayload("a close reason that is not UTF-8") from None
