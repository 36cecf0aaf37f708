"""A client as a program's handlers see it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from math import ceil
from typing import Any

from hubbub.errors import Misuse
from hubbub.realtime.data import encoded
from hubbub.realtime.forms import framed
from hubbub.realtime.protocol import Dialect, Disconnect, Disconnects, Reply, push, raw
from hubbub.realtime.protocol.replies import Message
from hubbub.server import Socket

__all__ = ["Client"]


class Client:
    """One session's client: a tab, a phone."""

    __slots__ = ("dialect", "expires_at", "headers", "id", "info", "meta", "socket", "user")

    def __init__(self, socket: Socket, dialect: Dialect, headers: Mapping[str, str]) -> None:
        self.socket: Socket = socket
        self.dialect: Dialect = dialect
        self.headers: Mapping[str, str] = headers
        """Of the upgrade request, such as its cookies, by names in lower case. Empty once the client is connected."""
        self.id: str = ""
        """Of this connection alone; "" before it is accepted."""
        self.user: str = ""
        """"": anonymous."""
        self.info: bytes = b""
        """What others see of it, in JSON."""
        self.meta: bytes = b""
        """What its token says for the program alone, in JSON."""
        self.expires_at: float | None = None
        """When the connection ends unless it is refreshed, in seconds since 1970. None: never."""

    def _become(self, user: str, info: bytes, meta: bytes, expires_at: float | None) -> None:
        """For sessions alone: that is who it is."""
        self.user, self.info, self.meta, self.expires_at = user, info, meta, expires_at

    def _be_called(self, id: str) -> None:
        """For sessions alone: that is its id, now that it may connect."""
        self.id = id
        self.headers = {}

    def __repr__(self) -> str:
        return f"<Client {self.id or 'not connected yet'} of {self.user or 'nobody'!r}>"

    @property
    def ttl(self) -> int:
        """Seconds until it expires, 1 at least; 0: it does not."""
        return 0 if self.expires_at is None else max(ceil(self.expires_at - time.time()), 1)

    def send(self, data: Any) -> bool:
        """Send it something, in no channel. Bytes are sent as they are, anything else as JSON.

        Returns: False: its connection is closed, or it reads too slowly.
        Raises: Misuse: the data cannot be JSON, or is bytes that are not, for a client that speaks it.
        """
        return self._tell(push(Message(data=raw(self._writable(encoded(data))))))

    def _writable(self, data: bytes) -> bytes:
        """For sessions: that data. Raises: Misuse: it is not JSON, which this client speaks."""
        if not self.dialect.carries(data):
            raise Misuse("these bytes are no JSON, and are for a client that speaks that")
        return data

    def _tell(self, *replies: Reply) -> bool:
        """Send it these, in one frame."""
        dialect = self.dialect
        return self._write([dialect.encode(reply) for reply in replies])

    def _write(self, messages: list[bytes]) -> bool:
        """Send it these, in one frame."""
        return self.socket.write(framed(self.dialect, self.dialect.join(messages)))

    def disconnect(self, disconnect: Disconnect = Disconnects.FORCE_DISCONNECT) -> None:
        """End its connection, after what was sent before.

        Args:
            disconnect: a code from 4000 to 4999, with a reason of up to 123 bytes; clients come back after those below
                4500. Left out: 3503, after which they do not.
        """
        self.socket.close(disconnect.code, disconnect.reason)
