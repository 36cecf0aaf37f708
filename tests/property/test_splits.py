"""Any split of any byte stream gives the same events: the property that one of hubbub's ancestors did not have."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.errors import HandshakeError
from hubbub.wire import Agreed, Failure, HandshakeReader, Protocol, Request
from support.client import encode
from support.streams import AGREED, corrupted, keys, split

pytestmark = pytest.mark.usefixtures("twin")


def events(chunks: list[bytes], agreed: Agreed | None) -> list[object]:
    protocol = Protocol(max_message_size=400, max_fragments=3, agreed=agreed)
    out: list[object] = []
    for chunk in chunks:
        for event in protocol.receive(chunk):
            if isinstance(event, Failure):
                out.append((type(event.error), str(event.error), event.reply))
            else:
                out.append(event)
    return out


@given(corrupted(), AGREED, st.lists(st.integers(0, 5000), max_size=8))
def test_any_split_of_any_stream_gives_the_same_events(data: bytes, agreed: Agreed | None, cuts: list[int]) -> None:
    whole = events([data], agreed)
    assert events(split(data, cuts), agreed) == whole
    assert events([data[index : index + 1] for index in range(len(data))], agreed) == whole


@given(st.binary(max_size=500), AGREED)
def test_no_bytes_raise(data: bytes, agreed: Agreed | None) -> None:
    events([data], agreed)


@given(st.lists(st.text(max_size=200) | st.binary(max_size=200), max_size=8), keys)
def test_what_is_sent_is_what_is_received(sent: list[str | bytes], key: bytes) -> None:
    data = b"".join(
        encode(1, item.encode(), key=key) if isinstance(item, str) else encode(2, item, key=key) for item in sent
    )
    protocol = Protocol(max_message_size=1000, max_fragments=3)
    assert protocol.receive(data) == sent


GOOD = (
    b"GET /chat?x HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nX-Thing: a b\r\n\r\n"
)


@st.composite
def heads(draw: Any) -> bytes:
    """A good request with some lines changed, gone, doubled, or bytes altered, and perhaps frames behind it."""
    lines = GOOD[:-4].split(b"\r\n")
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(lines) - 1))
        what = draw(st.sampled_from(["change", "remove", "double", "byte"]))
        if what == "change":
            lines[at] = draw(st.binary(max_size=40))
        elif what == "remove" and len(lines) > 1:
            del lines[at]
        elif what == "double":
            lines.insert(at, lines[at])
        elif lines[at]:
            place = draw(st.integers(0, len(lines[at]) - 1))
            lines[at] = lines[at][:place] + draw(st.binary(min_size=1, max_size=1)) + lines[at][place + 1 :]
    return b"\r\n".join(lines) + b"\r\n\r\n" + draw(st.binary(max_size=20))


def upgrade(chunks: list[bytes]) -> object:
    reader = HandshakeReader(max_headers=8, max_size=400)
    request: Request | None = None
    rest = b""
    for chunk in chunks:
        if request is not None:
            rest += chunk
            continue
        try:
            request = reader.receive(chunk)
        except HandshakeError as error:
            return error.cause, error.status, error.headers
    if request is None:
        return None
    return request.target, request.headers.pairs(), reader.rest + rest


@given(heads(), st.lists(st.integers(0, 500), max_size=6))
def test_any_split_of_a_handshake_gives_the_same_result(data: bytes, cuts: list[int]) -> None:
    whole = upgrade([data])
    assert upgrade(split(data, cuts)) == whole
    assert upgrade([data[index : index + 1] for index in range(len(data))]) == whole
