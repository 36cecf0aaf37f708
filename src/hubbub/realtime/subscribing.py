"""How clients come in: who they are, what they may subscribe to, and what they missed there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from hubbub.arguments import shown
from hubbub.brokers import Position
from hubbub.errors import Misuse
from hubbub.realtime.bodies import event_of, publication_of
from hubbub.realtime.channel import Channel, Subscription
from hubbub.realtime.data import encoded_json
from hubbub.realtime.filters import filter_for
from hubbub.realtime.handlers import Accepted, Connected
from hubbub.realtime.namespaces import Place
from hubbub.realtime.permissions import Options, Way, options_for, subscribing
from hubbub.realtime.protocol import JSON, Disconnects, Errors, Fault, Publication, Unsubscribe, raw
from hubbub.realtime.protocol.commands import ConnectRequest, SubscribeRequest
from hubbub.realtime.protocol.replies import SubscribeResult
from hubbub.realtime.publications import judge, recovered
from hubbub.realtime.tokens import Grant, Tokens

if TYPE_CHECKING:
    from hubbub.realtime.service import Service
    from hubbub.realtime.session import Session

__all__ = ["Coming", "Who", "Wish", "server_side", "ttl_of", "who", "wished"]


class Who(NamedTuple):
    """Who a client is, by its token or the program."""

    user: str = ""
    info: bytes = b""
    meta: bytes = b""
    data: bytes = b""
    expires_at: float | None = None
    subs: Mapping[str, tuple[Grant, float | None]] = {}
    """What the server subscribes it to, and until when."""
    decided: bool = False
    """By the program, which has the last word."""


def ttl_of(expires_at: float | None) -> int:
    """Seconds, 1 at least; 0: it does not expire."""
    return 0 if expires_at is None else max(ceil(expires_at - time.time()), 1)


async def who(session: Session, service: Service, request: ConnectRequest) -> Who:
    """Who connects.

    Raises: Fault: they may not. Denied: the program says so.
    """
    known: Who | None = None
    if request.token and (service.tokens is not None or not service.insecure):
        known = _by_token(session, service.tokens, request.token)
    handler = service.handlers.connect
    if handler is not None:
        said = await session.ask(handler, session, bytes(request.data))
        if isinstance(said, Connected):
            known = _of_program(said)
            session.granted = None
        elif said is not None:
            raise Misuse(f"a connect handler returns a Connected or None, or raises Denied, but not {shown(said)}")
    if known is None:
        if not (service.anonymous or service.insecure):
            raise Fault(Disconnects.BAD_REQUEST, "no token")
        known = Who()
    if service.insecure:
        known = known._replace(expires_at=None)
    _not_over(known.expires_at)
    if service.personal is not None and known.user:
        channel = service.namespaces.personal(known.user, service.personal)
        known = known._replace(subs={channel: (Grant(), None), **known.subs})
    return known


def _not_over(expires_at: float | None) -> None:
    """Raises: Fault: 110."""
    if expires_at is not None and expires_at <= time.time():
        raise Fault(Errors.EXPIRED, "what expired before it began")


def _by_token(session: Session, tokens: Tokens | None, token: str) -> Who:
    if tokens is None:
        raise Fault(Disconnects.INVALID_TOKEN, "a token where there are none")
    said = tokens.connection(token)
    if not JSON.carries(said.info or b"null"):
        raise Fault(Disconnects.INVALID_TOKEN, "a token with b64info that is not JSON")
    subs = {channel: (grant, None) for channel, grant in said.subs.items()}
    session.granted = frozenset(subs)
    session._become(said.user, said.info, said.meta, said.expires_at)
    return Who(said.user, said.info, said.meta, b"", said.expires_at, subs)


def _of_program(said: Connected) -> Who:
    subs = {channel: (_grant(accepted), accepted.expire_at) for channel, accepted in said.channels.items()}
    info, meta, data = map(encoded_json, (said.info, said.meta, said.data))
    return Who(said.user, info, meta, data, said.expire_at, subs, decided=True)


def _grant(accepted: Accepted) -> Grant:
    return Grant(info=encoded_json(accepted.info), data=encoded_json(accepted.data), override=accepted.override)


class Coming:
    """A subscription that is under way, from here to the end of a `with`."""

    def __init__(self, session: Session, channel: str) -> None:
        self._session = session
        self.channel: str = channel
        self.unwanted: Unsubscribe | None = None
        """Why it is to end at once."""
        session.coming += (self,)

    def __enter__(self) -> Coming:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.coming = tuple(coming for coming in self._session.coming if coming is not self)


class Wish:
    """A subscription that is coming about.

    `prepare` waits for what it needs. Then, without a wait in between, `enter` says what the client gets, and `commit`
    makes it a member: what was handed out before is in the reply, what comes after is behind it.
    """

    def __init__(
        self, session: Session, service: Service, place: Place, options: Options, grant: Grant,
        request: SubscribeRequest, expires_at: float | None, server_side: bool,
    ) -> None:  # fmt: skip
        if not JSON.carries(grant.info or b"null"):
            raise Fault(Errors.PERMISSION_DENIED, "b64info that is not JSON")
        if not session.dialect.carries(grant.data or b"null"):
            raise Fault(Disconnects.INAPPROPRIATE_PROTOCOL, "b64data that is not JSON")
        self._session = session
        self._options = options
        self._grant = grant
        self._since = Position(request.offset, request.epoch)
        self._asked = request.recover
        self._known = False
        self._latest: Publication | None = None
        self.renewable: bool = False
        """The client can have it go on, with another token, and is told when that is due."""
        self.channel: Channel = service.channels.hold(place)
        self._subscription = Subscription(self.channel, options, grant.info, expires_at, server_side)
        if request.tf is not None and options.filtered:
            self._subscription.filter = repr(request.tf), filter_for(request.tf)

    async def prepare(self, service: Service) -> None:
        """Raises: BrokerUnavailable."""
        channel, options = self.channel, self._options
        await service.channels.ready(channel, options.positioned)
        if not options.recovers:
            return
        if options.cache:
            page = await service.channels.page(channel.names, None, 1, reverse=True)
            if page.publications:
                latest = page.publications[0]
                self._latest = publication_of(event_of(latest.body), latest.offset, latest.epoch)  # type: ignore[arg-type]
        else:
            self._known = await service.channels.recover(channel, self._since)
        await service.channels.ready(channel, options.positioned)

    def enter(self, service: Service) -> SubscribeResult:
        """What the client is told.

        Raises: Fault: the channel has just lost something: it may try again. Or the client cannot be told in JSON.
        """
        channel, options, sub = self.channel, self._options, self._subscription
        ttl = ttl_of(sub.expires_at) if self.renewable and not service.insecure else 0
        result = SubscribeResult(
            expires=bool(ttl), ttl=ttl, data=raw(self._grant.data), positioned=options.positioned,
            recoverable=options.recoverable, delta=options.delta, was_recovering=self._asked or options.recovers,
        )  # fmt: skip
        if not options.positioned:
            return result
        top = channel.top
        if top is None:
            raise Fault(Errors.INTERNAL, "the channel has lost something")
        result.offset, result.epoch = top
        if options.recovers:
            if options.cache:
                self._from_cache(result)
            else:
                self._from_stream(result, service.bounds.max_publications)
        return result

    def _from_stream(self, result: SubscribeResult, most: int) -> None:
        since, epoch = self._since, result.epoch
        found = self.channel.since(since.offset, most) if self._known and since.epoch in ("", epoch) else None
        if found is None:
            return
        result.recovered, result.offset = True, since.offset
        result.publications = self._shaped([publication_of(kept.sent, kept.offset, epoch) for kept in found])

    def _from_cache(self, result: SubscribeResult) -> None:
        latest = self._latest
        if latest is None or latest.offset > result.offset:
            latest = self._latest_here(result)
        if latest is None or latest.offset != result.offset:
            return
        result.recovered, result.offset = True, self._since.offset
        if self._since != (latest.offset, result.epoch):
            result.publications = self._shaped([latest])

    def _latest_here(self, result: SubscribeResult) -> Publication | None:
        tail = self.channel.tail
        return publication_of(tail[-1].sent, tail[-1].offset, result.epoch) if tail else None

    def _shaped(self, publications: list[Publication]) -> list[Publication]:
        """As the client gets them. `publications` go on to where the channel stands."""
        chosen, dialect, channel = self._subscription.filter, self._session.dialect, self.channel
        judge(publications, dialect)
        if chosen is not None:
            return [publication for publication in publications if chosen[1](publication.tags)]
        if not self._options.delta or not publications:
            return publications
        latest = bytes(publications[-1].data)
        if channel.before is None:
            channel.before = latest
        self._subscription.patched = channel.before == latest  # others may have had one since that is not kept
        return recovered(publications, dialect)

    @property
    def recovers(self) -> bool:
        """As the client has asked for, or the namespace has it."""
        return self._options.recovers

    def commit(self, service: Service) -> None:
        """It is a member from here on."""
        service.enter(self._session, self._subscription)

    def release(self, service: Service) -> None:
        """It has come about, or has not."""
        service.channels.release(self.channel)


async def server_side(
    session: Session, service: Service, who: Who, positions: Mapping[str, SubscribeRequest]
) -> list[Wish]:
    """What the server subscribes a client to, prepared. Raises: Fault, BrokerUnavailable.

    Args:
        positions: of the client, by channel. To those that it might subscribe to itself it is subscribed as well.
    """
    subs = dict(who.subs)
    if not who.decided:
        subs.update((name, (Grant(), None)) for name in positions if name not in subs and _may(session, service, name))
    if len(subs) > service.bounds.max_channels:
        raise Fault(Disconnects.CHANNEL_LIMIT)
    wishes: list[Wish] = []
    try:
        for name, (grant, expires_at) in subs.items():
            request = positions.get(name) or SubscribeRequest()
            place = service.namespaces.known(name)
            options = options_for(place, session.asker(name)._replace(subscribed=True), request, grant)
            wishes.append(Wish(session, service, place, options, grant, request, expires_at, server_side=True))
            await wishes[-1].prepare(service)
    except BaseException:
        for wish in wishes:
            wish.release(service)
        raise
    return wishes


def _may(session: Session, service: Service, channel: str) -> bool:
    """Whether nobody needs to be asked."""
    if service.handlers.subscribe.find(channel) is not None:
        return False
    try:
        subscribing(service.namespaces.place(channel), session.asker(channel), token=False)
    except Fault:
        return False
    return True


async def wished(session: Session, service: Service, request: SubscribeRequest) -> Wish:
    """What a client asks for, prepared. Raises: Fault: it may not have it. Denied: the program says so."""
    name = request.channel
    place = service.namespaces.place(name)
    if name in session.subs:
        raise Fault(Errors.ALREADY_SUBSCRIBED)
    if len(session.subs) >= service.bounds.max_channels:
        raise Fault(Errors.LIMIT_EXCEEDED)
    handler = service.handlers.subscribe.find(name)
    way = subscribing(
        place, session.asker(name), token=bool(request.token), type=request.type, handled=handler is not None
    )
    grant, expires_at = Grant(), None
    if way is Way.TOKEN:
        tokens = service.subscription_tokens
        if tokens is None:
            raise Fault(Errors.PERMISSION_DENIED, "a token where there are none")
        token = tokens.subscription(request.token, channel=name, user=session.user, client=session.id)
        grant, expires_at = token.grant, token.expires_at
        _not_over(expires_at)
    elif way is Way.HANDLER:
        said = await session.ask(handler, session, name)
        if isinstance(said, Accepted):
            grant, expires_at = _grant(said), said.expire_at
        elif said is not None:
            raise Misuse(f"a subscribe handler returns None or an Accepted, or raises Denied, but not {shown(said)}")
    options = options_for(place, session.asker(name), request, grant)
    wish = Wish(session, service, place, options, grant, request, expires_at, server_side=False)
    wish.renewable = way is Way.TOKEN and service.handlers.sub_refresh.find(name) is None
    try:
        await wish.prepare(service)
    except BaseException:
        wish.release(service)
        raise
    return wish
