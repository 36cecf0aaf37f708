"""One client's session: its commands, one after the other, and its life from the upgrade to the end."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from msgspec import Raw

from hubbub.brokers import Published
from hubbub.errors import BrokerUnavailable, Overloaded
from hubbub.realtime import acts, publications, subscribing
from hubbub.realtime.bodies import Sent, body_of, name_of
from hubbub.realtime.channel import Subscription
from hubbub.realtime.client import Client
from hubbub.realtime.conversation import Asked, Conversation, State, judge
from hubbub.realtime.eager import begun, in_task
from hubbub.realtime.handlers import Denied, Typed
from hubbub.realtime.permissions import Asker, Way, judge_data, publishing, reading_history, reading_presence
from hubbub.realtime.protocol import (
    Dialect,
    Disconnect,
    Disconnects,
    Error,
    Errors,
    Fault,
    Reply,
    Unsubscribe,
    Unsubscribes,
    push,
    raw,
    reply,
)
from hubbub.realtime.protocol import commands as c
from hubbub.realtime.protocol import replies as r
from hubbub.server import Socket

if TYPE_CHECKING:
    from hubbub.realtime.service import Service

__all__ = ["Session"]

DONE = r.PublishResult()
AT_ONCE = 0.002  # seconds of one frame's commands before the loop gets a turn
BURST = 2.0  # seconds: what `Bounds.max_command_rate` allows in these may come at once
RECENT = 10.0  # seconds within which a dropped message is told of


class Session(Client):
    """Made at the upgrade. `receive` gets the client's frames, `ended` its end."""

    __slots__ = (
        "_busy",
        "_conversation",
        "_out",
        "_paced",
        "_pinged",
        "_pings",
        "_service",
        "_since",
        "_unread",
        "coming",
        "due",
        "granted",
        "subs",
    )

    def __init__(
        self, service: Service, socket: Socket, dialect: Dialect, pings: bool, headers: Mapping[str, str]
    ) -> None:
        super().__init__(socket, dialect, headers)
        self._service: Service = service
        self._conversation = Conversation(dialect)
        self._busy = False  # a command waits for something, and what else comes stands behind it
        self._out: list[bytes] | None = None  # what is to leave in one frame, while a frame is being handled
        self._paced: float = 0.0  # when its commands are those of its rate, and it may have a whole burst again
        self._since: float = service.sweep.now
        self._pings = pings
        self._pinged: float = 0.0  # when, if the pong is missing
        self._unread = 0  # bytes that had not reached the client then, the ping among them
        self.subs: dict[str, Subscription] = {}
        self.granted: frozenset[str] | None = None
        """What its token subscribed it to. None: it had none, or the program has decided."""
        self.coming: tuple[subscribing.Coming, ...] = ()
        """What it is about to be subscribed to."""
        self.due: int = 0
        service.begin(self)

    # What comes

    def receive(self, data: str | bytes) -> Awaitable[None] | None:
        """A frame came. Returns what is to be awaited, in a task, before the next one is given; None: nothing."""
        size = len(data) if isinstance(data, bytes) else len(data.encode("utf-8", "surrogatepass"))
        if size > self._service.bounds.max_command:
            self.socket.close(1009)
            return None
        self._service.counts.received += 1
        rest = begun(self._take(self._conversation.requests(data)))
        if rest is not None:
            self._busy = True
            self.flush()
            self._out = None  # what is said meanwhile must not wait as well
        return rest

    async def _take(self, requests: Iterator[Asked]) -> None:
        self._out = []
        until = time.perf_counter() + AT_ONCE
        try:
            for asked in requests:
                await self._answer(asked)
                if not self._conversation.hears:
                    break
                if time.perf_counter() > until:  # a frame may hold thousands of commands
                    self.flush()
                    await asyncio.sleep(0)
                    until = time.perf_counter() + AT_ONCE
        except Fault as fault:
            self.end(cast("Disconnect", fault.verdict), fault.detail)
        finally:
            self.flush()
            self._out = None
            if self._busy:
                self._busy = False
                if self._pinged:  # the pong may have stood behind all this
                    self._pinged = self._service.sweep.now

    def say(self, message: Reply) -> None:
        """Tell the client, in one frame with what else is said at this moment."""
        encoded = self.dialect.encode(message)
        if self._out is None:
            self._let_leave([encoded])
        else:
            self._out.append(encoded)

    def flush(self) -> None:
        """Let leave what was said: before something is broadcast to it, or the end."""
        if self._out:
            out, self._out = self._out, []
            self._let_leave(out)

    def _let_leave(self, messages: list[bytes]) -> None:
        if not self._write(messages) and self.socket.is_open:
            self.end(Disconnects.SLOW)

    def _write(self, messages: list[bytes]) -> bool:
        self._service.counts.sent += len(messages)
        return super()._write(messages)

    async def _answer(self, asked: Asked) -> None:
        """Answer one command. Raises: Fault: a Disconnect."""
        request = asked.request
        try:
            judge(request)
            if self._service.bounds.max_command_rate:
                self._pace(request)
            result = await self._COMMANDS[type(request)](self, asked.id, cast("Any", request))
        except Fault as fault:
            if isinstance(fault.verdict, Disconnect):
                raise
            if fault.detail:
                self._service.log.write(20, "a command is answered with %d: %s", fault.verdict.code, fault.detail)
            self._refuse(asked.id, fault.verdict, request)
        except Denied as denied:
            self._refuse(asked.id, denied.error, request)
        except (BrokerUnavailable, Overloaded) as error:
            self._service.log.write(30, "a command could not be carried out: %s", error)
            self._refuse(asked.id, Errors.INTERNAL, request)
        except Exception as error:
            self._service.log.failure("a command failed", error)
            self._refuse(asked.id, Errors.INTERNAL, request)
        else:
            if result is not None:
                self.say(reply(asked.id, result))

    def _pace(self, request: c.Request) -> None:
        """Raises: Fault: commands come too fast, or, as a Disconnect, go on to come as fast."""
        now = time.monotonic()
        ahead = max(self._paced - now, 0.0)
        self._paced = now + ahead + 1 / self._service.bounds.max_command_rate
        if ahead < BURST:
            return
        if ahead >= 2 * BURST or isinstance(request, c.SendRequest):  # for which there is no reply
            raise Fault(Disconnects.TOO_MANY_REQUESTS)
        if not isinstance(request, c.UnsubscribeRequest):  # without it clients would connect anew
            raise Fault(Errors.TOO_MANY_REQUESTS)

    def _refuse(self, id: int, error: Error, request: c.Request | None = None) -> None:
        self._service.counts.errors[error.code] += 1
        if id:
            self.say(reply(id, error))
        if isinstance(request, c.ConnectRequest) and self._conversation.state is State.CONNECTING:
            self._conversation.refused()

    async def ask(self, handler: Callable[..., Any], *arguments: Any) -> Any:
        """What the program's handler answers. Raises: Denied, Fault, and whatever it raises."""
        if inspect.iscoroutinefunction(handler):
            await in_task()
        result = handler(*arguments)
        return await result if inspect.isawaitable(result) else result

    # Commands

    async def _connect(self, id: int, request: c.ConnectRequest) -> None:
        service = self._service
        with service.meanwhile as mark:
            who = await subscribing.who(self, service, request)
            self._become(who.user, who.info, who.meta, who.expires_at)
            self._be_called(str(uuid.uuid4()))
            await service.linked()
            await service.seats.take(self.user, self.id)
            wanted = await subscribing.server_side(self, service, who, request.subs)
            meanwhile = service.meanwhile.since(mark, self.user, self.id)
        try:
            if not self._conversation.hears or not self.socket.is_open:
                self._conversation.end()  # what is behind it in its frame is not heard
                return
            if (kicked := acts.sent_away(self, meanwhile)) is not None:
                raise Fault(kicked)
            results = {wish.channel.name: wish.enter(service) for wish in wanted}
            self._conversation.accepted()
            service.admit(self)
            renewable = bool(request.token) and service.tokens is not None and service.handlers.refresh is None
            self._say_connected(id, who, results, renewable)
            for wish in wanted:
                wish.commit(service)
            for act in meanwhile:
                acts.do(service, act, self)
        finally:
            for wish in wanted:
                wish.release(service)

    def _say_connected(
        self, id: int, who: subscribing.Who, subs: dict[str, r.SubscribeResult], renewable: bool
    ) -> None:  # fmt: skip
        """`renewable`: the client can bring another token, and is told when that is due."""
        service = self._service
        ttl = self.ttl if renewable else 0
        self.say(
            reply(id, r.ConnectResult(
                client=self.id, version=service.version, expires=bool(ttl), ttl=ttl, data=raw(who.data), subs=subs,
                ping=max(int(service.bounds.ping), 1) if self._pings else 0, pong=self._pings,
            ))
        )  # fmt: skip
        self.flush()
        self._schedule_ping(service.sweep.now, random.uniform(0.5, 1.0))  # noqa: S311

    async def _subscribe(self, id: int, request: c.SubscribeRequest) -> None:
        service = self._service
        with subscribing.Coming(self, request.channel) as coming:
            wish = await subscribing.wished(self, service, request)
        try:
            if request.channel in self.subs:
                raise Fault(Errors.ALREADY_SUBSCRIBED)
            if not self.socket.is_open:
                return
            result = wish.enter(service)
            if wish.recovers and not result.recovered and request.flag & 2:
                raise Fault(Errors.UNRECOVERABLE_POSITION)
            self.say(reply(id, result))
            self.flush()
            wish.commit(service)
            if coming.unwanted is not None:
                self.leave(request.channel, coming.unwanted)
        finally:
            wish.release(service)

    async def _unsubscribe(self, id: int, request: c.UnsubscribeRequest) -> r.UnsubscribeResult:
        self.leave(request.channel)
        return r.UnsubscribeResult()

    async def _publish(self, id: int, request: c.PublishRequest) -> None:
        service, channel = self._service, request.channel
        place = service.namespaces.place(channel)
        handler: Typed | None = service.handlers.publish.find(channel)
        way = publishing(place, self.asker(channel), handled=handler is not None)
        data = bytes(request.data)
        judge_data(place, data)
        if way is Way.HANDLER and handler is not None:
            changed = await self.ask(handler.run, self, channel, handler.data(data))
            data = data if changed is None else handler.encoded(changed)
        sub = self.subs.get(channel)
        info = (self.user, self.id, self.info, b"" if sub is None else sub.info)
        body = body_of(Sent(data, info, {}, place.options.delta_publish))
        service.put(place, body, _Answer(self, id, channel), "", 0, "", True)

    def published(self, id: int, channel: str, result: Published | Exception) -> None:
        """That became of what it has published: it is told when this node's sessions have it."""
        if isinstance(result, Exception):
            return self._refuse(id, Errors.INTERNAL)
        known = self._service.channels.find(channel)
        if known is None or known.has(result):
            self.say(reply(id, DONE))
        else:
            known.when(result, lambda: self.say(reply(id, DONE)))

    async def _presence(self, id: int, request: c.PresenceRequest) -> r.PresenceResult:
        place = self._service.namespaces.place(request.channel)
        reading_presence(place, self.asker(request.channel))
        return r.PresenceResult(
            presence=dict(
                await self._service.present.of(name_of(request.channel), int(self._service.bounds.max_presence))
            )
        )

    async def _presence_stats(self, id: int, request: c.PresenceStatsRequest) -> r.PresenceStatsResult:
        place = self._service.namespaces.place(request.channel)
        reading_presence(place, self.asker(request.channel))
        clients, users = await self._service.present.counts(name_of(request.channel))
        return r.PresenceStatsResult(num_clients=clients, num_users=users)

    async def _history(self, id: int, request: c.HistoryRequest) -> r.HistoryResult:
        place = self._service.namespaces.place(request.channel)
        reading_history(place, self.asker(request.channel))
        since = request.since
        result = await self._service.read_history(
            place, request.limit, None if since is None else (since.offset, since.epoch), request.reverse,
            self._service.bounds.max_publications,
        )  # fmt: skip
        publications.judge(result.publications, self.dialect)
        return result

    async def _rpc(self, id: int, request: c.RpcRequest) -> r.RpcResult:
        handlers = self._service.handlers.rpcs
        if not handlers:
            raise Fault(Errors.NOT_AVAILABLE, "there is no rpc")
        handler = handlers.get(request.method)
        if handler is None:
            raise Fault(Errors.METHOD_NOT_FOUND)
        data = handler.encoded(await self.ask(handler.run, self, handler.data(_some(request.data))))
        return r.RpcResult(data=raw(self._writable(data)))

    async def _send(self, id: int, request: c.SendRequest) -> None:
        handler = self._service.handlers.message
        if handler is None:
            raise Fault(Disconnects.NOT_AVAILABLE, "nobody takes messages")
        await self.ask(handler.run, self, handler.data(_some(request.data)))

    async def _refresh(self, id: int, request: c.RefreshRequest) -> r.RefreshResult:
        return self._service.expiring.refresh(self, request)

    async def _sub_refresh(self, id: int, request: c.SubRefreshRequest) -> r.SubRefreshResult:
        return self._service.expiring.sub_refresh(self, request)

    _COMMANDS: ClassVar[dict[type[Any], Callable[[Session, int, Any], Coroutine[Any, Any, Any]]]] = {
        c.ConnectRequest: _connect,
        c.SubscribeRequest: _subscribe,
        c.UnsubscribeRequest: _unsubscribe,
        c.PublishRequest: _publish,
        c.PresenceRequest: _presence,
        c.PresenceStatsRequest: _presence_stats,
        c.HistoryRequest: _history,
        c.RpcRequest: _rpc,
        c.SendRequest: _send,
        c.RefreshRequest: _refresh,
        c.SubRefreshRequest: _sub_refresh,
    }

    def asker(self, channel: str) -> Asker:
        return Asker(self.user, channel in self.subs, self._service.insecure)

    # Subscriptions that end

    def leave(self, name: str, told: Unsubscribe | None = None, *, lost: bool = False) -> bool:
        """End a subscription, and tell the client why, if it did not ask for that. Returns whether there was one.

        Args:
            lost: the connection has ended.
        """
        sub = self.subs.pop(name, None)
        if sub is None:
            return False
        self._service.leave(self, sub, lost)
        if told is not None:
            self.say(push(told, name))
        return True

    def lack(self, sub: Subscription) -> None:
        """Something is missing in that channel, and the client's library can see to it."""
        if not sub.options.positioned:
            return
        if sub.server_side:
            self.end(Disconnects.INSUFFICIENT_STATE)
        else:
            self.leave(sub.channel.name, Unsubscribes.INSUFFICIENT_STATE)

    def dropped(self, count: int) -> None:
        """The client reads too slowly, and has not been given some of what was handed out a moment ago."""
        horizon = self._service.sweep.now - RECENT  # by the loop's own time, which stands still while the process does
        lacking = [sub for sub in self.subs.values() if sub.channel.handed_at > horizon]
        if not all(sub.options.positioned for sub in lacking):
            return self.end(Disconnects.SLOW)
        for sub in lacking:
            if sub.server_side:
                return self.end(Disconnects.INSUFFICIENT_STATE)
            self.leave(sub.channel.name)
            self._service.tell_when_it_reads(self, sub.channel.name)

    # Life

    def end(self, disconnect: Disconnect, detail: str = "") -> None:
        """End the connection."""
        if self._conversation.state is State.ENDED and not self.socket.is_open:
            return
        self._conversation.end()
        self._service.counts.disconnects[disconnect.code] += 1
        if detail:
            self._service.log.write(20, "a client is disconnected with %s: %s", disconnect.code, detail)
        self.flush()
        self.disconnect(disconnect)

    def ended(self) -> Awaitable[None] | None:
        """The connection is over."""
        self._conversation.end()
        for name in list(self.subs):
            self.leave(name, lost=True)
        was_connected = self._service.forget(self)
        handler = self._service.handlers.disconnect
        if handler is None or not was_connected:
            return None
        result = handler(self)
        return result if inspect.isawaitable(result) else None

    def check(self, now: float) -> float | None:
        """Do what is due, and say when to look again; as the sweep asks, once in a while."""
        bounds = self._service.bounds
        if self._conversation.state is State.ENDED:
            return None
        if not self.id or self._conversation.state is not State.CONNECTED:
            if now - self._since >= bounds.connect_timeout:
                self.end(Disconnects.STALE)
                return None
            return self._since + bounds.connect_timeout
        if self._pinged and now >= self._pinged + bounds.pong_timeout:
            owes = self._conversation.owes_pong
            waits = self._busy or (owes and self._ping_is_under_way())
            if owes and not waits:
                self.end(Disconnects.NO_PONG)
                return None
            self._pinged = now if waits else 0.0
        if not self._service.insecure and self._service.expiring.check(self, time.time()):
            return None
        if now >= self._since:
            ping = self.dialect.ping
            if self._pings and self._service.has_room(self, ping) and self._write([ping]):
                self._conversation.pinged()
                self._pinged = now
                self._unread = self.socket.unread
            self._since = now + bounds.ping
        return self._next(now)

    def _ping_is_under_way(self) -> bool:
        """Whether the client reads, slowly, what was written before the ping."""
        before, self._unread = self._unread, self.socket.unread
        return self.socket.buffered > 0 or self._unread < before

    def _schedule_ping(self, now: float, part: float) -> None:
        self._since = now + self._service.bounds.ping * part  # from here on: when the next ping is due
        self.look_again()

    def look_again(self) -> None:
        self._service.sweep.at(self, self._next(self._service.sweep.now))

    def _next(self, now: float) -> float:
        """When something is due."""
        due = min(self._since, self._pinged + self._service.bounds.pong_timeout) if self._pinged else self._since
        expires = None if self._service.insecure else self._service.expiring.next(self)
        return due if expires is None else min(due, now + max(expires - time.time(), 0.0))


class _Answer:
    """To one publish command, in the place of a ticket."""

    __slots__ = ("_channel", "_id", "_session")

    def __init__(self, session: Session, id: int, channel: str) -> None:
        self._session = session
        self._id = id
        self._channel = channel

    def _resolve(self, result: Published | Exception) -> None:
        self._session.published(self._id, self._channel, result)


def _some(data: Raw) -> bytes:
    return bytes(data) or b"null"
