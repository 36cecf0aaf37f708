"""One WebSocket client on asyncio: opened, read whole reads at a time, written without waiting."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import cast

from hubbub.errors import PeerError, ProtocolError
from hubbub.load.ledger import Ledger, Member
from hubbub.load.marker import Delivery, Marker
from hubbub.load.plan import Share
from hubbub.load.scanner import Scanner
from hubbub.load.upgrade import Answer, request
from hubbub.logs import printable
from hubbub.wire import Opcode, encode

__all__ = ["NEVER", "Client", "Reception"]

READ_SIZE = 32 * 1024  # bytes: what is read from one connection before the next one's turn
AHEAD = 4  # payloads that wait to be sent, beyond the kernel's: from then on the connection publishes no more
MOST_REMEMBERED = 1024  # reads, or messages, and
LARGEST_REMEMBERED = 4 * 1024  # bytes of each, so that together they take 4 MiB at most
MOST_REASONS = 20  # why connections ended: a server that thinks up another reason each time fills no memory


NEVER = 1 << 63  # nanoseconds


def _nothing(now: int) -> None:
    pass


class Reception:
    """What the clients of one process share: a read buffer, the ledger, and what recent reads meant.

    All members of a room are sent the same bytes, so most reads were already made sense of for another member.
    """

    def __init__(self, share: Share) -> None:
        self.share: Share = share
        self.ledger: Ledger = Ledger(share)
        self.marker: Marker = Marker(share.run)
        self.buffer: memoryview = memoryview(bytearray(READ_SIZE))
        self.bytes: int = 0  # received after the upgrades
        self.gone: Counter[str] = Counter()  # connections that ended too early, by reason
        self.failed: Counter[str] = Counter()  # connections that never opened, by reason
        self.ending: bool = False  # from then on connections are meant to end
        self.remembered: dict[bytes, list[Delivery]] = {}
        self.due: int = NEVER  # when `publish` is to be called next
        self.publish: Callable[[int], None] = _nothing
        self._messages: dict[bytes, list[Delivery]] = {}  # the same for each message: reads are cut anywhere
        self._alike = share.plan.echo is False and share.plan.connections > share.plan.rooms

    def clock(self) -> int:
        """Nanoseconds since the run's epoch."""
        return time.monotonic_ns() - self.share.epoch

    def receive(self, member: Member, deliveries: list[Delivery]) -> None:
        """Take note of what a member got.

        A turn of the loop reads from thousands of sockets, and timers wait for its end: so whoever publishes is called
        from here as well.
        """
        now = time.monotonic_ns() - self.share.epoch
        self.ledger.receive(member, deliveries, now)
        if now >= self.due:
            self.publish(now)

    def find(self, message: bytes) -> list[Delivery]:
        """What a message holds."""
        known = self._messages.get(message)
        if known is None:
            known = self.marker.find(message)
            self._remember(self._messages, message, known)
        return known

    def remember(self, data: bytes, deliveries: list[Delivery]) -> None:
        """Keep what a read meant for the next member that gets the same."""
        self._remember(self.remembered, data, deliveries)

    def _remember(self, known: dict[bytes, list[Delivery]], data: bytes, deliveries: list[Delivery]) -> None:
        if self._alike and len(data) <= LARGEST_REMEMBERED:
            if len(known) >= MOST_REMEMBERED:
                known.clear()
            known[data] = deliveries

    @staticmethod
    def count(reasons: Counter[str], reason: str) -> None:
        """Count a reason, as "other reasons" when there are too many."""
        reasons[reason if reason in reasons or len(reasons) < MOST_REASONS else "other reasons"] += 1


