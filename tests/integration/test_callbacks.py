"""Whatever a callback lets out or returns costs its own connection, is logged, and touches nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest

import hubbub
from hubbub import Cause
from support.certificates import contexts
from support.client import HEAD, RawClient, encode
from support.serving import Recorder, serving, until

BOTH_LOOPS = True

CALLBACKS = ("handshake", "opened", "message", "dropped", "closed")


class Panic(BaseException):
    """As extension modules raise them."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise Panic

    __repr__ = __str__


ERRORS: list[Any] = [
    RuntimeError,
    Panic,
    lambda: BaseExceptionGroup("on purpose", [Panic(), ValueError()]),
    asyncio.CancelledError,
    GeneratorExit,
    StopIteration,
    RecursionError,
    MemoryError,
    Unprintable,
]


class Raising(Recorder):
    """Of its second connection, the callback `at` raises `error`, at once or after a turn of the loop."""

    at: str
    later: bool
    error: BaseException

    def _record(self, callback: str, argument: Any) -> Any:
        self.events.append((callback, argument))
        if callback == "message" and argument == "drop":
            self.socket._link.dropped(1)  # type: ignore[attr-defined]
        elif callback == "message" and argument == "echo":
            self.write("echo")
        if callback != self.at or self.everyone.index(self) != 1:
            return None
        if self.later:
            return self._raise_later()
        raise self.error

    async def _raise_later(self) -> None:
        await asyncio.sleep(0)
        raise self.error

    def handshake(self, request: Any) -> Any:
        return self._record("handshake", request)

    def opened(self) -> Any:
        return self._record("opened", None)

    def message(self, data: Any) -> Any:
        return self._record("message", data)

    def dropped(self, count: Any) -> Any:
        return self._record("dropped", count)

    def closed(self, reason: Any) -> Any:
        return self._record("closed", reason)


