"""Clients that keep a server busy, as a program of their own: PORT KIND CLIENTS [CERTIFICATE AUTHORITY].

KIND is `turns` (each client always has one message under way) or `flood` (each sends tiny messages as fast as it can).
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import sys

from support.client import HEAD, encode

MESSAGE = encode(2, b"x" * 20)
MANY = encode(2, b"x") * 10_000


def connect(port: int, context: ssl.SSLContext | None) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=20)
    if context is not None:
        made = context.wrap_socket(made, server_hostname="localhost")
    made.sendall(HEAD.format(path="/").encode() + b"\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += made.recv(4096)
    made.setblocking(False)
    return made


def main() -> None:
    port, kind, clients, *authority = sys.argv[1:]
    context = ssl.create_default_context(cafile=authority[0]) if authority else None
    ready = selectors.DefaultSelector()
    sockets = [connect(int(port), context) for _ in range(int(clients))]
    flooding = kind == "flood"
    for made in sockets:
        ready.register(made, selectors.EVENT_WRITE if flooding else selectors.EVENT_READ)
    print("connected", flush=True)
    sent = dict.fromkeys(sockets, 0)
    for made in () if flooding else sockets:
        made.send(MESSAGE)
    while True:
        for key, _ in ready.select():
            made = key.fileobj
            assert isinstance(made, socket.socket)
            with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if flooding:
                    sent[made] = (sent[made] + made.send(MANY[sent[made] :][:65536])) % len(MANY)
                else:
                    while made.recv(4096):
                        made.send(MESSAGE)


if __name__ == "__main__":
    with contextlib.suppress(ConnectionError, KeyboardInterrupt):
        main()
