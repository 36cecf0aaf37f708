"""A Handler's life: its callbacks, their order, what they may raise, and how each end is told."""

from __future__ import annotations

import asyncio
import logging
import struct
import threading
from pathlib import Path
from typing import Any

import pytest

import hubbub
from hubbub import Cause
from support.client import HEAD, RawClient, encode
from support.serving import Echo, Recorder, serving, until

BOTH_LOOPS = True


class Async(Recorder):
    """Records when each callback begins and ends; `message` waits for the gate."""

    gate: asyncio.Event

    async def opened(self) -> None:
        self.events.append(("opened begins", None))
        await self.gate.wait()
        self.events.append(("opened ends", None))

    async def message(self, data: str | bytes) -> None:
        self.events.append(("begins", data))
        await asyncio.sleep(0)
        self.events.append(("ends", data))

    async def closed(self, reason: hubbub.Closed) -> None:
        await asyncio.sleep(0)
        self.events.append(("closed", reason))


async def test_callbacks_come_in_order_and_messages_as_what_they_are() -> None:
    handler = Recorder.fresh()
    async with serving(handler) as server:
        client = await RawClient.connect(server.port, "/path?query")
        client.text("früh")
        client.binary(b"\x00\xff")
        assert await client.close(1000, "bye") == (1000, "")
        assert await client.at_end()
        await until(lambda: handler.everyone[0].ends)
        (name, request), *rest = handler.everyone[0].events
        assert name == "handshake"
        assert (request.path, dict(request.query)) == ("/path", {"query": ""})
        assert request.peer == client.writer.get_extra_info("sockname")
        assert rest == [
            ("opened", None),
            ("message", "früh"),
            ("message", b"\x00\xff"),
            ("closed", hubbub.Closed(Cause.CLIENT, 1000, "bye")),
        ]


async def test_async_callbacks_never_overlap_and_keep_the_order_of_arrival() -> None:
    handler = Async.fresh(gate=asyncio.Event())
    async with serving(handler) as server:
        client = await RawClient.connect(server.port)
        for number in range(5):
            client.text(str(number))
        await client.close()
        await until(lambda: handler.everyone[0].events[-1][0] == "opened begins")
        handler.gate.set()
        await until(lambda: handler.everyone[0].ends)
        names = [(name, data) for name, data in handler.everyone[0].events if name != "handshake"]
        expected: list[tuple[str, Any]] = [("opened begins", None), ("opened ends", None)]
        for number in range(5):
            expected += [("begins", str(number)), ("ends", str(number))]
        assert names == [*expected, ("closed", hubbub.Closed(Cause.CLIENT, 1000, ""))]


async def test_messages_behind_the_handshake_in_one_packet_arrive_after_opened() -> None:
    class Slow(Recorder):
        async def handshake(self, request: hubbub.Request) -> None:  # type: ignore[override]
            await asyncio.sleep(0.01)

    for kind in (Recorder, Slow):
        handler = kind.fresh()
        async with serving(handler) as server:
            client = await RawClient.dial(server.port)
            client.send(HEAD.format(path="/").encode() + b"\r\n" + encode(1, b"early") + encode(1, b"bird"))
            await client.read_answer()
            await until(lambda handler=handler: len(handler.everyone[0].messages) == 2)
            assert handler.everyone[0].messages == ["early", "bird"]
            assert [name for name, _ in handler.everyone[0].events][-3:] == ["opened", "message", "message"]


