"""How connections and subscriptions that expire go on, or end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.realtime.protocol import Disconnects, Errors, Fault, Unsubscribes
from hubbub.realtime.protocol.commands import RefreshRequest, SubRefreshRequest
from hubbub.realtime.protocol.replies import RefreshResult, SubRefreshResult
from hubbub.realtime.subscribing import ttl_of

if TYPE_CHECKING:
    from hubbub.realtime.service import Service
    from hubbub.realtime.session import Session

__all__ = ["end_of", "expire", "refresh", "sub_refresh"]


def refresh(session: Session, service: Service, request: RefreshRequest) -> RefreshResult:
    """The connection goes on as its new token says. Raises: Fault: a Disconnect."""
    if service.tokens is None:
        raise Fault(Disconnects.BAD_REQUEST, "a refresh where there are no tokens")
    token = service.tokens.refreshed_connection(request.token, session.user)
    given, granted = token.subs.keys(), session.granted
    if granted is not None and (given - granted or (granted - given) & session.subs.keys()):
        raise Fault(Disconnects.INSUFFICIENT_STATE, "a token with other channels than before")
    session.become(session.user, token.info or session.info, token.meta or session.meta, token.expires_at)
    session.look_again()
    return RefreshResult(expires=bool(session.ttl), ttl=session.ttl)


def sub_refresh(session: Session, service: Service, request: SubRefreshRequest) -> SubRefreshResult:
    """The subscription goes on as its new token says. Raises: Fault."""
    tokens = service.subscription_tokens
    if tokens is None:
        raise Fault(Disconnects.BAD_REQUEST, "a refresh where there are no tokens")
    token = tokens.refreshed_subscription(
        request.token, channel=request.channel, user=session.user, client=session.id
    )  # fmt: skip
    sub = session.subs.get(token.channel)
    if sub is None:
        raise Fault(Errors.PERMISSION_DENIED, "a refresh of a channel that is not subscribed to")
    sub.expires_at = token.expires_at
    session.look_again()
    ttl = ttl_of(sub.expires_at)
    return SubRefreshResult(expires=bool(ttl), ttl=ttl)


def end_of(session: Session) -> float | None:
    """When the first of it expires, in seconds since 1970."""
    ends = [session.expires_at, *(sub.expires_at for sub in session.subs.values())]
    return min((end for end in ends if end is not None), default=None)


def expire(session: Session, service: Service, clock: float) -> bool:
    """End what has expired. Returns whether that is the connection."""
    over = clock - service.bounds.expired_grace
    if session.expires_at is not None and session.expires_at <= over:
        session.end(Disconnects.EXPIRED)
        return True
    for name, sub in list(session.subs.items()):
        if sub.expires_at is not None and sub.expires_at <= over:
            if sub.server_side:
                session.end(Disconnects.SUBSCRIPTION_EXPIRED)
                return True
            session.leave(name, Unsubscribes.EXPIRED)
    return False
