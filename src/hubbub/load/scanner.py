"""A server's frames, found in whole reads at a time: RFC 6455, section 5.2. Any split gives the same messages."""

from __future__ import annotations

from hubbub.errors import MessageTooBig, ProtocolError
from hubbub.wire import Opcode

__all__ = ["LARGEST", "Scanner"]

LARGEST = 64 * 1024 * 1024  # bytes of one message: a server that sends more is not worth the memory


class Scanner:
    """Bytes in, messages and control frames out.

    It looks at no payload, so it takes text that is not UTF-8; compression is never offered, so never decoded.
    """

    __slots__ = ("_kept", "_kind", "_needed", "_parts")

    def __init__(self) -> None:
        self._kept = bytearray()  # the beginning of a frame
        self._needed = 0  # bytes of it, as far as is known
        self._kind = 0  # opcode of the fragmented message under way, 0 for none
        self._parts = bytearray()

    @property
    def idle(self) -> bool:
        """Whether no frame or message is under way."""
        return not self._kept and not self._kind

    def scan(self, data: bytes) -> list[tuple[int, bytes]]:
        """Opcode and payload of everything that these bytes complete.

        Raises: ProtocolError: what no server may send. MessageTooBig: more than LARGEST.
        """
        if self._kept:
            self._kept += data
            if len(self._kept) < self._needed:
                return []
            data = bytes(self._kept)
            self._kept.clear()
        found: list[tuple[int, bytes]] = []
        at, size = 0, len(data)
        while at + 2 <= size:
            first, length = data[at], data[at + 1]
            start = at + 2
            if length > 125:
                if length > 127:
                    raise ProtocolError("the server masks its frames")
                start += 2 if length == 126 else 8
                if start > size:
                    break
                length = int.from_bytes(data[at + 2 : start], "big")
            end = start + length
            if end > size:
                break
            if first == 0x81 and not self._kind:
                found.append((1, data[start:end]))
            else:
                self._judge(first, data[start:end], found)
            at = end
        if at < size:
            self._keep(data, at)
        return found

    def _judge(self, first: int, payload: bytes, found: list[tuple[int, bytes]]) -> None:
        """A frame that is not a whole text message."""
        opcode, fin = first & 0x0F, first >= 0x80
        if first & 0x70:
            raise ProtocolError("a reserved bit is set, though nothing was negotiated")
        if opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG) and fin:
            found.append((opcode, payload))
        elif opcode in (Opcode.TEXT, Opcode.BINARY) and not self._kind:
            if fin:
                found.append((opcode, payload))
            else:
                self._kind = opcode
                self._parts = bytearray(payload)
        elif opcode == Opcode.CONTINUATION and self._kind:
            if len(self._parts) + len(payload) > LARGEST:
                raise MessageTooBig("the server sends a message of more than 64 MiB")
            self._parts += payload
            if fin:
                found.append((self._kind, bytes(self._parts)))
                self._kind = 0
        else:
            raise ProtocolError("a frame that may not come here")

    def _keep(self, data: bytes, at: int) -> None:
        """Keep what begins there for the next read, and note how much of it is needed to go on."""
        rest = data[at : at + 10]
        wide = {126: 2, 127: 8}.get(rest[1], 0) if len(rest) > 1 else 0
        if len(rest) < 2 + wide:
            self._needed = 2 + wide
        else:
            length = int.from_bytes(rest[2 : 2 + wide], "big") if wide else rest[1]
            if length > LARGEST:
                raise MessageTooBig("the server sends a frame of more than 64 MiB")
            self._needed = 2 + wide + length
        self._kept += data[at:]