@pytest.mark.parametrize("callback", ["opened", "message", "async message"])
async def test_a_callback_that_raises_costs_its_connection_only(
    callback: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Sync(Recorder):
        def opened(self) -> None:
            if callback == "opened" and len(self.everyone) == 2:
                raise RuntimeError("broken on purpose")

        def message(self, data: str | bytes) -> None:
            if data == "raise":
                raise RuntimeError("broken on purpose")
            self.write(data)

    class WithAsync(Sync):
        async def message(self, data: str | bytes) -> None:  # type: ignore[override]
            await asyncio.sleep(0)
            super().message(data)

    handler = (WithAsync if callback == "async message" else Sync).fresh()
    async with serving(handler) as server:
        good, bad = await RawClient.connect(server.port), await RawClient.connect(server.port)
        bad.text("raise")
        assert await bad.read_close() == (1011, "internal error")
        bad.send(encode(8, struct.pack("!H", 1011)))
        await until(lambda: handler.everyone[1].ends)
        assert handler.everyone[1].ends == [hubbub.Closed(Cause.HANDLER_ERROR, 1011, "internal error")]
        good.text("still here")
        assert await good.read() == "still here"
    assert "broken on purpose" in caplog.text
    assert "Traceback" in caplog.text


async def test_a_closed_that_raises_is_logged_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    class Bad(Recorder):
        def closed(self, reason: hubbub.Closed) -> None:
            super().closed(reason)
            raise RuntimeError("broken at the end")

    handler = Bad.fresh()
    async with serving(handler) as server:
        await (await RawClient.connect(server.port)).close()
        await until(lambda: handler.everyone[0].ends)
        assert (await RawClient.connect(server.port)).status == 101
    assert "broken at the end" in caplog.text


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_handshake_may_refuse(asynchronous: bool) -> None:
    class Picky(Recorder):
        def handshake(self, request: hubbub.Request) -> Any:
            if asynchronous:
                return self.later()
            raise hubbub.Reject("invalid_token", status=403, headers=(("X-Try", "again"),))

        async def later(self) -> None:
            await asyncio.sleep(0)
            raise hubbub.Reject("invalid_token", status=403, headers=(("X-Try", "again"),))

    handler = Picky.fresh()
    async with serving(handler) as server:
        client = await RawClient.connect(server.port)
        assert (client.status, client.headers["error"], client.headers["x-try"]) == (403, "invalid_token", "again")
        assert await client.at_end()
        client.kill()
        await until(lambda: handler.everyone[0].ends)
        assert handler.everyone[0].events == [("closed", hubbub.Closed(Cause.REJECTED, 403, "invalid_token"))]
        assert server.statistics().refused == {"rejected": 1}


async def test_a_handshake_that_raises_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Recorder):
        def handshake(self, request: hubbub.Request) -> None:
            raise RuntimeError("broken handshake")

    handler = Broken.fresh()
    async with serving(handler) as server:
        client = await RawClient.connect(server.port)
        assert (client.status, client.headers["error"]) == (500, "handler")
        await until(lambda: handler.everyone[0].ends or client.kill())
        assert handler.everyone[0].ends[0].cause is Cause.HANDLER_ERROR
    assert "broken handshake" in caplog.text


async def test_a_rejection_whose_headers_may_not_be_sent_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    class Splitting(Recorder):
        def handshake(self, request: hubbub.Request) -> None:
            raise hubbub.Reject("no_entry", status=403, headers=(("X-Try", "again\r\nSet-Cookie: a=b"),))

    handler = Splitting.fresh()
    async with serving(handler) as server:
        client = await RawClient.connect(server.port)
        assert (client.status, client.headers["error"]) == (500, "handler")
        assert "set-cookie" not in client.headers
        await until(lambda: handler.everyone[0].ends or client.kill())
        assert handler.everyone[0].ends[0].cause is Cause.HANDLER_ERROR
    assert "a header that may not be sent" in caplog.text


@pytest.mark.parametrize("reason", ["", "new\nline", "ümlaut"])
def test_a_rejection_that_cannot_travel_in_a_header_is_refused(reason: str) -> None:
    with pytest.raises(hubbub.Misuse):
        hubbub.Reject(reason)
    with pytest.raises(hubbub.Misuse):
        hubbub.Reject("reason", status=200)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_handshake_chooses_the_subprotocol(asynchronous: bool) -> None:
    class Chooser(Recorder):
        def handshake(self, request: hubbub.Request) -> Any:
            chosen = "two" if "two" in request.subprotocols else "three"

            async def later() -> str:
                return chosen

            return later() if asynchronous else chosen

    handler = Chooser.fresh()
    async with serving(handler) as server:
        client = await RawClient.connect(server.port, headers="Sec-WebSocket-Protocol: one, two\r\n")
        assert client.headers["sec-websocket-protocol"] == "two"
        assert handler.everyone[0].socket.subprotocol == "two"
        assert (await RawClient.connect(server.port, headers="Sec-WebSocket-Protocol: one\r\n")).status == 500


async def test_the_client_of_a_slow_handshake_may_leave() -> None:
    gate = asyncio.Event()

    class Slow(Recorder):
        async def handshake(self, request: hubbub.Request) -> None:  # type: ignore[override]
            await gate.wait()

    handler = Slow.fresh()
    async with serving(handler) as server:
        client = await RawClient.dial(server.port)
        client.send(HEAD.format(path="/").encode() + b"\r\n")
        await until(lambda: handler.everyone)
        client.kill()
        await until(lambda: server.statistics().connections == 0)
        gate.set()
        await until(lambda: handler.everyone[0].ends)
        assert handler.everyone[0].events == [("closed", handler.everyone[0].ends[0])]
        assert handler.everyone[0].ends[0].cause is Cause.RESET


