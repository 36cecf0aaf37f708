"""One node of a real-time server: what its sessions share."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import time
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress

from hubbub.arguments import instance, shown
from hubbub.brokers import Broker, Change, Position, broker_for
from hubbub.errors import HubbubError, Misuse
from hubbub.hub import Hub
from hubbub.limits import Limits
from hubbub.logs import PeerLog
from hubbub.node import Node, Waiter
from hubbub.realtime import acts
from hubbub.realtime.bodies import (
    Event,
    Info,
    Joined,
    Left,
    Sent,
    beside,
    body_of,
    channel_of,
    event_of,
    name_of,
    publication_of,
)
from hubbub.realtime.bounds import Bounds
from hubbub.realtime.channel import Channel, Subscription
from hubbub.realtime.channels import Channels
from hubbub.realtime.forms import Forms
from hubbub.realtime.groups import Groups
from hubbub.realtime.handlers import Handlers
from hubbub.realtime.meanwhile import Meanwhile
from hubbub.realtime.namespaces import Names, Namespace, Namespaces, Place
from hubbub.realtime.present import Present
from hubbub.realtime.protocol import Errors, Fault, Publication, Unsubscribes, push
from hubbub.realtime.protocol.replies import HistoryResult
from hubbub.realtime.refreshing import Expiring
from hubbub.realtime.seats import Seats
from hubbub.realtime.session import Session
from hubbub.realtime.statistics import Counts
from hubbub.realtime.tokens import Tokens
from hubbub.server.sweep import Sweep
from hubbub.supervision import supervise
from hubbub.wire import Headers, Origins

__all__ = ["Service"]

FIRST_LINK = 2.0  # seconds

READS = 0.05  # seconds until it is seen again whether a slow client reads
HEAD = 10  # bytes of a frame before its payload, at the most


class Service:
    """Made by `Realtime`, which says what its arguments are."""

    def __init__(
        self, *, broker: str | Broker | None, tokens: Tokens | None, subscription_tokens: Tokens | None,
        namespaces: Mapping[str, Namespace] | None, names: Names | None, bounds: Bounds | None, limits: Limits | None,
        insecure: bool, anonymous: bool, personal: str | None, allowed_origins: Sequence[str] | None, name: str,
        version: str,
    ) -> None:  # fmt: skip
        for given, of in ((tokens, "tokens"), (subscription_tokens, "subscription_tokens")):
            instance(of, given, Tokens, "a Tokens, such as Tokens(hmac=SECRET)")
        instance("bounds", bounds, Bounds, "a Bounds, such as Bounds(ping=10)")
        instance("limits", limits, Limits, "a Limits, such as Limits(max_backlog=65536)")
        instance("names", names, Names, 'a Names, such as Names(namespace_boundary="/")')
        broker = os.environ.get("HUBBUB_BROKER") or "memory:" if broker is None else broker
        first = broker_for(broker)  # refused now, if ever
        brokers = iter([first])
        self.tokens: Tokens | None = tokens
        self.subscription_tokens: Tokens | None = subscription_tokens or tokens
        self.namespaces: Namespaces = Namespaces(namespaces, names)
        self.bounds: Bounds = bounds or Bounds()
        self.insecure: bool = insecure
        self.anonymous: bool = anonymous
        if personal is not None and personal not in self.namespaces:
            raise Misuse(f"personal is the name of a namespace, and {shown(personal)} is none")
        self.personal: str | None = personal
        self.origins: Origins = Origins(allowed_origins)
        self.name: str = name or f"{socket.gethostname()}_{os.getpid()}"
        self.version: str = version
        self.started: float = time.monotonic()
        limits = limits or Limits()
        self._max_backlog = limits.max_backlog
        self.log: PeerLog = PeerLog(limits.max_log_rate)
        self.hub: Hub = Hub(overflow="drop-rest", limits=limits, broker="")
        self.hub._spans = first.traits.processes
        self.handlers: Handlers = Handlers()
        self.counts: Counts = Counts()
        self.channels: Channels = Channels(
            self.hub, self.log, int(self.bounds.max_publications), self._insufficient,
            lambda question, content: acts.answer(self, question, content), self._gone, self._left,
        )  # fmt: skip
        self.node: Node = Node(lambda: next(brokers, None) or broker_for(broker), self.channels, limits, self._keeps)
        self.channels.node = self.node
        self.forms: Forms = Forms(self.hub)
        self.present: Present = Present(self.node)
        self.groups: Groups = Groups(self.node, self.tell_beside, self.channels.tell)
        self.channels.groups = self.groups
        self.expiring: Expiring = Expiring(self)
        self.seats: Seats = Seats(
            self.node, self.bounds.max_sessions_per_user, lambda user: len(self.users.get(user, ()))
        )
        self.meanwhile: Meanwhile = Meanwhile(self.bounds.connect_timeout + 1)
        self.sessions: dict[str, Session] = {}
        self.users: dict[str, set[Session]] = {}
        tick = min(1.0, self.bounds.pong_timeout / 8, self.bounds.connect_timeout / 8)
        self.sweep: Sweep = Sweep(tick, time.monotonic)
        self._sweeping: asyncio.Task[None] | None = None
        self._linked = False

    async def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        await asyncio.to_thread(self.node.close)

    # Sessions

    def begin(self, session: Session) -> None:
        """It is here, and has to connect in time."""
        loop = asyncio.get_running_loop()
        self.node.settle(loop)  # to be asked by others about sessions, be they subscribed to something or not
        if self._sweeping is None or self._sweeping.done():
            self.sweep.now = time.monotonic()
            self._sweeping = loop.create_task(supervise("the sessions' sweep", self.sweep.run), name="hubbub sweep")
        self.sweep.at(session, time.monotonic() + self.bounds.connect_timeout)

    def lets_in(self, headers: Headers) -> bool:
        """Whether a page of that origin may connect."""
        if self.origins.allow(headers):
            return True
        origin, host = headers.get("origin"), headers.get("host")
        self.log.write(20, "a page of %s may not connect to %s: allowed_origins would have to name it", origin, host)
        return False

    async def linked(self) -> None:
        """Wait for the first link to the broker, a moment at the most: others reach this node's sessions by it."""
        until = time.monotonic() + FIRST_LINK
        while not self._linked:
            self._linked = self.node.up or time.monotonic() > until
            if not self._linked:
                await asyncio.sleep(0.005)

    def admit(self, session: Session) -> None:
        self.sessions[session.id] = session
        self.users.setdefault(session.user, set()).add(session)

    def forget(self, session: Session) -> bool:
        """It is over. Returns whether it was connected."""
        self.sweep.remove(session)
        self.seats.leave(session.user, session.id)
        mine = self.users.get(session.user)
        if mine is not None:
            mine.discard(session)
            if not mine:
                del self.users[session.user]
        return self.sessions.pop(session.id, None) is not None

    def enter(self, session: Session, subscription: Subscription) -> None:
        """A session is subscribed from here on."""
        channel = subscription.channel
        session.subs[channel.name] = subscription
        channel.members[session] = subscription
        self.forms.join(session, subscription)
        self.show(session, subscription)
        self._tell_presence(session, subscription, joined=True)
        if subscription.expires_at is not None:
            session.look_again()

    def show(self, session: Session, *subscriptions: Subscription) -> None:
        """Have it in presence as it is now."""
        for sub in subscriptions:
            if sub.options.presence:
                self.present.put(sub.channel.names, session.user, session.id, session.info, sub.info)

    def leave(self, session: Session, subscription: Subscription, lost: bool) -> None:
        """It is no more. `lost`: for the connection has ended."""
        channel = subscription.channel
        channel.members.pop(session, None)
        self.forms.leave(session, subscription)
        if subscription.options.presence:
            self.present.drop(channel.names, session.id)
        self._tell_presence(session, subscription, joined=False, lost=lost)
        self.channels.let_go(channel)

    def has_room(self, session: Session, message: bytes) -> bool:
        """Whether it would be accepted. To try would be to have it counted as dropped, and something as missing."""
        waiting = session.socket.buffered
        return not waiting or waiting + len(message) + HEAD <= self._max_backlog

    def tell_when_it_reads(self, session: Session, channel: str) -> None:
        """Tell a session that takes nothing more that it lacks something in that channel, as soon as it does."""
        if not session.socket.is_open or channel in session.subs:
            return
        told = session.dialect.encode(push(Unsubscribes.INSUFFICIENT_STATE, channel))
        if not self.has_room(session, told) or not session._write([told]):
            asyncio.get_running_loop().call_later(READS, self.tell_when_it_reads, session, channel)

    def _tell_presence(self, session: Session, subscription: Subscription, *, joined: bool, lost: bool = False) -> None:
        channel = subscription.channel
        if subscription.options.emits_join_leave:
            info: Info = (session.user, session.id, session.info, subscription.info)
            options = channel.place.options
            if not options.group_by_user or not session.user:
                self.tell_beside(channel.name, (Joined if joined else Left)(info=info))
            elif joined:
                self.groups.join(channel.name, info)
            else:
                self.groups.leave(channel.name, info, options.leave_grace if lost else 0.0)
        handler = self.handlers.presence.find(channel.name)
        if handler is not None:
            try:
                result = handler(session, channel.name, joined)
            except Exception as error:
                self.log.failure("a presence handler raised", error)
            else:
                if inspect.isawaitable(result):
                    self.channels.begin(lambda: self._finish(result))

    async def _finish(self, result: Awaitable[object]) -> None:
        try:
            await result
        except Exception as error:
            self.log.failure("a presence handler raised", error)

    def _gone(self, node: bytes, change: Change) -> None:
        """A client of a node that has ended."""
        name = channel_of(change.channel)
        if name is None:
            return
        with suppress(Fault):
            options = self.namespaces.known(name).options
            if options.join_leave and options.group_by_user and change.user:
                self.groups.lost(name, change.user, change.client, node)
            elif options.join_leave:
                self.tell_beside(name, Left(info=(change.user, change.client, b"", b"")))

    def _left(self, channel: Channel, client: str) -> None:
        """Others took this node for dead, and said so of its clients: tell that one is here."""
        session = self.sessions.get(client)
        sub = None if session is None else session.subs.get(channel.name)
        if session is not None and sub is not None:
            self.tell_beside(channel.name, Joined(info=(session.user, session.id, session.info, sub.info)))

    def _insufficient(self, channel: Channel) -> None:
        for session, subscription in list(channel.members.items()):
            session.lack(subscription)

    def _keeps(self, name: bytes) -> bool:
        channel = self.channels.known(name)
        return channel is not None and name == channel.names and channel.keeps

    # Publications

    def put(
        self, place: Place, body: bytes, ticket: Waiter, key: str, version: int, version_epoch: str, history: bool,
        timeout: float = 0.0,
    ) -> bytes:  # fmt: skip
        """Give it to the broker. Returns its id. Raises: Overloaded, BrokerUnavailable."""
        kept = place.options.history
        name = name_of(place.channel)
        if kept is not None and not history:
            name, kept = beside(place.channel), None
        return self.node.publish(
            name, body, history=kept, key=key, version=version, version_epoch=version_epoch, ticket=ticket,
            timeout=timeout,
        )  # fmt: skip

    def tell_beside(self, channel: str, event: Event) -> None:
        """What has no offset, and is not kept: it may be lost where everything else is lost as well."""
        with suppress(HubbubError):  # counted by the node
            self.node.publish(beside(channel), body_of(event))

    async def read_history(
        self, place: Place, limit: int, since: tuple[int, str] | None, reverse: bool, most: int | None
    ) -> HistoryResult:
        """Of one channel. `most`: publications at the most, whatever the limit."""
        wanted = limit if limit >= 0 else None
        if most is not None:
            wanted = most if wanted is None else min(wanted, most)
        position = None if since is None else Position(*since)
        page = await self.channels.page(name_of(place.channel), position, wanted, reverse)
        if position is not None and position.epoch and position.epoch != page.top.epoch:
            raise Fault(Errors.UNRECOVERABLE_POSITION)
        if position is not None and not position.epoch:
            position = position._replace(epoch=page.top.epoch)
            page = await self.channels.page(name_of(place.channel), position, wanted, reverse)
        publications: list[Publication] = []
        beyond = position is not None and position.offset > page.top.offset + 1
        for found in page.publications if wanted != 0 and not beyond else ():
            try:
                event = event_of(found.body)
            except ValueError:
                continue
            if isinstance(event, Sent) and (position is None or reverse or found.offset > position.offset):
                publications.append(publication_of(event, found.offset))
        return HistoryResult(publications=publications, epoch=page.top.epoch, offset=page.top.offset)
