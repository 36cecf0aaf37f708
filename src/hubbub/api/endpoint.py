"""The HTTP API as an ASGI application: who asks, how much, for which method, and the answer.

It is plain ASGI, for most of what it does is one publication, and a framework would cost more than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import msgspec

from hubbub.api import messages as m
from hubbub.api.counts import Counts
from hubbub.api.keys import Gate
from hubbub.api.methods import NOT_FOUND, Methods
from hubbub.arguments import whole
from hubbub.realtime import Error, Realtime

__all__ = ["MAX_BODY", "Api"]

MAX_BODY = 8 * 1024 * 1024  # bytes: a hundred publications of the largest size that clients may send, and some
BODY_TIMEOUT = 30.0  # seconds for a body to come

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
PLAIN = (b"content-type", b"text/plain; charset=utf-8")
END = (b"connection", b"close")  # what is left of the request is not read
STATUS = {100: 500, 102: 404, 104: 404, 107: 400, 108: 400, 112: 416, 113: 409}  # of an error, for who wants it so

_encode = msgspec.json.Encoder().encode


class Refused(Exception):
    """A request that is answered with an HTTP status alone."""

    def __init__(self, status: int, text: str = "", *headers: tuple[bytes, bytes]) -> None:
        super().__init__(status)
        self.status = status
        self.text = text
        self.headers = headers


class Old(msgspec.Struct, omit_defaults=True):
    """A command of the old form, where the method stands in the body."""

    method: str | int = ""
    params: msgspec.Raw = msgspec.Raw(b"{}")
    id: int = 0


class Api:
    """POST `<prefix>/<method>`, or the old form, POST `<prefix>`.

    Args:
        key: what programs have to know. "": nobody is let in.
        insecure: everybody is let in, but for pages in browsers.
        max_body: bytes of the largest body.
        prefix: of the paths.
        transport_errors: errors are answered with HTTP statuses, as if each program asked for that.

    Raises: Misuse: a key that is no text; a size below one.
    """

    def __init__(
        self,
        rt: Realtime,
        *,
        key: str = "",
        insecure: bool = False,
        max_body: int = MAX_BODY,
        prefix: str = "/api",
        transport_errors: bool = False,
    ) -> None:
        self._gate = Gate(key, insecure=insecure)
        self._methods = Methods(rt)
        self._max_body = whole("max_body", max_body, 1)
        self._prefix = prefix.rstrip("/")
        self._transport_errors = transport_errors
        self.counts: Counts = Counts([*self._methods.named, "batch"])
        self._decode_batch = msgspec.json.Decoder(m.Batch).decode
        self._decode_old = msgspec.json.Decoder(Old).decode

    def serves(self, scope: Scope) -> bool:
        """Whether a request's path is one of its own."""
        path = _path(scope)
        return path.startswith(self._prefix) and path[len(self._prefix) : len(self._prefix) + 1] in ("", "/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("the API is asked over HTTP")
        try:
            status, body = await self._answer(scope, receive)
            headers: Headers = [JSON]
        except Refused as refused:
            status, body, headers = refused.status, refused.text.encode(), list(refused.headers)
            if body:
                headers.append(PLAIN)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        path = _path(scope)
        name = path[len(self._prefix) + 1 :]
        method = self._methods.named.get(name)
        if method is None and name != "batch" and path != self._prefix:
            raise Refused(404, "404 page not found\n", END)
        transport = self._admitted(scope)
        try:
            data = (await self._body(receive)).decode()  # all of it, for what is published is carried through unread
        except UnicodeDecodeError:
            raise Refused(400, "Bad Request\n") from None
        if method is not None:
            return await self._one(name, method, data, transport)
        try:
            if name == "batch":
                batch = self._decode_batch(data)
                replies = await self._methods.batch(batch)
                self.counts.add("batch", 0)
                return 200, _encode({"replies": replies})
            commands = [self._decode_old(line) for line in data.splitlines() if line.strip()]
            if not commands:
                raise Refused(400, "Bad Request\n")
            return 200, b"\n".join([await self._old(command) for command in commands])
        except (msgspec.DecodeError, RecursionError):
            raise Refused(400, "Bad Request\n") from None

    async def _one(self, name: str, method: Any, data: str, transport: bool) -> tuple[int, bytes]:
        try:
            request = method.decode(data)
        except (msgspec.DecodeError, RecursionError):
            self.counts.add(name, 400)
            raise Refused(400, "Bad Request\n") from None
        answer = await self._methods.answer(method.run, request)
        if isinstance(answer, Error):
            self.counts.add(name, answer.code)
            if transport:
                return STATUS.get(answer.code, 500), _encode(answer)
            return 200, _encode({"error": answer})
        self.counts.add(name, 0)
        return 200, _encode({"result": answer})

    async def _old(self, command: Old) -> bytes:
        named = command.method.lower() if isinstance(command.method, str) else ""
        method = self._methods.named.get(named)
        answer = NOT_FOUND if method is None else await self._methods.answer(method.run, method.decode(command.params))
        self.counts.add(named, answer.code if isinstance(answer, Error) else 0)
        reply = {"error" if isinstance(answer, Error) else "result": answer}
        return _encode({"id": command.id, **reply} if command.id else reply)

    def _admitted(self, scope: Scope) -> bool:
        """Whether errors are to be HTTP statuses. Raises: Refused: the request is not let in."""
        size, transport = 0, self._transport_errors
        given: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name == b"content-length":
                size = int(value) if value.isdigit() else 0
            elif name == b"x-centrifugo-error-mode":
                transport = transport or value == b"transport"
            elif name in (b"x-api-key", b"authorization", b"origin"):
                given[name] = value
        if not self._gate.admits(given, scope["query_string"]):
            self.counts.refused += 1
            raise Refused(401, "", END)
        if scope["method"] != "POST":
            raise Refused(405, "Method Not Allowed\n", (b"allow", b"POST"), END)
        if size > self._max_body:
            raise Refused(413, "Content Too Large\n", END)
        return transport

    async def _body(self, receive: Receive) -> bytes:
        """Raises: Refused: it is too large, too slow, or does not come to its end."""
        parts: list[bytes] = []
        left = self._max_body
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "Bad Request\n", END)
                    part: bytes = message.get("body", b"")
                    left -= len(part)
                    if left < 0:
                        raise Refused(413, "Content Too Large\n", END)
                    parts.append(part)
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            raise Refused(408, "Request Timeout\n", END) from None


def _path(scope: Scope) -> str:
    """Below where it is mounted."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if root else path