async def test_closing_from_the_program() -> None:
    class Closer(Recorder):
        def message(self, data: str | bytes) -> None:
            self.write("last")
            assert self.close(4001, "enough")
            assert not self.close(4002)
            assert self.write("too late") is False
            assert self.ping() is False

    handler = Closer.fresh()
    async with serving(handler) as server:
        client = await RawClient.connect(server.port)
        client.text("go")
        assert await client.read() == "last"
        assert await client.read_close() == (4001, "enough")
        client.text("ignored")
        client.send(encode(8, struct.pack("!H", 4001)))
        assert await client.at_end()
        await until(lambda: handler.everyone[0].ends)
        assert handler.everyone[0].ends == [hubbub.Closed(Cause.SERVER, 4001, "enough")]
        assert handler.everyone[0].socket.write("gone") is False
        assert handler.everyone[0].buffered == 0


async def test_a_close_that_may_not_be_sent_is_refused_and_the_connection_stays() -> None:
    handler = Echo.fresh()
    async with serving(handler) as server:
        client = await RawClient.connect(server.port)
        for code, reason in ((1006, ""), (1000, "x" * 124)):
            with pytest.raises(hubbub.Misuse):
                handler.everyone[0].close(code, reason)
        client.text("still")
        assert await client.read() == "still"


async def test_both_sides_may_close_at_once() -> None:
    handler = Recorder.fresh()
    async with serving(handler) as server:
        client = await RawClient.connect(server.port)
        handler.everyone[0].close(4001)
        client.send(encode(8, struct.pack("!H", 4002)))
        assert await client.read_close() == (4001, "")
        assert await client.at_end()
        await until(lambda: handler.everyone[0].ends)
        assert len(handler.everyone[0].ends) == 1


async def test_any_thread_may_write_ping_and_close() -> None:
    handler = Recorder.fresh()
    async with serving(handler) as server:
        client = await RawClient.connect(server.port)
        socket = handler.everyone[0].socket

        def work() -> None:
            for number in range(100):
                assert socket.write(str(number))
            assert socket.ping()
            assert socket.close(4000, "from a thread")
            assert not socket.write("too late")

        thread = threading.Thread(target=work)
        thread.start()
        assert [await client.read() for _ in range(100)] == [str(number) for number in range(100)]
        assert await client.read_close() == (4000, "from a thread")
        thread.join()
        client.send(encode(8, struct.pack("!H", 4000)))
        await until(lambda: handler.everyone[0].ends)
        assert handler.everyone[0].ends[0].cause is Cause.SERVER


async def test_several_threads_write_whole_messages_each_in_its_own_order() -> None:
    handler = Recorder.fresh()
    async with serving(handler, limits=hubbub.Limits(max_backlog=64 * 1024 * 1024)) as server:
        client = await RawClient.connect(server.port)
        socket = handler.everyone[0].socket
        threads = [
            threading.Thread(
                target=lambda name=name: [socket.write(f"{name}:{n}:" + name * (n % 700)) for n in range(300)]
            )
            for name in "abcd"
        ]
        for thread in threads:
            thread.start()
        seen: dict[str, int] = dict.fromkeys("abcd", -1)
        for _ in range(1200):
            name, number, rest = str(await client.read()).split(":")
            assert int(number) == seen[name] + 1
            assert rest == name * (int(number) % 700)
            seen[name] += 1
        for thread in threads:
            thread.join()


async def test_pings_are_answered_and_the_program_may_ping() -> None:
    handler = Recorder.fresh()
    async with serving(handler) as server:
        client = await RawClient.connect(server.port)
        client.send(encode(9, b"are you there"))
        assert await client.frame() == (0x8A, b"are you there")
        assert handler.everyone[0].ping()
        assert await client.frame() == (0x89, b"")


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_socket_that_is_closed_has_left_every_channel(asynchronous: bool) -> None:
    hub = hubbub.Hub()
    seen: list[Any] = []

    class Member(hubbub.Handler):
        def opened(self) -> None:
            for channel in ("a", 1, ("b", 2)):
                hub.join(channel, self.socket)

        def closed(self, reason: hubbub.Closed) -> Any:
            async def later() -> None:
                seen.append((hub.channels_of(self.socket), hub.count("a"), hub.join("a", self.socket)))

            if asynchronous:
                return later()
            seen.append((hub.channels_of(self.socket), hub.count("a"), hub.join("a", self.socket)))
            return None

    async with serving(Member, hub=hub) as server:
        client = await RawClient.connect(server.port)
        assert hub.count("a") == 1
        client.kill()
        await until(lambda: seen)
        assert seen == [([], 0, False)]
        assert hub.statistics().channels == 0