class Client(asyncio.BufferedProtocol):
    """A connection. `opened` is done once it is upgraded, or failed with the reason why not."""

    def __init__(self, reception: Reception, number: int) -> None:
        plan = reception.share.plan
        key = base64.b64encode(os.urandom(16)).decode()
        headers = [(name, plan.expand(value, number)) for name, value in plan.headers]
        target = plan.target
        self._request = request(plan.expand(target.resource, number), target.authority, key, headers, plan.subprotocols)
        self._answer: Answer | None = Answer(key, plan.subprotocols)
        self._reception = reception
        self._number = number
        self._say = plan.expand(plan.say, number)
        self._scanner = Scanner()
        self._member: Member | None = None
        self._transport: asyncio.Transport | None = None
        self._close_reason = ""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.opened.add_done_callback(
            lambda opened: opened.cancelled() or opened.exception()
        )  # seen, if by nobody else
        self.settled: bool = False  # its ping was answered, so what it sent before has been read
        self.ended: bool = False
        self.paused: bool = False

    @property
    def willing(self) -> bool:
        """Whether it can publish: it is open, and the server reads what it sends."""
        return not (self.ended or self.paused)

    def join(self) -> None:
        """Send what joins the room, then a ping: its answer tells that the server has read all of it."""
        plan = self._reception.share.plan
        for template in () if plan.echo else plan.join:
            self._send(Opcode.TEXT, plan.expand(template, self._number).encode())
        self._send(Opcode.PING, b"joined")

    def say(self) -> None:
        """Publish the next message of its room."""
        reception = self._reception
        assert self._member is not None
        delivery = reception.ledger.send(self._member, reception.clock())
        payload = reception.marker.write(delivery, reception.share.plan.payload)
        self._send(Opcode.TEXT, self._say.replace("{payload}", payload).encode())

    def leave(self) -> None:
        """Begin the closing handshake."""
        self._send(Opcode.CLOSE, (1000).to_bytes(2, "big"))

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _send(self, opcode: int, payload: bytes) -> None:
        if self._transport is not None and not self.ended:
            self._transport.write(encode(opcode, payload, mask_key=os.urandom(4)))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=AHEAD * self._reception.share.plan.payload + READ_SIZE)
        self._transport.write(self._request)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reception.buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._reception.buffer[:nbytes])
        try:
            if self._answer is None:
                self._receive(data)
            elif (rest := self._answer.receive(data)) is not None and not self.opened.done():
                self._answer = None
                self._member = self._reception.ledger.admit(self._number)
                self.opened.set_result(None)
                if rest:
                    self._receive(rest)
        except PeerError as error:
            self._fail(error)

    def _receive(self, data: bytes) -> None:
        reception, scanner, member = self._reception, self._scanner, self._member
        assert member is not None
        reception.bytes += len(data)
        whole = scanner.idle
        if whole and (known := reception.remembered.get(data)) is not None:
            reception.receive(member, known)
            return
        deliveries: list[Delivery] = []
        for kind, payload in scanner.scan(data):
            if kind < Opcode.CLOSE:
                deliveries += reception.find(payload)
            else:
                whole = False
                self._control(kind, payload)
        if deliveries:
            reception.receive(member, deliveries)
            if whole and scanner.idle:
                reception.remember(data, deliveries)

    def _control(self, kind: int, payload: bytes) -> None:
        if kind == Opcode.PONG:
            self.settled = True
        elif kind == Opcode.PING:
            self._send(Opcode.PONG, payload)
        elif kind == Opcode.CLOSE:
            code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else 1005
            said = printable(payload[2:].decode("utf-8", "replace"))
            self._close_reason = f"closed by the server with {code}" + (f", {said}" if said else "")
            self._send(Opcode.CLOSE, payload[:2])
            if self._transport is not None:
                self._transport.close()

    def _fail(self, error: PeerError) -> None:
        if self.opened.done():
            self._close_reason = printable(error)
        else:
            self.opened.set_exception(error)
        self.abort()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        if not self.opened.done():
            self.opened.set_exception(exc or ProtocolError("closed before it answered"))
        elif self._member is not None and not self._reception.ending:
            cut = "reset by the server" if exc is not None else "cut by the server without a word"
            self._reception.count(self._reception.gone, self._close_reason or cut)
