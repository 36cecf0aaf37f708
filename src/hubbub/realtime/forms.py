"""The forms in which a channel's publications are sent: each is encoded once, and is a channel of the hub.

Sessions with deltas are first in a form of whole documents, and from their first document on in one of patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hubbub.brokers import Publication
from hubbub.errors import Overloaded
from hubbub.hub import Hub
from hubbub.realtime.bodies import Sent, publication_of
from hubbub.realtime.channel import Channel, Subscription
from hubbub.realtime.protocol import JSON, PROTOBUF, Dialect, Disconnects, Reply, push
from hubbub.realtime.protocol import Publication as Record
from hubbub.realtime.publications import full, patch, patched
from hubbub.wire import Frame, Opcode

if TYPE_CHECKING:
    from hubbub.realtime.session import Session

__all__ = ["Forms", "framed"]

TOGETHER = 65_536  # bytes of one frame, unless one publication is larger
DIALECTS = (JSON, PROTOBUF)
PLAIN, WHOLE, PATCHES, JOINS = "plain", "whole", "patches", "joins"


def framed(dialect: Dialect, payload: bytes) -> Frame:
    """A message of the dialect, whose text is known to be UTF-8."""
    return Frame(Opcode.BINARY if dialect.binary else Opcode.TEXT, payload)


class Forms:
    """The members of channels, in a hub that no one else uses."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def join(self, session: Session, subscription: Subscription) -> None:
        """Whatever is handed out from here on reaches it."""
        channel, options, socket = subscription.channel, subscription.options, session.socket
        form = PLAIN
        if subscription.filter is not None:
            form, matches = subscription.filter
            channel.filters[form] = matches
        elif options.delta:
            form = PATCHES if subscription.patched and channel.before is not None else WHOLE
        self._hub.join((channel.name, form, session.dialect.name), socket)
        if options.gets_join_leave:
            self._hub.join((channel.name, JOINS, session.dialect.name), socket)

    def leave(self, session: Session, subscription: Subscription) -> None:
        channel, socket = subscription.channel, session.socket
        forms = [JOINS] if subscription.options.gets_join_leave else []
        if subscription.filter is not None:
            forms.append(subscription.filter[0])
        else:
            forms += (WHOLE, PATCHES) if subscription.options.delta else (PLAIN,)
        for form in forms:
            self._hub.leave((channel.name, form, session.dialect.name), socket)
        if subscription.filter is not None and not any(
            self._count(channel, subscription.filter[0], dialect) for dialect in DIALECTS
        ):
            channel.filters.pop(subscription.filter[0], None)

    def hand_out(self, channel: Channel, events: Sequence[tuple[Publication, Sent | None]]) -> int:
        """To all forms with members. Returns to how many sessions; -1: to some of them, as there was no room for more.

        Raises: Overloaded: there is no room, and nothing was handed out.
        """
        keeps = channel.keeps
        records = [
            (publication_of(sent, p.offset if keeps else 0, p.epoch), sent) for p, sent in events if sent is not None
        ]
        texts = [record for record, _ in records if _fits(record, JSON)]
        if len(texts) < len(records):
            for session in [session for session in channel.members if session.dialect is JSON]:
                session.end(Disconnects.INAPPROPRIATE_PROTOCOL, "what is published is not JSON")
        handed, begun = 0, False
        try:
            for dialect in DIALECTS:
                for form, matches in ((PLAIN, None), *channel.filters.items()):
                    if self._count(channel, form, dialect):
                        fit = texts if dialect is JSON else [r for r, _ in records if _fits(r, dialect)]
                        mine = [r for r in fit if matches is None or matches(r.tags)]
                        pushes = [dialect.encode(push(record, channel.name)) for record in mine]
                        handed += self._broadcast(channel, form, dialect, pushes)
                        begun = True
            if channel.place.options.allowed_delta_types:
                handed += self._hand_out_deltas(channel, records)
        except Overloaded:
            if not begun:
                raise
            handed = -1
        if records and channel.place.options.allowed_delta_types:
            channel.before = bytes(records[-1][0].data)
        return handed

    def _hand_out_deltas(self, channel: Channel, records: list[tuple[Record, Sent]]) -> int:
        wanted = [
            (form, dialect) for dialect in DIALECTS for form in (PATCHES, WHOLE) if self._count(channel, form, dialect)
        ]
        if not wanted:
            return 0
        before, patches = channel.before, list[bytes | None]()
        for _, sent in records:
            patches.append(patch(before, sent.data) if sent.delta and before is not None else None)
            before = sent.data
        handed = 0
        for form, dialect in wanted:
            pushes: list[bytes] = []
            for at, (record, _) in enumerate(records):
                if _fits(record, dialect):
                    whole = form is WHOLE and not pushes  # their first document
                    pushes.append(
                        dialect.encode(push(patched(record, None if whole else patches[at], dialect), channel.name))
                    )
            handed += self._broadcast(channel, form, dialect, pushes)
            if form is WHOLE and pushes:  # they have a document now
                for member in self._hub.members((channel.name, WHOLE, dialect.name)):
                    self._hub.join((channel.name, PATCHES, dialect.name), member.socket)
                    self._hub.leave((channel.name, WHOLE, dialect.name), member.socket)
        return handed

    def hand_out_unkept(self, channel: Channel, record: Record) -> int:
        """A publication without an offset. Raises: Overloaded."""
        handed = 0
        for dialect in DIALECTS:
            for form in (PLAIN, WHOLE, PATCHES, *channel.filters):
                matches = channel.filters.get(form)
                fits = _fits(record, dialect) and (matches is None or matches(record.tags))
                if fits and self._count(channel, form, dialect):
                    shaped = full(record, dialect) if form in (WHOLE, PATCHES) else record
                    pushes = [dialect.encode(push(shaped, channel.name))]
                    handed += self._broadcast(channel, form, dialect, pushes)
        if channel.place.options.allowed_delta_types:
            channel.before = bytes(record.data)  # what the next patch is one of, to clients
        return handed

    def tell_joins(self, channel: Channel, reply: Reply) -> None:
        """Raises: Overloaded."""
        for dialect in DIALECTS:
            if self._count(channel, JOINS, dialect):
                self._broadcast(channel, JOINS, dialect, [dialect.encode(reply)])

    def _count(self, channel: Channel, form: str, dialect: Dialect) -> int:
        return self._hub.count((channel.name, form, dialect.name))

    def _broadcast(self, channel: Channel, form: str, dialect: Dialect, pushes: list[bytes]) -> int:
        """Several in one frame, as long as it is no large one."""
        handed, at, id = 0, 0, (channel.name, form, dialect.name)
        while at < len(pushes):
            end, size = at + 1, len(pushes[at])
            while end < len(pushes) and size + len(pushes[end]) <= TOGETHER:
                size += len(pushes[end])
                end += 1
            handed = self._hub.broadcast(id, framed(dialect, dialect.join(pushes[at:end])))
            at = end
        return handed


def _fits(record: Record, dialect: Dialect) -> bool:
    """Data that is not JSON is for clients that speak Protobuf."""
    return dialect.carries(bytes(record.data))
