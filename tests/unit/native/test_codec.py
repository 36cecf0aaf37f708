"""What only the compiled codec can get wrong: memory, buffers and re-entrance. The rest is tested on both twins."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

from hubbub.errors import Misuse, PeerError
from hubbub.wire import Agreed
from support.client import encode

try:
    codec: Any = importlib.import_module("hubbub.native._codec")
except ImportError as reason:
    pytest.skip(f"there is no compiled part here: {reason}", allow_module_level=True)

AGREED = Agreed(15, 15, client_context_takeover=False)


def reader(agreed: Agreed | None = None) -> Any:
    return codec.Reader(max_message_size=1000, max_fragments=10, agreed=agreed)


def test_an_idle_reader_is_small() -> None:
    assert sys.getsizeof(reader()) <= 120  # bytes


@pytest.mark.parametrize("data", [encode(1, b"hello"), encode(1, b"hello")[:4], b"\xff", b""])
def test_the_buffer_is_let_go_however_a_read_ends(data: bytes) -> None:
    buffer = bytearray(data)
    received: list[object] = []
    try:
        reader().read(buffer, received)
    except PeerError:
        assert data == b"\xff"
    buffer += bytes(100)  # a BufferError if it were still held
    buffer[:] = bytes(len(buffer))
    assert received in ([], ["hello"])


def test_what_is_no_buffer_or_no_list_is_refused() -> None:
    with pytest.raises(TypeError):
        reader().read("text", [])
    with pytest.raises(TypeError):
        reader().read(b"", None)
    with pytest.raises(BufferError):
        reader().read(memoryview(bytes(8))[::2], [])
    with pytest.raises(ValueError, match="four bytes"):
        codec.mask(b"data", b"key")


def test_inflation_cannot_come_back_into_the_same_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """As another thread could while zlib works without the interpreter's lock."""
    refused = []

    class Inflater:
        def __init__(self, agreed: Agreed, max_streams: int) -> None: ...

        def inflate(self, data: bytes, room: int) -> bytes:
            with pytest.raises(Misuse, match="one thread at a time") as caught:
                codec_reader.read(encode(2, b"x"), [])
            refused.append(caught.value)
            return data

        def end(self, room: int) -> bytes:
            return b"!"

    monkeypatch.setattr(codec, "Inflater", Inflater)
    codec_reader = reader(AGREED)
    received: list[object] = []
    codec_reader.read(encode(2, b"data", rsv=4), received)
    assert received == [b"data!"]
    assert len(refused) == 1
    codec_reader.read(encode(2, b"more"), received)
    assert received == [b"data!", b"more"]


def test_limits_of_any_size_are_kept() -> None:
    huge = codec.Reader(max_message_size=2**80, max_fragments=2**80, agreed=None)
    received: list[object] = []
    huge.read(encode(1, b"a", fin=False) + encode(0, b"b"), received)
    assert received == ["ab"]
    with pytest.raises(PeerError, match="too big"):
        codec.Reader(max_message_size=0, max_fragments=1, agreed=None).read(encode(1, b"a"), [])
