"""hubbub as uvicorn's WebSocket implementation: the ASGI specification's WebSocket, version 2.4."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from typing import Any

import pytest

import hubbub
import hubbub.asgi
from hubbub.asgi.conversation import MOVES, Stage, advance
from support.asgi_servers import uvicorn_serving
from support.client import RawClient, encode
from support.serving import until

BOTH_LOOPS = True


class App:
    """Answers each connection with `script`, and keeps what it received and how it ended."""

    def __init__(self, script: Any) -> None:
        self.script = script
        self.scopes: list[dict[str, Any]] = []
        self.ends: list[BaseException | None] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        try:
            await self.script(scope, receive, send)
        except BaseException as error:
            self.ends.append(error)
            raise
        else:
            self.ends.append(None)


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


async def test_messages_go_both_ways_as_text_and_bytes() -> None:
    async with uvicorn_serving(App(echo)) as (port, _):
        client = await RawClient.connect(port)
        client.text("früh")
        client.binary(b"\x00\xff")
        assert await client.read() == "früh"
        assert await client.read() == b"\x00\xff"
        assert await client.close(1001) == (1001, "")


async def test_the_scope_tells_about_the_request() -> None:
    app = App(echo)
    async with uvicorn_serving(app, root_path="/root") as (port, _):
        client = await RawClient.connect(
            port, "/a%20b?x=1&y", "Sec-WebSocket-Protocol: one, two\r\nX-Thing: \xe4\r\nX-Thing: b\r\n"
        )
        assert client.status == 101
        scope = app.scopes[0]
        assert (scope["type"], scope["http_version"], scope["scheme"]) == ("websocket", "1.1", "ws")
        assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/root/a b", b"/root/a%20b", b"x=1&y")
        assert scope["root_path"] == "/root"
        assert scope["subprotocols"] == ["one", "two"]
        assert scope["server"] == ("127.0.0.1", port)
        assert scope["client"] == client.writer.get_extra_info("sockname")
        assert [value for name, value in scope["headers"] if name == b"x-thing"] == ["\xe4".encode(), b"b"]
        assert scope["asgi"]["spec_version"] == "2.4"
        assert "websocket.http.response" in scope["extensions"]


async def test_accepting_chooses_the_subprotocol_and_adds_headers() -> None:
    async def script(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "two", "headers": [(b"x-mine", b"1"), (b"X-b", b"2")]})
        await receive()

    async with uvicorn_serving(App(script), headers=[("x-default", "yes")]) as (port, _):
        client = await RawClient.connect(port, headers="Sec-WebSocket-Protocol: one, two\r\n")
        assert client.status == 101
        assert client.headers["sec-websocket-protocol"] == "two"
        assert (client.headers["x-mine"], client.headers["x-b"]) == ("1", "2")
        assert client.headers["x-default"] == "yes"


async def test_closing_before_accepting_is_a_403() -> None:
    seen: list[Any] = []

    async def script(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 4001})
        seen.append(await receive())

    async with uvicorn_serving(App(script)) as (port, _):
        client = await RawClient.connect(port)
        assert client.status == 403
        assert await client.at_end()
        client.kill()
        await until(lambda: seen)
        assert (seen[0]["type"], seen[0]["code"]) == ("websocket.disconnect", 1006)


async def test_a_denial_response_is_sent_as_the_application_made_it() -> None:
    async def script(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"9"), (b"x-why", b"no token")]
        await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"no ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"token!"})

    app = App(script)
    async with uvicorn_serving(app) as (port, _):
        client = await RawClient.connect(port)
        assert client.status == 401
        assert client.headers["content-length"] == "9"
        assert client.headers["x-why"] == "no token"
        assert "error" not in client.headers
        assert await client.reader.readexactly(9) == b"no token!"
        await until(lambda: app.ends)
        assert app.ends == [None]


@pytest.mark.parametrize(
    ("sent", "code", "reason"),
    [(struct.pack("!H", 3999) + b"bye", 3999, "bye"), (b"", 1005, "")],
    ids=["with a code", "without a code"],
)
async def test_the_peers_close_is_a_disconnect_with_its_code_and_reason(sent: bytes, code: int, reason: str) -> None:
    seen: list[Any] = []

    async def script(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        seen.append(await receive())

    async with uvicorn_serving(App(script)) as (port, _):
        client = await RawClient.connect(port)
        client.send(encode(8, sent))
        await until(lambda: seen)
        assert seen == [{"type": "websocket.disconnect", "code": code, "reason": reason}]


async def test_a_peer_that_breaks_off_is_a_disconnect_1006() -> None:
    seen: list[Any] = []

    async def script(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        seen.append(await receive())

    async with uvicorn_serving(App(script)) as (port, _):
        (await RawClient.connect(port)).kill()
        await until(lambda: seen)
        assert seen[0]["code"] == 1006


async def test_an_application_that_reads_on_after_the_disconnect_is_told_and_ends() -> None:
    async def script(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            await receive()

    class Quick(hubbub.asgi.WebSocketProtocol):
        limits = hubbub.Limits(close_timeout=0.05)

    app = App(script)
    async with uvicorn_serving(app, ws=Quick) as (port, _):
        (await RawClient.connect(port)).kill()
        await until(lambda: app.ends)
        assert type(app.ends[0]) is hubbub.Disconnected


async def test_a_receiver_that_is_left_over_after_the_disconnect_disturbs_nobody() -> None:
    seen: list[Any] = []

    async def script(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            receiving = asyncio.create_task(receive())
            message = await receiving
            receiving = asyncio.create_task(receive())
            if message["type"] == "websocket.disconnect":
                await asyncio.sleep(0.05)
                seen.append(receiving.done())
                receiving.cancel()
                return

    app = App(script)
    async with uvicorn_serving(app) as (port, _):
        (await RawClient.connect(port)).kill()
        await until(lambda: app.ends)
    assert (seen, app.ends) == ([False], [None])


async def test_receivers_that_are_cancelled_or_several_lose_nothing() -> None:
    """Also one that is cancelled after its message has come, and before its task has gone on."""
    seen: list[Any] = []

    async def script(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(3):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(receive(), 0.01)
        late = asyncio.create_task(receive())
        await send({"type": "websocket.send", "text": "now"})
        protocol = receive.__self__
        while not protocol._inbox:
            await asyncio.sleep(0)
        late.cancel()
        await asyncio.wait([late])
        both = [asyncio.create_task(receive()) for _ in range(2)]
        seen.extend([late.cancelled(), sorted([(await one)["text"] for one in both]), protocol._waiters])

    app = App(script)
    async with uvicorn_serving(app) as (port, _):
        client = await RawClient.connect(port)
        assert await client.read() == "now"
        client.text("one")
        client.text("two")
        await until(lambda: app.ends)
    assert (seen, app.ends) == ([True, ["one", "two"], []], [None])


async def test_closing_sends_code_and_reason_and_the_application_hears_the_answer() -> None:
    seen: list[Any] = []

    async def script(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4000, "reason": "enough"})
        seen.append(await receive())
        with pytest.raises(hubbub.Misuse, match="after the connection was closed"):
            await send({"type": "websocket.send", "text": "too late"})
        seen.append("done")

    async with uvicorn_serving(App(script)) as (port, _):
        client = await RawClient.connect(port)
        assert await client.read_close() == (4000, "enough")
        client.send(encode(8, struct.pack("!H", 4000)))
        assert await client.at_end()
        await until(lambda: len(seen) == 2)
        assert (seen[0]["type"], seen[0]["code"]) == ("websocket.disconnect", 4000)


async def test_sending_to_a_client_that_left_raises_an_os_error() -> None:
    async def script(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.close"})  # harmless, as in a `finally`
        await send({"type": "websocket.send", "text": "anyone?"})

    app = App(script)
    async with uvicorn_serving(app) as (port, _):
        (await RawClient.connect(port)).kill()
        await until(lambda: app.ends)
        assert isinstance(app.ends[0], OSError | hubbub.Misuse)


async def test_an_application_that_raises_costs_its_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    async def script(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if scope["path"] == "/early":
            raise RuntimeError("before the answer")
        await send({"type": "websocket.accept"})
        if scope["path"] == "/late":
            raise RuntimeError("after it")
        await send({"type": "websocket.send", "text": "fine"})
        await receive()

    async with uvicorn_serving(App(script)) as (port, _):
        assert (await RawClient.connect(port, "/early")).status == 500
        assert await (await RawClient.connect(port, "/late")).read_close() == (1011, "internal error")
        assert await (await RawClient.connect(port)).read() == "fine"
    text = caplog.text
    assert "before the answer" in text
    assert "after it" in text


async def test_an_application_that_returns_ends_its_connection() -> None:
    async def script(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if scope["path"] == "/accepted":
            await send({"type": "websocket.accept"})

    async with uvicorn_serving(App(script)) as (port, _):
        assert await (await RawClient.connect(port, "/accepted")).read_close() == (1000, "")
        assert (await RawClient.connect(port)).status == 500


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("message", sorted({m for moves in MOVES.values() for m in moves} | {"websocket.bogus"}))
def test_every_stage_takes_what_its_table_says_and_refuses_the_rest(stage: Stage, message: str) -> None:
    if message in MOVES[stage]:
        assert advance(stage, message) is MOVES[stage][message]
    else:
        with pytest.raises(hubbub.Misuse, match=f"{message}'") as caught:
            advance(stage, message)
        assert isinstance(caught.value, RuntimeError), "as other servers raise"


async def test_a_client_that_does_not_read_makes_send_wait() -> None:
    sent: list[int] = []

    async def script(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for number in range(200):
            await send({"type": "websocket.send", "bytes": bytes(100_000)})
            sent.append(number)
        await receive()

    async with uvicorn_serving(App(script)) as (port, _):
        client = await RawClient.dial(port, limit=1024)
        client.send(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await client.read_answer()
        await until(lambda: len(sent) > 2)
        before = -1
        while before != len(sent):  # until it stands still
            before = len(sent)
            await asyncio.sleep(0.05)
        assert len(sent) < 200
        for _ in range(200):
            assert len(await client.read()) == 100_000
        await until(lambda: len(sent) == 200)


async def test_an_application_that_does_not_receive_makes_the_peer_wait_and_loses_nothing() -> None:
    go = asyncio.Event()
    seen: list[str] = []

    async def script(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await go.wait()
        while (message := await receive())["type"] == "websocket.receive":
            seen.append(message["text"])

    async with uvicorn_serving(App(script), ws_max_queue=4) as (port, _):
        client = await RawClient.connect(port)
        for number in range(400):
            client.text(f"{number:050000}")
        await until(lambda: client.writer.transport.get_write_buffer_size() > 0)
        go.set()
        await until(lambda: len(seen) == 400)
        assert seen == [f"{number:050000}" for number in range(400)]


async def test_uvicorns_own_settings_are_obeyed() -> None:
    async with uvicorn_serving(App(echo), ws_max_size=10, ws_ping_interval=0.05, ws_ping_timeout=0.05) as (port, _):
        client = await RawClient.connect(port)
        client.text("x" * 11)
        assert (await client.read_close())[0] == 1009
        silent = await RawClient.connect(port)
        assert (await silent.frame())[0] == 0x89
        assert await silent.read_close() == (1011, "keepalive ping timeout")
        assert await silent.at_end()


async def test_compression_is_uvicorns_setting() -> None:
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    async with uvicorn_serving(App(echo)) as (port, _):
        assert (
            "permessage-deflate" in (await RawClient.connect(port, headers=offer)).headers["sec-websocket-extensions"]
        )
    async with uvicorn_serving(App(echo), ws_per_message_deflate=False) as (port, _):
        assert "sec-websocket-extensions" not in (await RawClient.connect(port, headers=offer)).headers


async def test_a_subclass_brings_its_own_limits() -> None:
    class Small(hubbub.asgi.WebSocketProtocol):
        limits = hubbub.Limits(max_message_size=5)

    async with uvicorn_serving(App(echo), ws=Small) as (port, _):
        client = await RawClient.connect(port)
        client.text("123456")
        assert (await client.read_close())[0] == 1009


async def test_stopping_tells_every_client_1012_and_the_application_too() -> None:
    seen: list[Any] = []

    async def script(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        seen.append(await receive())

    async with uvicorn_serving(App(script)) as (port, server):
        client = await RawClient.connect(port)
        server.should_exit = True
        assert await client.read_close() == (1012, "")
        await until(lambda: seen)  # at once: the client has not answered yet
        assert seen == [{"type": "websocket.disconnect", "code": 1012}]
        client.send(encode(8, struct.pack("!H", 1012)))
        assert await client.at_end()


async def test_a_bad_handshake_behind_uvicorn_is_refused_with_its_cause() -> None:
    async with uvicorn_serving(App(echo)) as (port, _):
        client = await RawClient.dial(port)
        client.send(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 12\r\n\r\n"
        )
        await client.read_answer()
        assert (client.status, client.headers["error"]) == (426, "version")
        assert client.headers["sec-websocket-version"] == "13"


async def test_http_goes_on_beside_it_on_the_same_port(caplog: pytest.LogCaptureFixture) -> None:
    async def script(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            return await echo(scope, receive, send)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    caplog.set_level(logging.WARNING)
    async with uvicorn_serving(script) as (port, _):
        plain = await RawClient.dial(port)
        plain.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await plain.read_answer()
        assert plain.status == 200
        assert (await RawClient.connect(port)).status == 101
