"""The methods of the HTTP API: each takes a request, and asks the sessions for what it wants."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import Raw, Struct

from hubbub.api import messages as m
from hubbub.errors import HubbubError, Misuse
from hubbub.logs import PeerLog
from hubbub.realtime import Denied, Error, Published, Publishing, Realtime
from hubbub.realtime.data import encoded
from hubbub.realtime.protocol import ClientInfo, Errors, Fault

__all__ = ["NOT_FOUND", "Methods"]

OTHERWISE = {104: "not found", 113: "conflict"}  # as programs are told it; clients are told other words
NOT_FOUND = Error(code=104, message=OTHERWISE[104])
AT_ONCE = 512  # publications that go out together: between such groups others have their turn
LOG_RATE = 10  # lines a second
MOST_REASON = 123  # bytes that a close frame has for it
WITHHELD = {101, 105, 106, 109, 110, 111}  # of clients alone


_NONE = Fault(Errors.BAD_REQUEST, "a broadcast to a channel without a name")


class Method(NamedTuple):
    request: type[Struct]
    run: Callable[[Any], Awaitable[m.Result]]
    decode: Callable[[str | Raw], Any]


class Methods:
    """By their names."""

    def __init__(self, rt: Realtime) -> None:
        self._rt = rt
        self._log = PeerLog(LOG_RATE)
        self.named: dict[str, Method] = {
            name: Method(kind, run, msgspec.json.Decoder(kind).decode) for name, kind, run in self._listed()
        }

    def _listed(self) -> Sequence[tuple[str, type[Struct], Callable[[Any], Awaitable[m.Result]]]]:
        return (
            ("publish", m.Publish, self.publish),
            ("broadcast", m.Broadcast, self.broadcast),
            ("subscribe", m.Subscribe, self.subscribe),
            ("unsubscribe", m.Unsubscribe, self.unsubscribe),
            ("disconnect", m.Disconnect, self.disconnect),
            ("refresh", m.Refresh, self.refresh),
            ("presence", m.Presence, self.presence),
            ("presence_stats", m.PresenceStats, self.presence_stats),
            ("history", m.History, self.history),
            ("history_remove", m.HistoryRemove, self.history_remove),
            ("channels", m.Channels, self.channels),
            ("info", m.Info, self.info),
            ("rpc", m.Rpc, self.rpc),
        )

    async def answer(self, run: Callable[[Any], Awaitable[m.Result]], request: Any) -> m.Result | Error:
        """The result, or the error that the program is told."""
        try:
            return await run(request)
        except Exception as error:
            return self._told(error)

    async def batch(self, request: m.Batch) -> Sequence[dict[str, Any]]:
        """What is answered to each command, in their order. Publications that follow each other go out together."""
        replies: list[dict[str, Any]] = []
        publications: list[m.Publish] = []
        for command in request.commands or ():
            if command is not None and command.publish is not None:
                publications.append(command.publish)
                if len(publications) < AT_ONCE:
                    continue
                replies += await self._published(publications)
                publications = []
                continue
            replies += await self._published(publications)
            publications = []
            replies.append(await self._command(command))
        return [*replies, *await self._published(publications)]

    async def _published(self, requests: Sequence[m.Publish]) -> Sequence[dict[str, Any]]:
        done = await self._all([_wanted(request) for request in requests])
        return [{"error": self._told(one)} if isinstance(one, Fault) else {"publish": _result(one)} for one in done]

    async def _all(self, wanted: Sequence[Publishing | Fault]) -> Sequence[Published | Fault]:
        """What becomes of each, in their order."""
        done = iter(await self._rt.publish_many([one for one in wanted if isinstance(one, Publishing)]))
        return [one if isinstance(one, Fault) else next(done) for one in wanted]

    async def _command(self, command: m.Command | None) -> dict[str, Any]:
        if command is None:
            return {"error": Errors.BAD_REQUEST}
        for name in m.Command.__struct_fields__:
            if (request := getattr(command, name)) is not None:
                answer = await self.answer(self.named[name].run, request)
                return {"error" if isinstance(answer, Error) else name: answer}
        return {"error": NOT_FOUND}

    def _told(self, error: Exception) -> Error:
        """What a program is told of it; what it is not told is logged."""
        if isinstance(error, Fault) and isinstance(error.verdict, Error) and error.verdict.code not in WITHHELD:
            verdict = error.verdict
            if verdict.code == Errors.INTERNAL.code:
                self._log.write(logging.WARNING, "a request to the API failed: %s", error)
            return Error(code=verdict.code, message=OTHERWISE.get(verdict.code, verdict.message))
        if isinstance(error, (Fault, Misuse)):
            return Errors.BAD_REQUEST
        if isinstance(error, HubbubError) and error.retriable:
            self._log.write(logging.WARNING, "a request to the API failed: %s", error)
        else:
            self._log.failure("a request to the API failed", error)
        return Error(code=100, message=Errors.INTERNAL.message)

    async def publish(self, request: m.Publish) -> m.PublishResult:
        data = m.content(request.data, request.b64data)
        return _result(await self._rt.publish(**_publishing(_channel(request), data, request)._asdict()))

    async def broadcast(self, request: m.Broadcast) -> m.BroadcastResult:
        if not request.channels:
            raise Fault(Errors.BAD_REQUEST, "a broadcast to no channels")
        data = m.content(request.data, request.b64data)
        done: list[Published | Fault] = []
        for first in range(0, len(request.channels), AT_ONCE):
            channels = request.channels[first : first + AT_ONCE]
            done += await self._all([_publishing(channel, data, request) if channel else _NONE for channel in channels])
        return m.BroadcastResult(
            [{"error": self._told(one)} if isinstance(one, Fault) else {"result": _result(one)} for one in done]
        )

    async def subscribe(self, request: m.Subscribe) -> m.Empty:
        override = {
            name: bool(chosen.value)
            for name in (request.override.__struct_fields__ if request.override else ())
            if (chosen := getattr(request.override, name)) is not None
        }
        await self._rt.subscribe(
            request.user or "", _channel(request), client=request.client or "", session=request.session or "",
            info=m.content(request.info, request.b64info), data=m.content(request.data, request.b64data),
            expire_at=request.expire_at or None, since=m.position(request.recover_since), override=override or None,
        )  # fmt: skip
        return m.Empty()

    async def unsubscribe(self, request: m.Unsubscribe) -> m.Empty:
        await self._rt.unsubscribe(request.user or "", request.channel or "", **_whom(request))
        return m.Empty()

    async def disconnect(self, request: m.Disconnect) -> m.Empty:
        how: dict[str, Any] = {}
        if request.disconnect is not None:
            code, reason = request.disconnect.code or 0, request.disconnect.reason or ""
            if not 3000 <= code <= 4999 or len(reason.encode()) > MOST_REASON:
                raise Fault(Errors.BAD_REQUEST, "a disconnect has a code from 3000 to 4999, and a reason of 123 bytes")
            how = {"code": code, "reason": reason}
        who: dict[str, Any] = {**_whom(request), **how}
        await self._rt.disconnect(request.user or "", whitelist=request.whitelist or (), **who)
        return m.Empty()

    async def refresh(self, request: m.Refresh) -> m.Empty:
        await self._rt.refresh(
            request.user or "", expired=bool(request.expired), expire_at=request.expire_at or None,
            info=bytes(request.info), **_whom(request),
        )  # fmt: skip
        return m.Empty()

    async def presence(self, request: m.Presence) -> m.PresenceResult:
        found = await self._rt.presence(_channel(request))
        return m.PresenceResult({client: _shown(info) for client, info in found.items()})

    async def presence_stats(self, request: m.PresenceStats) -> m.PresenceStatsResult:
        return m.PresenceStatsResult(*await self._rt.presence_stats(_channel(request)))

    async def history(self, request: m.History) -> m.HistoryResult:
        if request.reverse and request.since is not None and not request.since.offset:
            raise Fault(Errors.BAD_REQUEST, "nothing is before the first publication")
        found = await self._rt.history(
            _channel(request), limit=request.limit or 0, since=m.position(request.since), reverse=bool(request.reverse)
        )
        publications = [
            m.Publication(_json(one.data), one.info and _shown(one.info), one.offset, one.tags)
            for one in found.publications
        ]
        return m.HistoryResult(publications, found.epoch, found.offset)

    async def history_remove(self, request: m.HistoryRemove) -> m.Empty:
        await self._rt.history_remove(_channel(request))
        return m.Empty()

    async def channels(self, request: m.Channels) -> m.ChannelsResult:
        found = await self._rt.channels(request.pattern or "")
        return m.ChannelsResult({name: m.NumClients(count) for name, count in found.items()})

    async def info(self, _: m.Info) -> m.InfoResult:
        return m.InfoResult(
            [
                m.NodeResult(
                    uid=node.uid,
                    name=node.name,
                    version=node.version,
                    num_clients=node.num_clients,
                    num_users=node.num_users,
                    num_channels=node.num_channels,
                    uptime=int(node.uptime),
                    num_subs=node.num_subs,
                )
                for node in await self._rt.info()
            ]
        )

    async def rpc(self, request: m.Rpc) -> m.RpcResult:
        if not request.method:
            raise Fault(Errors.BAD_REQUEST, "an rpc without a method")
        try:
            answer = await self._rt.call(request.method, bytes(request.params) or None)
        except Fault as fault:
            raise Fault(Errors.METHOD_NOT_FOUND if fault.verdict == Errors.NOT_AVAILABLE else fault.verdict) from None
        except Denied as denied:
            raise Fault(denied.error) from None
        return m.RpcResult(_json(Raw(encoded(answer))))


def _channel(request: Any) -> str:
    if not request.channel:
        raise Fault(Errors.BAD_REQUEST, "a request without a channel")
    return cast(str, request.channel)


def _publishing(channel: str, data: bytes, request: m.Content) -> Publishing:
    return Publishing(
        channel, data, request.tags, request.idempotency_key or "", request.version or 0, request.version_epoch or "",
        bool(request.delta), not request.skip_history,
    )  # fmt: skip


def _wanted(request: m.Publish) -> Publishing | Fault:
    try:
        return _publishing(_channel(request), m.content(request.data, request.b64data), request)
    except Fault as fault:
        return fault


def _whom(request: m.Who) -> dict[str, str]:
    return {"client": request.client or "", "session": request.session or ""}


def _result(done: Published) -> m.PublishResult:
    return m.PublishResult(done.offset, done.epoch)


def _shown(info: ClientInfo) -> ClientInfo:
    return ClientInfo(
        user=info.user, client=info.client, conn_info=_json(info.conn_info), chan_info=_json(info.chan_info)
    )


def _json(data: Raw) -> Raw:
    """Data that stands in an answer: JSON as it is; what is none, as a text in base64."""
    if not bytes(data):
        return data
    try:
        msgspec.json.decode(data, type=Raw)
    except msgspec.DecodeError:
        return Raw(msgspec.json.encode(bytes(data)))
    return data
