"""A connection whose events go to a user's Handler, one callback at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from hubbub.errors import Misuse, Reject
from hubbub.server.connection import Connection, Phase
from hubbub.server.context import Context
from hubbub.server.handler import Handler
from hubbub.server.inbox import Inbox
from hubbub.server.socket import Cause, Closed
from hubbub.wire import Request

__all__ = ["Session"]


_OURS = frozenset({Cause.SERVER, Cause.HANDLER_ERROR})


class Session(Connection):
    """Calls the handler: at once while its callbacks are plain functions, from a task while one is asynchronous.

    The task exists only as long as there is something to await, so an idle connection has none.
    """

    __slots__ = ("_cancelled", "_factory", "_handler", "_inbox", "_task")

    def __init__(self, context: Context, factory: Callable[[], Handler]) -> None:
        super().__init__(context)
        self._factory = factory
        self._handler: Handler | None = None
        self._task: asyncio.Task[None] | None = None
        self._inbox: Inbox[tuple[str, Any]] | None = None  # callbacks that wait for the one that is running
        self._cancelled = False  # a callback was: what waited behind it would only hold up the stop

    # The handshake

    def requested(self, request: Request) -> None:
        try:
            handler = self._factory()
            handler.socket = self.socket
            handler.hub = self.context.hub
            self._handler = handler
            result = handler.handshake(request)
        except Exception as error:
            return self._refused(error)
        if result is None or not isinstance(result, Awaitable):
            self._accepted(request, result)
        else:
            self._start(self._decide(request, result))

    async def _decide(self, request: Request, result: Awaitable[str | None]) -> None:
        try:
            subprotocol = await result
        except Exception as error:
            self._refused(error)
        except asyncio.CancelledError:  # it took too long, or the server stops: refused already
            pass
        else:
            self._accepted(request, subprotocol)
        await self._drain()

    def _accepted(self, request: Request, subprotocol: str | None) -> None:
        if self.phase is not Phase.DECIDING:  # timed out, or the client left
            return
        if subprotocol is not None and subprotocol not in request.subprotocols:
            offers = request.subprotocols
            return self._refused(Misuse(f"handshake chose subprotocol {subprotocol!r}; the client offers {offers}"))
        try:
            self.accept(request, subprotocol)
        except Exception as error:
            return self._refused(error)
        self._dispatch("opened", None)
        self.begin()

    def _refused(self, error: Exception) -> None:
        if isinstance(error, Reject):
            try:
                return self.deny(error.status, "rejected", (("Error", error.reason), *error.headers), b"", error.reason)
            except Exception as misuse:  # headers that may not be sent
                error = misuse
        self.context.log.failure("a handler's handshake raised", error)
        self.because(Closed(Cause.HANDLER_ERROR, 500, "the handler's handshake raised"))
        self.refuse(500, "handler")

    def timed_out(self) -> None:
        if self._task is not None:
            self._task.cancel()

    # Events

    def message(self, data: str | bytes) -> None:
        if self._task is not None:
            return self._queue("message", data, len(data))
        assert self._handler is not None
        try:  # as `_call` does, for what is called most
            result: Any = self._handler.message(data)
        except Exception as error:
            return self._raised("message", error)
        if result is not None and isinstance(result, Awaitable):
            self._start(self._continue("message", cast("Awaitable[None]", result)))

    def dropped(self, count: int) -> None:
        self._dispatch("dropped", count)

    def ended(self, closed: Closed) -> None:
        if self._handler is not None:  # or making one had failed
            self._dispatch("closed", closed)

    def _dispatch(self, callback: str, argument: Any) -> None:
        if self._task is None:
            self._call(callback, argument)
        else:
            self._queue(callback, argument, 0)

    def _call(self, callback: str, argument: Any) -> None:
        try:
            result = self._invoke(callback, argument)
        except Exception as error:
            return self._raised(callback, error)
        if result is not None:
            self._start(self._continue(callback, result))

    def _invoke(self, callback: str, argument: Any) -> Awaitable[None] | None:
        method = getattr(self._handler, callback)
        result: Any = method() if callback == "opened" else method(argument)
        return cast("Awaitable[None]", result) if result is not None and isinstance(result, Awaitable) else None

    def _raised(self, callback: str, error: Exception) -> None:
        self.context.log.failure(f"a handler's {callback} raised", error)
        if callback != "closed":
            self.socket.end(Closed(Cause.HANDLER_ERROR, 1011, "internal error"))

    # What waits for an asynchronous callback

    def _start(self, run: Any) -> None:
        self._task = task = self.context.loop.create_task(run)
        self.context.tasks.add(task)
        task.add_done_callback(self.context.tasks.discard)

    def _queue(self, callback: str, argument: Any, size: int) -> None:
        if self._inbox is None:
            self._inbox = Inbox(self, self.context.limits)
        self._inbox.put((callback, argument), size)

    async def _continue(self, callback: str, result: Awaitable[None]) -> None:
        await self._await(callback, result)
        await self._drain()

    async def _await(self, callback: str, result: Awaitable[None]) -> None:
        try:
            await result
        except Exception as error:
            self._raised(callback, error)
        except asyncio.CancelledError:  # the server stops, or the handler cancelled itself
            self._cancelled = True
            self.socket.end(Closed(Cause.HANDLER_ERROR, 1011, "cancelled"))

    async def _drain(self) -> None:
        while self._inbox:
            callback, argument = self._inbox.take()
            over = self._cancelled or (self.reason is not None and self.reason.cause in _OURS)
            if callback == "message" and over:
                continue  # the program has closed it meanwhile
            try:
                result = self._invoke(callback, argument)
            except Exception as error:
                self._raised(callback, error)
            else:
                if result is not None:
                    await self._await(callback, result)
        self._inbox = None
        self._task = None
