"""Coverage-guided fuzzing of the two codecs: Atheris looks for a stream on which they differ.

    python tests/fuzz/twins.py [SECONDS]        `make fuzz` runs it; what it finds is in reports/fuzz

The Python twin is instrumented, so every branch that it has is aimed at. An input is a few bytes of settings and then
frames, or the stream itself. Nothing but PeerError may escape from either twin, and both must say the same.
"""

from __future__ import annotations

import random
import sys
import zlib
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))
with atheris.instrument_imports(include=["hubbub.wire"]):
    from hubbub.wire import Agreed, handshake
    from support.client import encode
    from support.streams import GOOD, split, upgrade
    from support.twins import outcome, twin_named

ROOT = Path(__file__).parents[2]
PYTHON, COMPILED = twin_named("python"), twin_named("compiled")
SETTINGS = 6  # bytes: form, limit, fragments, compression, and two cuts


def one(data: bytes) -> None:
    """Atheris calls it with every input."""
    if len(data) < SETTINGS:
        return
    form, limit, fragments, compression, *cuts = data[:SETTINGS]
    if form & 4:
        return one_head(data[SETTINGS:], limit * 2, fragments % 8)
    stream = frames(data[SETTINGS:]) if form & 1 else data[SETTINGS:]
    agreed = Agreed(15, 8 + compression % 8, bool(compression & 8)) if compression & 16 else None
    reads = split(stream, cuts) if form & 2 else [stream[at : at + 1] for at in range(len(stream))]
    settings = (1 + limit * 4, 1 + fragments % 8, agreed)
    expected, got = outcome(PYTHON, reads, *settings), outcome(COMPILED, reads, *settings)
    if expected != got:
        raise AssertionError(f"python: {expected}\ncompiled: {got}\nreads: {reads}\nsettings: {settings}")


def one_head(data: bytes, max_size: int, max_headers: int) -> None:
    """What the compiled twin takes for a right request must be one."""
    found = COMPILED.read_head(data, max_headers, max_size)
    handshake._judge_head = None
    expected = upgrade([data], max_headers, max_size)
    if found is not None and (*found[:2], data[found[2] :]) != expected:
        raise AssertionError(f"python: {expected}\ncompiled: {found}\ndata: {data!r}")


def frames(data: bytes) -> bytes:
    """Frames with right headers: a first byte, how to make the payload, its length, the payload."""
    out, at = b"", 0
    while at + 3 <= len(data) and len(out) < 4096:
        first, form, size = data[at : at + 3]
        payload = data[at + 3 : at + 3 + size]
        at += 3 + size
        if form & 1:
            compressor = zlib.compressobj(wbits=-9)
            payload = (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
        if form & 2:
            payload *= 1 + form // 4
        key = bytes((form, size, first, at & 255))
        out += encode(first & 15, payload, fin=first >= 128, rsv=first >> 4 & 7, key=key)
    return out


def seeds(folder: Path) -> None:
    """One file for each thing that frames can do, so that it need not be guessed."""
    chance = random.Random(6455)
    texts = [b"hi", "früh €😀".encode(), bytes(200), b"\xed\xa0\x80", b"\x03\xe8bye", b"\xff"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "head").write_bytes(bytes((4, 255, 7, 0, 0, 0)) + GOOD + b"rest")
    (folder / "proxy").write_bytes(bytes((4, 255, 7, 0, 0, 0)) + GOOD.replace(b"/chat", b"ws://a/", 1))
    number = 0
    for first in (0x81, 0x82, 0x01, 0xC1, 0x41, 0x80, 0x00, 0x88, 0x89, 0x8A, 0x83, 0xF1):
        for text in texts:
            for form in (0, 1, 30):
                frame = bytes((first, form, len(text))) + text
                ending = bytes((0x80, form & 2, 1)) + b"x"
                settings = bytes((chance.choice((1, 60, 255)), 3, chance.choice((0, 23)), *chance.randbytes(2)))
                (folder / f"frames-{number}").write_bytes(b"\x03" + settings + frame + ending)
                raw = encode(first & 15, text, fin=first >= 128, rsv=first >> 4 & 7)
                (folder / f"stream-{number}").write_bytes(b"\x02" + settings + raw)
                number += 1


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    corpus, found = ROOT / ".cache" / "fuzz", ROOT / "reports" / "fuzz"
    seeds(corpus / "seeds")
    for folder in (corpus / "twins", found):
        folder.mkdir(parents=True, exist_ok=True)
    flags = [f"-max_total_time={seconds}", "-max_len=1024", f"-artifact_prefix={found}/"]
    atheris.Setup([sys.argv[0], *flags, str(corpus / "twins"), str(corpus / "seeds")], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