async def provoke(port: int, at: str, **settings: Any) -> tuple[int, Any]:
    """What a client sees of a callback that fails: the status, and the close frame if it was upgraded."""
    client = await RawClient.connect(port, **settings)
    if client.status != 101:
        assert await client.at_end()
        client.kill()
        return client.status, client.headers.get("error")
    if at == "closed":
        return 101, await client.close()
    client.text("drop" if at == "dropped" else "boom")
    client.text("behind it")
    code = await client.read_close()
    client.send(encode(8, struct.pack("!H", code[0])))
    assert await client.at_end()
    return 101, code


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("at", CALLBACKS)
async def test_whatever_a_callback_lets_out_costs_its_own_connection(
    at: str, tls: bool, later: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = ({"ssl": context} for context in contexts()) if tls else ({}, {})
    for make in ERRORS:
        error = make()
        caplog.clear()
        handler = Raising.fresh(at=at, later=later, error=error)
        async with serving(handler, **ours) as server:
            good = await RawClient.connect(server.port, **theirs)
            async with asyncio.timeout(3):  # at once, not after handshake_timeout
                seen = await provoke(server.port, at, **theirs)
            assert seen == {
                "handshake": (500, "handler"),
                "closed": (101, (1000, "")),
            }.get(at, (101, (1011, "internal error")))
            await until(lambda handler=handler: handler.everyone[1].ends)
            await until(lambda server=server: server.statistics().connections == 1)
            good.text("echo")
            assert await good.read() == "echo"
        (end,) = handler.everyone[1].ends
        assert end.cause is (Cause.CLIENT if at == "closed" else Cause.HANDLER_ERROR)
        assert "behind it" not in handler.everyone[1].messages
        assert len(handler.everyone[0].ends) == 1
        (record,) = [record for record in caplog.records if record.name == "hubbub" and record.exc_info]
        assert record.getMessage() == f"a handler's {at} raised"
        shown = RuntimeError if later and isinstance(error, StopIteration) else type(error)  # as coroutines have it
        assert record.exc_info is not None
        assert record.exc_info[0] is shown


@pytest.mark.parametrize("error", ERRORS)
async def test_a_handler_that_cannot_be_made_costs_its_connection(error: Any) -> None:
    def make() -> hubbub.Handler:
        raise error()

    async with serving(make) as server:
        assert await provoke(server.port, "handshake") == (500, "handler")
        await until(lambda: not server.statistics().connections)


def shared() -> Any:
    handler = Recorder.fresh()()
    return lambda: handler


async def made_late() -> hubbub.Handler:
    return hubbub.Handler()


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: None, "made a NoneType"),
        (lambda: made_late(), "made a coroutine"),
        (shared(), "the same one again"),
    ],
)
async def test_what_makes_no_handler_for_each_connection_is_told_so(
    make: Any, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(make) as server:
        first = await RawClient.connect(server.port)
        second = await RawClient.connect(server.port)
        assert second.status == 500
        if first.status == 101:  # a shared one still works for the first
            assert await first.close() == (1000, "")
    assert complaint in caplog.text


class Ready:
    """Something to await that is no coroutine."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from asyncio.sleep(0).__await__()


async def test_anything_that_can_be_awaited_is() -> None:
    class Awaiting(Recorder):
        def message(self, data: str | bytes) -> Any:
            super().message(data)
            future = asyncio.get_running_loop().create_future()
            future.get_loop().call_soon(future.set_result, None)
            return {"object": Ready(), "future": future}.get(str(data), self.write(data))

    handler = Awaiting.fresh()
    async with serving(handler) as server:
        client = await RawClient.connect(server.port)
        for data in ("object", "future", "last"):
            client.text(data)
        assert [await client.read() for _ in range(3)] == ["object", "future", "last"]
        assert await client.close() == (1000, "")


async def coroutine() -> None: ...


async def returning(result: Any) -> Any:
    return result


async def asynchronous_generator() -> AsyncIterator[int]:
    yield 1


class Broken:
    def __await__(self) -> Any:
        return 5


class Endless:
    def __await__(self) -> Any:
        yield "nothing that a loop knows"


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: "an answer", "returned a str, with which nothing is done"),
        (lambda: returning(b"an answer"), "returned a bytes, with which nothing is done"),
        (lambda: (n for n in (1, 2)), "has a `yield` in it"),
        (lambda: asynchronous_generator(), "has a `yield` in it"),
        (lambda: returning(coroutine()), "that it has not awaited"),
        (Broken, "TypeError"),
        (Endless, "RuntimeError"),
    ],
    ids=["text", "async bytes", "generator", "async generator", "not awaited", "bad awaitable", "bad yield"],
)
async def test_what_a_callback_returns_in_vain_is_not_lost_in_silence(
    make: Any, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Returning(Recorder):
        def message(self, data: str | bytes) -> Any:
            return make()

    handler = Returning.fresh()
    async with serving(handler) as server:
        assert await provoke(server.port, "message") == (101, (1011, "internal error"))
        await until(lambda: handler.everyone[0].ends)
    assert complaint in caplog.text


@pytest.mark.parametrize("answer", [True, False, 3, "not offered", b"chat", ["chat"]])
@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
async def test_a_handshake_returns_a_subprotocol_or_nothing(
    answer: Any, later: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Answering(Recorder):
        def handshake(self, request: hubbub.Request) -> Any:
            return returning(answer) if later else answer

    handler = Answering.fresh()
    async with serving(handler) as server:
        assert await provoke(server.port, "handshake") == (500, "handler")
        await until(lambda: handler.everyone[0].ends)
    assert "raise hubbub.Reject" in caplog.text or "the client offers" in caplog.text


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("at", ["handshake", "message"])
async def test_a_callback_cancelled_before_its_first_step_holds_up_nothing(at: str) -> None:
    class Cancelling(Recorder):
        def _later(self, callback: str) -> Any:
            if callback != at:
                return None
            before = asyncio.all_tasks()
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: [task.cancel() for task in asyncio.all_tasks() - before])
            return returning(None)

        def handshake(self, request: hubbub.Request) -> Any:
            super().handshake(request)
            return self._later("handshake")

        def message(self, data: str | bytes) -> Any:
            return self._later("message")

    handler = Cancelling.fresh()
    async with serving(handler) as server:
        client = await RawClient.dial(server.port)
        client.send(HEAD.format(path="/").encode() + b"\r\n")
        await client.read_answer()
        if at == "handshake":
            assert client.status in (101, 500)  # the loop may have been quicker
        else:
            client.text("go")
        client.send(encode(8, struct.pack("!H", 1000)))
        assert await client.at_end() or await client.at_end()
        client.kill()
        await until(lambda: handler.everyone[0].ends)
        await until(lambda: not server.statistics().connections)


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("at", ["handshake", "message"])
async def test_a_log_that_fails_costs_nobody_else_and_holds_up_nothing(at: str, later: bool) -> None:
    def broken(record: logging.LogRecord) -> bool:
        raise OSError("no space left on the device")

    handler = Raising.fresh(at=at, later=later, error=Panic())
    logger = logging.getLogger("hubbub")
    async with serving(handler) as server:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        good = await RawClient.connect(server.port)
        logger.addFilter(broken)
        try:
            bad = await RawClient.dial(server.port)
            bad.send(HEAD.format(path="/").encode() + b"\r\n" + encode(1, b"boom"))
            with contextlib.suppress(ConnectionError, TimeoutError):
                await asyncio.wait_for(bad.reader.read(), 0.3)
            bad.kill()
            await until(lambda: handler.everyone[1].ends)
            await until(lambda: server.statistics().connections == 1)
        finally:
            logger.removeFilter(broken)
        good.text("echo")
        assert await good.read() == "echo"
        assert len(handler.everyone[1].ends) == 1
