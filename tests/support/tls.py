"""Clients over TLS that do what no library would: records pass through the test's hands, and may be anything."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from support.client import HEAD

HANDSHAKE, APPLICATION = 22, 23  # kinds of records


class Wire:
    """A client whose TLS records are the test's to send, change or leave out."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    async def dial(self, port: int) -> None:
        """Connect and shake hands."""
        await self.reach(port)
        await self.until_done(self.tls.do_handshake)

    async def reach(self, port: int, **settings: Any) -> None:
        """Connect and say nothing."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, **settings)

    async def until_done(self, step: Callable[..., Any], *arguments: Any) -> Any:
        async with asyncio.timeout(5):
            while True:
                try:
                    done = step(*arguments)
                except ssl.SSLWantReadError:
                    self.flush()
                    data = await self.reader.read(65536)
                    assert data, "the server has ended the connection"
                    self.incoming.write(data)
                else:
                    self.flush()
                    return done

    def records(self) -> bytes:
        """What TLS wants to send, for the test to send instead."""
        return self.outgoing.read()

    def flush(self) -> None:
        self.writer.write(self.outgoing.read())

    def hello(self) -> bytes:
        """The first flight."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.records()

    def say_goodbye(self) -> None:
        """A close_notify."""
        with contextlib.suppress(ssl.SSLError):  # the answer is still to come, and may be behind other things
            self.tls.unwrap()
        self.flush()

    async def upgrade(self) -> None:
        self.tls.write(HEAD.format(path="/").encode() + b"\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += await self.until_done(self.tls.read, 4096)
        assert b" 101 " in answer

    def kill(self) -> None:
        self.writer.transport.abort()


class Keys:
    """The keys of a client of TLS 1.3, for records that no library would make.

    Args:
        secret: what `SSLContext.keylog_filename` calls CLIENT_TRAFFIC_SECRET_0.
        cipher: one with AES-GCM.
    """

    def __init__(self, secret: bytes, cipher: str) -> None:
        self._hash = hashlib.sha384 if "SHA384" in cipher else hashlib.sha256
        self._size = 32 if "256_GCM" in cipher else 16
        self._change(secret)

    def record(self, kind: int, data: bytes) -> bytes:
        """One record; `kind` is what it says inside."""
        head = b"\x17\x03\x03" + struct.pack("!H", len(data) + 17)
        nonce = (self._start ^ self._number).to_bytes(12, "big")
        self._number += 1
        return head + self._cipher.encrypt(nonce, data + bytes([kind]), head)

    def new(self, *, asked: bool = True) -> bytes:
        """A record that announces new keys for what follows it, and asks for new ones of the server."""
        announced = self.record(HANDSHAKE, b"\x18\x00\x00\x01" + bytes([asked]))
        self._change(self._expand(b"traffic upd", len(self._secret)))
        return announced

    def _change(self, secret: bytes) -> None:
        self._secret, self._number = secret, 0
        self._cipher = AESGCM(self._expand(b"key", self._size))
        self._start = int.from_bytes(self._expand(b"iv", 12), "big")

    def _expand(self, label: bytes, size: int) -> bytes:
        """HKDF-Expand-Label of RFC 8446; one block is enough here."""
        about = struct.pack("!HB", size, 6 + len(label)) + b"tls13 " + label + b"\0\1"
        return hmac.new(self._secret, about, self._hash).digest()[:size]


def listening(buffer: int) -> socket.socket:
    """A socket for a server whose connections the kernel gives so many bytes for each direction."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    made.bind(("127.0.0.1", 0))
    return made


def dialled(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    """An upgraded connection of a thread's own: its waits are the thread's, and have a limit of five seconds."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=5)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)  # what is sent has nearly arrived
    secure = context.wrap_socket(plain, server_hostname="localhost")
    secure.sendall(HEAD.format(path="/").encode() + b"\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += secure.recv(1)
    assert b" 101 " in answer
    return secure
