"""Publishing to Centrifugo by its HTTP API: publications per second to one channel, as JSON.

    centrifugo_publish.py PORT SECONDS WARM

Eight connections, each with one request of 256 publications under way, which Centrifugo may make in parallel.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time

CONNECTIONS, BATCH = 8, 256


def main(port: int, seconds: float, warm: float) -> dict[str, float]:
    one = {"publish": {"channel": "room", "data": {"text": "x" * 53}}}  # 64 bytes of JSON
    body = json.dumps({"commands": [one] * BATCH, "parallel": True}, separators=(",", ":")).encode()
    request = (
        b"POST /api/batch HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(body)
    ) + body
    selector = selectors.DefaultSelector()
    for _ in range(CONNECTIONS):
        connection = socket.create_connection(("127.0.0.1", port))
        selector.register(connection, selectors.EVENT_READ, bytearray())
        connection.sendall(request)
    done = before = 0
    start, began = time.monotonic(), 0.0
    while (now := time.monotonic()) < start + warm + seconds:
        if not began and now >= start + warm:
            began, before = now, done
        for key, _ in selector.select(1):
            done += answered(key.fileobj, key.data, request)
    return {"publications_per_s": (done - before) / (time.monotonic() - began)}


def answered(connection: object, buffer: bytearray, request: bytes) -> int:
    """How many an answer is about, once it is whole; then the next request goes out."""
    assert isinstance(connection, socket.socket)
    buffer += connection.recv(1 << 20)
    head, separator, rest = bytes(buffer).partition(b"\r\n\r\n")
    if not separator:
        return 0
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    chunked = lines.get(b"transfer-encoding") == b"chunked"
    if not (rest.endswith(b"0\r\n\r\n") if chunked else len(rest) == int(lines[b"content-length"])):
        return 0
    offsets = rest.count(b'"offset":')
    if offsets != BATCH:
        raise SystemExit(f"Centrifugo published {offsets} of {BATCH}: {rest[:200]!r}")
    buffer.clear()
    connection.sendall(request)
    return offsets


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))))