async def test_a_handler_that_cannot_keep_up_is_not_sent_more_and_loses_nothing() -> None:
    gate = asyncio.Event()

    class Slow(Recorder):
        async def message(self, data: str | bytes) -> None:  # type: ignore[override]
            await gate.wait()
            super().message(data)

    handler = Slow.fresh()
    limits = hubbub.Limits(max_inbox=4, ping_interval=0.05, pong_timeout=0.05)
    async with serving(handler, limits=limits) as server:
        client = await RawClient.connect(server.port)
        for number in range(400):
            client.text(f"{number:050000}")
        await until(lambda: server.statistics().paused)
        await asyncio.sleep(0.3)  # far longer than a silent client has: this one's silence is ours
        assert client.writer.transport.get_write_buffer_size() > 0
        gate.set()
        await until(lambda: len(handler.everyone[0].messages) == 400)
        assert handler.everyone[0].messages == [f"{number:050000}" for number in range(400)]
        assert not handler.everyone[0].ends


async def test_a_protocol_error_is_told_as_one() -> None:
    handler = Recorder.fresh()
    async with serving(handler) as server:
        client = await RawClient.connect(server.port)
        client.send(b"\xff")
        assert (await client.read_close())[0] == 1002
        client.kill()
        await until(lambda: handler.everyone[0].ends)
        assert handler.everyone[0].ends == [hubbub.Closed(Cause.PROTOCOL_ERROR, 1002, "a reserved bit is set")]
        assert server.statistics().failures == {1002: 1}


async def test_a_connection_that_breaks_is_a_reset() -> None:
    handler = Recorder.fresh()
    async with serving(handler) as server:
        (await RawClient.connect(server.port)).kill()
        await until(lambda: handler.everyone and handler.everyone[0].ends)
        half_closed = await RawClient.connect(server.port)
        half_closed.writer.write_eof()
        await until(lambda: handler.everyone[1].ends)
        assert [h.ends[0].cause for h in handler.everyone] == [Cause.RESET] * 2
        assert [h.ends[0].code for h in handler.everyone] == [1006] * 2


@pytest.mark.parametrize("frames", [encode(8, struct.pack("!H", 1000)), b""], ids=["closed", "cut off"])
async def test_who_says_no_more_may_still_read_all_that_waits_for_it(frames: bytes, tmp_path: Path) -> None:
    handler, path = Echo.fresh(), str(tmp_path / "socket")
    async with serving(handler, uds=path, limits=hubbub.Limits(max_backlog=64 * 1024 * 1024)):
        client = await RawClient.connect(uds=path, limit=1024)
        sent = [f"{number}:" + "x" * 200_000 for number in range(8)]
        for message in sent:
            client.text(message)
        client.send(frames)
        client.writer.write_eof()
        await until(lambda: not handler.everyone[0].socket.is_open)
        await asyncio.sleep(0.01)  # the end comes behind the close frame
        assert [await client.read() for _ in sent] == sent
        if frames:
            assert await client.read_close() == (1000, "")
        assert await client.at_end()
        await until(lambda: handler.everyone[0].ends)
        cause, code, *_ = handler.everyone[0].ends[0]
        assert (cause, code) == ((Cause.CLIENT, 1000) if frames else (Cause.RESET, 1006))


async def test_leaving_the_block_is_a_shutdown_for_every_client() -> None:
    handler = Recorder.fresh()
    async with hubbub.serve(handler, port=0) as server:
        clients = [await RawClient.connect(server.port) for _ in range(3)]

        async def leave(client: RawClient) -> tuple[int, str]:
            answer = await client.read_close()
            client.send(encode(8, struct.pack("!H", answer[0])))
            return answer

        leaving = [asyncio.create_task(leave(client)) for client in clients]
    assert [await task for task in leaving] == [(1001, "the server stops")] * 3
    assert [h.ends[0].cause for h in handler.everyone] == [Cause.SHUTDOWN] * 3


async def test_a_server_without_a_hub_and_a_handler_made_by_a_function() -> None:
    made: list[Echo] = []

    def make() -> hubbub.Handler:
        made.append(Echo.fresh()())
        return made[-1]

    async with serving(make) as server:
        client = await RawClient.connect(server.port)
        client.text("hi")
        assert await client.read() == "hi"
        assert made[0].hub is None


def test_what_is_no_handler_is_refused() -> None:
    with pytest.raises(hubbub.Misuse, match="takes a Handler class"):
        hubbub.serve("chat:Chat")  # type: ignore[arg-type]


async def test_logs_about_peers_are_quiet_by_default(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with serving(Recorder.fresh()) as server:
        client = await RawClient.connect(server.port)
        client.send(b"\xff")
        await client.read_close()
    assert not caplog.records
