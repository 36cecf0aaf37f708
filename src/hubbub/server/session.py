"""A connection whose events go to a user's Handler, one callback at a time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from typing import Any

from hubbub.errors import Misuse, Reject
from hubbub.hub import Cause, Closed
from hubbub.server.connection import Connection
from hubbub.server.context import Context
from hubbub.server.handler import Handler
from hubbub.server.inbox import Inbox
from hubbub.server.phase import Phase
from hubbub.wire import Request

__all__ = ["Session"]


_OURS = frozenset({Cause.SERVER, Cause.HANDLER_ERROR})


class Session(Connection):
    """Calls the handler: at once while its callbacks are plain functions, from a task while one is asynchronous.

    The task exists only as long as there is something to await, so an idle connection has none. Whatever a callback
    lets out, a panic or a cancellation too, costs its own connection; SystemExit and KeyboardInterrupt also end the
    program, by way of the event loop.
    """

    __slots__ = ("_cancelled", "_factory", "_handler", "_inbox", "_task")

    def __init__(self, context: Context, factory: Callable[[], Any]) -> None:
        super().__init__(context)
        self._factory = factory
        self._handler: Handler | None = None
        self._task: asyncio.Task[None] | None = None
        self._inbox: Inbox[tuple[str, Any]] | None = None  # callbacks that wait for the one that is running
        self._cancelled = False  # a callback was: what waited behind it would only hold up the stop

    # The handshake

    def requested(self, request: Request) -> None:
        try:
            handler = _fresh(self._factory())
            handler.socket = self.socket
            handler.hub = self.context.hub
            self._handler = handler
            result: Any = handler.handshake(request)
            later = result is not None and inspect.isawaitable(result)
        except BaseException as error:
            return self._refused(error)
        if later:
            self._start(self._decide(request, result))
        else:
            self._accepted(request, result)

    async def _decide(self, request: Request, result: Any) -> None:
        try:
            chosen = await result
        except BaseException as error:
            if not self._cancelled_by(error):  # else it took too long, or the server stops
                self._refused(error)
        else:
            self._accepted(request, chosen)
        self._unanswered()
        await self._drain()

    def _accepted(self, request: Request, chosen: Any) -> None:
        if self.phase is not Phase.DECIDING:  # timed out, or the client left
            return
        try:
            self.accept(request, None if chosen is None else _subprotocol(chosen, request.subprotocols))
        except BaseException as error:
            return self._refused(error)
        self._dispatch("opened", None)
        self.begin()

    def _refused(self, error: BaseException) -> None:
        if isinstance(error, Reject):
            try:
                return self.deny(error.status, "rejected", (("Error", error.reason), *error.headers), b"", error.reason)
            except Exception as misuse:  # headers that may not be sent
                error = misuse
        try:
            self._tell("handshake", error)
        finally:
            self._unanswered()

    def _unanswered(self) -> None:
        """The handshake is over: refused by our mistake, unless it was answered."""
        if self.phase is Phase.DECIDING:
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
        except BaseException as error:
            return self._raised("message", error)
        if result is not None:
            self._returned("message", result)

    def dropped(self, count: int) -> None:
        if self.socket._tell_dropped is not None:  # at once, whatever a callback is waiting for
            super().dropped(count)
        else:
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
        except BaseException as error:
            return self._raised(callback, error)
        if result is not None:
            self._returned(callback, result)

    def _invoke(self, callback: str, argument: Any) -> Any:
        method = getattr(self._handler, callback)
        try:
            return method() if callback == "opened" else method(argument)
        finally:
            if callback == "dropped":
                self.socket._outlet.go_on()

    def _returned(self, callback: str, result: Any) -> None:
        try:
            if not inspect.isawaitable(result):
                return _expect_nothing(callback, result)
        except BaseException as error:
            return self._raised(callback, error)
        self._start(self._continue(callback, result))

    def _raised(self, callback: str, error: BaseException) -> None:
        try:
            self._tell(callback, error)
        finally:  # whatever becomes of the log
            if callback != "closed":
                self.socket._end(Closed(Cause.HANDLER_ERROR, 1011, "internal error"))

    def _tell(self, callback: str, error: BaseException) -> None:
        self.context.let_out(error)
        self.context.log.failure(f"a handler's {callback} raised", error)

    # What waits for an asynchronous callback

    def _start(self, run: Coroutine[Any, Any, None]) -> None:
        self._task = task = self.context.loop.create_task(run)
        self.context.round.start()
        self.context.tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self.context.tasks.discard(task)
        if self._task is task:  # it was cancelled before its first step: those that wait must not wait for ever
            self._cancelled = True
            self._unanswered()
            self._start(self._drain())

    def _queue(self, callback: str, argument: Any, size: int) -> None:
        if self._inbox is None:
            self._inbox = Inbox(self, self.context.limits)
        self._inbox.put((callback, argument), size)

    async def _continue(self, callback: str, result: Awaitable[Any]) -> None:
        await self._await(callback, result)
        await self._drain()

    async def _await(self, callback: str, result: Awaitable[Any]) -> None:
        try:
            _expect_nothing(callback, await result)
        except BaseException as error:
            if not self._cancelled_by(error):
                return self._raised(callback, error)
            self._cancelled = True
            self.socket._end(Closed(Cause.HANDLER_ERROR, 1011, "cancelled"))

    def _cancelled_by(self, error: BaseException) -> bool:
        """Whether our task was cancelled: by the server that stops, or by the handler itself."""
        task = asyncio.current_task(self.context.loop)
        if isinstance(error, GeneratorExit) and task is not self._task:
            raise error  # not out of the callback: the loop is gone, and the task thrown away
        return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0

    async def _drain(self) -> None:
        while self._inbox:
            callback, argument = self._inbox.take()
            over = self._cancelled or (self.reason is not None and self.reason.cause in _OURS)
            if callback == "message" and over:
                continue  # the program has closed it meanwhile
            try:
                result = self._invoke(callback, argument)
                if not inspect.isawaitable(result):
                    _expect_nothing(callback, result)
                    continue
            except BaseException as error:
                self._raised(callback, error)
            else:
                await self._await(callback, result)
        self._inbox = None
        self._task = None


def _fresh(made: Any) -> Handler:
    """A new handler. Raises: Misuse: it is something else, or serves another connection."""
    if not isinstance(made, Handler):
        _discard(made)
        raise Misuse(f"what makes the handlers made a {type(made).__name__}: it must return a new hubbub.Handler")
    if hasattr(made, "socket"):
        raise Misuse("what makes the handlers made the same one again: each connection needs one of its own")
    return made


def _subprotocol(chosen: Any, offers: list[str]) -> str | None:
    """What a handshake returned. Raises: Misuse: it may not."""
    if isinstance(chosen, str) and chosen in offers:
        return chosen
    if isinstance(chosen, str):
        raise Misuse(f"handshake chose subprotocol {chosen!r}; the client offers {offers}")
    _discard(chosen)
    raise Misuse(
        f"handshake returned a {type(chosen).__name__}: it returns one of request.subprotocols, or None;"
        " to refuse, raise hubbub.Reject"
    )


def _expect_nothing(callback: str, result: Any) -> None:
    """Callbacks return nothing, or what `write` and `broadcast` did. Raises: Misuse: something that would be lost."""
    if result is None or isinstance(result, int):
        return
    kind = type(result).__name__
    if isinstance(result, (Generator, AsyncGenerator)):
        raise Misuse(f"{callback} has a `yield` in it, so that nothing of it has run: send with self.write")
    if inspect.isawaitable(result):
        _discard(result)
        raise Misuse(f"{callback} returned a {kind} that it has not awaited")
    raise Misuse(f"{callback} returned a {kind}, with which nothing is done: send with self.write")


def _discard(result: Any) -> None:
    if inspect.iscoroutine(result):
        result.close()
