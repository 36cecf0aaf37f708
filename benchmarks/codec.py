"""Measures the two codecs: how fast each parses what clients send, without any I/O.

    python benchmarks/codec.py [SECONDS]        of each single run (0.3)

The twins run in turn, five times; median, least and most are shown. "Whole" reads hold whole frames, as many as
a server's read buffer of 64 KiB takes or just one; "cut" is an endless stream that is cut every 64 KiB.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from hubbub.wire import encode, reader

ROUNDS = 5
READ = 64 * 1024  # bytes: `READ_SIZE` of the server
KEY = b"\x12\x34\x56\x78"
FRAGMENTED = encode(1, b"x" * 60, fin=False, mask_key=KEY) + encode(0, b"y" * 4, mask_key=KEY)


def frame(size: int, text: str | None) -> bytes:
    payload = bytes(size) if text is None else (text * size).encode()[:size]
    return encode(2 if text is None else 1, payload, mask_key=KEY)


def whole(one: bytes, at_once: int = READ) -> list[bytes]:
    """One read of as many frames as fit."""
    return [one * max(1, at_once // len(one))]


def cut(one: bytes) -> list[bytes]:
    """Reads of a full buffer each, with frames across their ends, until the last ends with a frame."""
    stream = one * (64 if len(one) > 1000 else 8192)
    return [stream[at : at + READ] for at in range(0, len(stream), READ)]


WORKLOADS: dict[str, tuple[list[bytes], int]] = {  # reads, and bytes of one frame
    "64 B text, one a read": (whole(frame(64, "a"), 1), len(frame(64, "a"))),
    "64 B text, whole reads": (whole(frame(64, "a")), len(frame(64, "a"))),
    "64 B binary, whole reads": (whole(frame(64, None)), len(frame(64, None))),
    "64 B text of 2-byte letters, whole": (whole(frame(64, "é")), len(frame(64, "é"))),
    "64 B text in 2 fragments, whole": (whole(FRAGMENTED), len(FRAGMENTED)),
    "64 B text, cut reads": (cut(frame(64, "a")), len(frame(64, "a"))),
    "16 KB text, whole reads": (whole(frame(16384, "a"), 3 * 16400), len(frame(16384, "a"))),
    "16 KB text of 3-byte letters, whole": (whole(frame(16383, "€"), 3 * 16400), len(frame(16383, "€"))),
    "16 KB binary, whole reads": (whole(frame(16384, None), 3 * 16400), len(frame(16384, None))),
    "16 KB text, cut reads": (cut(frame(16384, "a")), len(frame(16384, "a"))),
    "16 KB binary, cut reads": (cut(frame(16384, None)), len(frame(16384, None))),
}


def rate(twin: Callable[..., Any], reads: list[bytes], size: int, seconds: float) -> float:
    """Messages per second."""
    codec = twin(max_message_size=1024 * 1024, max_fragments=1024, agreed=None)
    messages = sum(map(len, reads)) // size
    times, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        received: list[Any] = []
        for data in reads:
            codec.read(data, received)
        if len(received) != messages or codec.unfinished:
            sys.exit(f"{len(received)} messages came of {messages}")
        times += 1
    return times * messages / spent


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.3
    try:
        compiled = importlib.import_module("hubbub.native._codec").Reader
    except ImportError as error:
        sys.exit(f"there is no compiled part here: {error}")
    print(f"{'':36}{'pure Python':>14}{'compiled':>14}{'ns/message':>12}{'MB/s':>9}{'times':>7}")
    for name, (reads, size) in WORKLOADS.items():
        runs: dict[str, list[float]] = {"python": [], "compiled": []}
        for _ in range(ROUNDS):
            runs["python"].append(rate(reader.Reader, reads, size, seconds))
            runs["compiled"].append(rate(compiled, reads, size, seconds))
        slow, fast = (statistics.median(values) for values in runs.values())
        spread = (max(runs["compiled"]) - min(runs["compiled"])) / fast
        figures = f"{slow:>12,.0f}/s{fast:>12,.0f}/s{1e9 / fast:>12,.0f}{fast * size / 1e6:>9,.0f}{fast / slow:>7.1f}"
        print(f"{name:<36}{figures}  ±{spread / 2:.0%}")


if __name__ == "__main__":
    main()
