"""A server's frames, and what is none."""

from __future__ import annotations

import pytest

from hubbub.errors import MessageTooBig, ProtocolError
from hubbub.load.scanner import LARGEST, Scanner
from hubbub.wire import Opcode, close, encode, ping


def test_messages_of_every_length_and_control_frames_between_fragments() -> None:
    sizes = [0, 1, 125, 126, 65535, 65536, 200_000]
    stream = b"".join(encode(Opcode.TEXT, b"x" * size) for size in sizes)
    stream += encode(Opcode.BINARY, b"ab", fin=False) + ping(b"!") + encode(Opcode.CONTINUATION, b"cd", fin=False)
    stream += encode(Opcode.CONTINUATION, b"") + close(1000)
    scanner = Scanner()
    found = scanner.scan(stream)
    assert [len(payload) for kind, payload in found if kind == Opcode.TEXT] == sizes
    assert found[-3:] == [(Opcode.PING, b"!"), (Opcode.BINARY, b"abcd"), (Opcode.CLOSE, b"\x03\xe8")]
    assert scanner.idle


@pytest.mark.parametrize(
    "stream",
    [
        encode(Opcode.TEXT, b"x", mask_key=b"1234"),
        encode(Opcode.TEXT, b"x", rsv1=True),
        encode(Opcode.CONTINUATION, b"x"),
        encode(Opcode.TEXT, b"x", fin=False) + encode(Opcode.TEXT, b"x"),
        encode(Opcode.PING, b"x", fin=False),
        encode(3, b"x"),
    ],
)
def test_what_no_server_may_send_is_an_error(stream: bytes) -> None:
    with pytest.raises(ProtocolError):
        Scanner().scan(stream)


def test_memory_is_bounded() -> None:
    with pytest.raises(MessageTooBig):
        Scanner().scan(b"\x81\x7f" + (LARGEST + 1).to_bytes(8, "big"))
    scanner = Scanner()
    scanner.scan(encode(Opcode.TEXT, b"", fin=False))
    half = encode(Opcode.CONTINUATION, bytes(LARGEST // 2 + 1), fin=False)
    scanner.scan(half)
    with pytest.raises(MessageTooBig):
        scanner.scan(half)
