"""Hypothesis strategies for what a peer may send: right, wrong in one place, or noise."""

from __future__ import annotations

import itertools
import zlib
from typing import Any

from hypothesis import strategies as st

from hubbub.errors import HandshakeError
from hubbub.wire import Agreed, HandshakeReader, Request
from support.client import encode

AGREED = st.none() | st.builds(
    Agreed,
    server_window_bits=st.just(15),
    client_window_bits=st.integers(9, 15),
    client_context_takeover=st.booleans(),
)


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-9)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


payloads = st.binary(max_size=300) | st.text(max_size=100).map(str.encode) | st.binary(max_size=300).map(deflated)
keys = st.binary(min_size=4, max_size=4)


@st.composite
def messages(draw: Any) -> bytes:
    """One message in fragments, with control frames between them: right, but for its payload perhaps."""
    opcode, rsv = draw(st.sampled_from([1, 2])), draw(st.sampled_from([0, 0, 4]))
    parts = draw(st.lists(payloads, min_size=1, max_size=4))
    out = b""
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        out += encode(opcode if index == 0 else 0, part, fin=last, rsv=rsv if index == 0 else 0, key=draw(keys))
        if not last and draw(st.booleans()):
            out += encode(draw(st.sampled_from([9, 10])), draw(st.binary(max_size=125)), key=draw(keys))
    return out


frames = st.builds(
    encode,
    st.integers(0, 15),
    payloads,
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 4, 2, 1]),
    key=st.none() | keys,
)
closes = st.builds(
    lambda code, reason: encode(8, code.to_bytes(2, "big") + reason), st.integers(990, 5010), st.binary(max_size=123)
)
streams = st.lists(messages() | messages() | messages() | frames | closes | st.binary(max_size=20), max_size=6).map(
    b"".join
)


@st.composite
def corrupted(draw: Any) -> bytes:
    """A stream in which some bytes are others, or missing."""
    data = bytearray(draw(streams))
    for _ in range(draw(st.integers(0, 3)) if data else 0):
        at = draw(st.integers(0, len(data) - 1))
        if draw(st.booleans()):
            data[at] = draw(st.integers(0, 255))
        else:
            del data[at:]
            break
        if not data:
            break
    return bytes(data)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


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
    before = draw(st.sampled_from([b"", b"", b"", b"\r\n", b"\r\n\r\n", b"\r"]))
    return before + b"\r\n".join(lines) + b"\r\n\r\n" + draw(st.binary(max_size=20))


def upgrade(chunks: list[bytes], max_headers: int = 8, max_size: int = 400) -> object:
    """What a request comes to, whatever is in it."""
    reader = HandshakeReader(max_headers, max_size)
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
