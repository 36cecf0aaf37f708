"""How connections and subscriptions that expire go on, or end.

A client brings another token, or the program is asked as soon as the time is over. If neither has helped when the time
of grace is over as well, it ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from hubbub.arguments import shown
from hubbub.errors import Misuse
from hubbub.realtime.channel import Subscription
from hubbub.realtime.data import encoded_json
from hubbub.realtime.handlers import Denied, Refreshed
from hubbub.realtime.protocol import Disconnects, Errors, Fault, Unsubscribes
from hubbub.realtime.protocol.commands import RefreshRequest, SubRefreshRequest
from hubbub.realtime.protocol.replies import RefreshResult, SubRefreshResult
from hubbub.realtime.subscribing import ttl_of

if TYPE_CHECKING:
    from hubbub.realtime.service import Service
    from hubbub.realtime.session import Session

__all__ = ["Expiring"]

ANSWERED = 5.0  # seconds that the program has at least


class Expiring:
    """What expires of a node's sessions. Used on the event loop of the sessions."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._asked: set[tuple[Session, Subscription | None]] = set()  # of which the program is being asked

    # The client brings a token

    def refresh(self, session: Session, request: RefreshRequest) -> RefreshResult:
        """The connection goes on as its new token says. Raises: Fault: a Disconnect."""
        tokens = self._service.tokens
        if tokens is None:
            raise Fault(Disconnects.BAD_REQUEST, "a refresh where there are no tokens")
        token = tokens.refreshed_connection(request.token, session.user)
        given, granted = token.subs.keys(), session.granted
        if granted is not None and (given - granted or (granted - given) & session.subs.keys()):
            raise Fault(Disconnects.INSUFFICIENT_STATE, "a token with other channels than before")
        session._become(session.user, token.info or session.info, token.meta or session.meta, token.expires_at)
        session.look_again()
        return RefreshResult(expires=bool(session.ttl), ttl=session.ttl)

    def sub_refresh(self, session: Session, request: SubRefreshRequest) -> SubRefreshResult:
        """The subscription goes on as its new token says. Raises: Fault."""
        tokens = self._service.subscription_tokens
        if tokens is None:
            raise Fault(Disconnects.BAD_REQUEST, "a refresh where there are no tokens")
        token = tokens.refreshed_subscription(
            request.token, channel=request.channel, user=session.user, client=session.id
        )
        sub = session.subs.get(token.channel)
        if sub is None:
            raise Fault(Errors.PERMISSION_DENIED, "a refresh of a channel that is not subscribed to")
        sub.expires_at = token.expires_at
        session.look_again()
        ttl = ttl_of(sub.expires_at)
        return SubRefreshResult(expires=bool(ttl), ttl=ttl)

    # The time is over

    def next(self, session: Session) -> float | None:
        """When there is something to do, in seconds since 1970."""
        times = [
            end + (self._grace(handler) if handler is None or (session, sub) in self._asked else 0.0)
            for sub, end, handler in self._ends(session)
        ]
        return min(times, default=None)

    def check(self, session: Session, clock: float) -> bool:
        """Ask for what has expired, or end it. Returns whether the connection has ended."""
        for sub, end, handler in list(self._ends(session)):
            if end + self._grace(handler) <= clock:
                if self._end(session, sub):
                    return True
            elif end <= clock and handler is not None and (session, sub) not in self._asked:
                self._asked.add((session, sub))
                self._service.channels.begin(partial(self._ask, session, sub, handler))
        return False

    def _ends(self, session: Session) -> Iterator[tuple[Subscription | None, float, Any]]:
        """Of the connection, None, and of its subscriptions; with whom to ask, if anybody."""
        handlers = self._service.handlers
        if session.expires_at is not None:
            yield None, session.expires_at, handlers.refresh
        for sub in session.subs.values():
            if sub.expires_at is not None:
                yield sub, sub.expires_at, handlers.sub_refresh.find(sub.channel.name)

    def _grace(self, handler: Any) -> float:
        grace = self._service.bounds.expired_grace
        return grace if handler is None else max(grace, ANSWERED)

    async def _ask(self, session: Session, sub: Subscription | None, handler: Any) -> None:
        try:
            said = await session.ask(handler, session, *(() if sub is None else (sub.channel.name,)))
            if said is not None and not isinstance(said, Refreshed):
                raise Misuse(f"a refresh handler returns a Refreshed or None, or raises Denied, but not {shown(said)}")
            self._go_on(session, sub, said)
        except Denied:
            self._end(session, sub)
        except Exception as error:  # it is asked again in a moment, as long as there is time
            self._service.log.failure("a refresh handler failed", error)
        finally:
            self._asked.discard((session, sub))
            if session.socket.is_open:
                session.look_again()

    def _go_on(self, session: Session, sub: Subscription | None, said: Refreshed | None) -> None:
        if said is None or (said.expire_at is not None and said.expire_at <= time.time()):
            self._end(session, sub)
        elif sub is None:
            session.expires_at, session.info = said.expire_at, encoded_json(said.info) or session.info
            self._service.show(session, *session.subs.values())
        elif session.subs.get(sub.channel.name) is sub:
            sub.expires_at, sub.info = said.expire_at, encoded_json(said.info) or sub.info
            self._service.show(session, sub)

    @staticmethod
    def _end(session: Session, sub: Subscription | None) -> bool:
        """Returns whether the connection has ended."""
        if sub is not None and not sub.server_side:
            if session.subs.get(sub.channel.name) is sub:
                session.leave(sub.channel.name, Unsubscribes.EXPIRED)
            return False
        session.end(Disconnects.EXPIRED if sub is None else Disconnects.SUBSCRIPTION_EXPIRED)
        return True
