"""What every node does when one of them asks all: to users' sessions, wherever these are."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from hubbub.errors import HubbubError
from hubbub.realtime import subscribing
from hubbub.realtime.meanwhile import Act
from hubbub.realtime.permissions import Asker, options_for
from hubbub.realtime.protocol import Disconnect, Disconnects, Fault, Unsubscribes, push, raw
from hubbub.realtime.protocol.commands import SubscribeRequest
from hubbub.realtime.protocol.replies import Refresh, Subscribe
from hubbub.realtime.tokens import Grant

if TYPE_CHECKING:
    from hubbub.realtime.service import Service
    from hubbub.realtime.session import Session

__all__ = ["answer", "do", "sent_away"]

DISCONNECT = "rt.disconnect"


def answer(service: Service, question: str, content: Any) -> Any:
    """What other nodes, and this one, ask."""
    if question == "rt.channels":
        return {
            channel.name: len(channel.members)
            for channel in service.channels
            if channel.members and fnmatchcase(channel.name, content or "*")
        }
    if question == "rt.info":
        return _about(service)
    if question == "rt.forget":
        if (channel := service.channels.find(content)) is not None and channel.top is not None:
            channel.stand(channel.top)
        return None
    if question in _ACTS:
        how = json.loads(content)
        act = Act(question, how.pop("user"), how.pop("client"), how)
        service.meanwhile.note(act)
        for session in list(service.users.get(act.user, ())):
            if act.concerns(act.user, session.id):
                do(service, act, session)
    return None


def do(service: Service, act: Act, session: Session) -> None:
    """To one session."""
    _ACTS[act.what](service, session, **act.how)


def sent_away(session: Session, acts: Iterable[Act]) -> Disconnect | None:
    """What disconnects it, if one of these does."""
    kicks = (act.how for act in acts if act.what == DISCONNECT and session.id not in act.how["whitelist"])
    return next((Disconnect(code=how["code"], reason=how["reason"]) for how in kicks), None)


def _about(service: Service) -> dict[str, Any]:
    return {
        "name": service.name, "version": service.version, "num_clients": len(service.sessions),
        "num_users": len(service.users), "num_subs": sum(len(c.members) for c in service.channels),
        "num_channels": len(service.channels), "uptime": int(time.monotonic() - service.started),
    }  # fmt: skip


def _unsubscribe(_: Service, session: Session, channel: str) -> None:
    for coming in session.coming:
        if channel in ("", coming.channel):
            coming.unwanted = Unsubscribes.SERVER
    for name in list(session.subs) if not channel else [channel]:
        session.leave(name, Unsubscribes.SERVER)


def _disconnect(_: Service, session: Session, whitelist: list[str], code: int, reason: str) -> None:
    if session.id not in whitelist:
        session.end(Disconnect(code=code, reason=reason))


def _refresh(service: Service, session: Session, expired: bool, expire_at: float | None, info: str) -> None:
    if expired:
        return session.end(Disconnects.EXPIRED)
    session.expires_at = expire_at
    if info:
        session.info = info.encode()
        service.show(session, *session.subs.values())
    session.look_again()
    session.say(push(Refresh(expires=bool(session.ttl), ttl=session.ttl)))


def _subscribe(
    service: Service, session: Session, channel: str, info: str, data: str, expire_at: float | None,
    since: list[Any] | None, override: dict[str, bool],
) -> None:  # fmt: skip
    if channel in session.subs:
        return
    if len(session.subs) >= service.bounds.max_channels:
        return session.end(Disconnects.CHANNEL_LIMIT)
    grant = Grant(info=info.encode(), data=data.encode(), override=override)
    request = SubscribeRequest(channel=channel)
    if since is not None:
        request = SubscribeRequest(channel=channel, recover=True, offset=since[0], epoch=since[1])
    place = service.namespaces.known(channel)
    options = options_for(place, Asker(session.user, True, service.insecure), request, grant)
    wish = subscribing.Wish(session, service, place, options, grant, request, expire_at, server_side=True)

    coming = subscribing.Coming(session, channel)

    async def subscribe() -> None:
        try:
            with coming:
                await wish.prepare(service)
            if channel in session.subs or coming.unwanted is not None or not session.socket.is_open:
                return
            result = wish.enter(service)
            session.say(
                push(Subscribe(
                    recoverable=result.recoverable, epoch=result.epoch, offset=result.offset,
                    positioned=result.positioned, data=raw(grant.data),
                ), channel)
            )  # fmt: skip
            for publication in result.publications:
                session.say(push(publication, channel))
            wish.commit(service)
        except HubbubError as error:
            if isinstance(error, Fault) and isinstance(error.verdict, Disconnect):
                return session.end(error.verdict, error.detail)
            service.log.write(30, "a server-side subscription failed: %s", error)
        finally:
            wish.release(service)

    service.channels.begin(subscribe)


_ACTS: dict[str, Callable[..., None]] = {
    "rt.subscribe": _subscribe,
    "rt.unsubscribe": _unsubscribe,
    DISCONNECT: _disconnect,
    "rt.refresh": _refresh,
}
