"""In the place of uvicorn's own WebSocket implementations: what servers, logs and clients see stays as they know it."""

from __future__ import annotations

import asyncio
import logging
import logging.config
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

import hubbub
import hubbub.asgi
from support.asgi_servers import uvicorn_serving
from support.client import HEAD, RawClient, encode
from support.serving import until

BOTH_LOOPS = True
OURS_AND_ITS_OWN = pytest.mark.parametrize(
    "ws", [hubbub.asgi.WebSocketProtocol, "websockets-sansio", "wsproto"], ids=["hubbub", "sansio", "wsproto"]
)


class Panic(BaseException):
    """What a compiled extension may raise."""


@pytest.fixture(scope="module", params=["plain", "tls"])
def link(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Any]:
    """uvicorn's settings, and the client's TLS context."""
    if request.param == "plain":
        return {}, None
    authority, folder = trustme.CA(), tmp_path_factory.mktemp("tls")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return {"ssl_keyfile": str(folder / "key.pem"), "ssl_certfile": str(folder / "cert.pem")}, context


async def accepted(receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})


# What an application lets out

LETS_OUT = {
    "an exception": ValueError("boom"),
    "a panic": Panic("boom"),
    "a group of panics": BaseExceptionGroup("all", [Panic("boom")]),
    "GeneratorExit": GeneratorExit(),
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "a cancellation": asyncio.CancelledError(),
    "another connection's end": hubbub.Disconnected("it was not this client"),
}


@pytest.mark.parametrize("error", LETS_OUT.values(), ids=LETS_OUT)
async def test_whatever_an_application_lets_out_costs_its_own_connection(
    error: BaseException, link: tuple[dict[str, Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/before":
            raise error
        await accepted(receive, send)
        if scope["path"] == "/after":
            raise error
        await receive()

    settings, tls = link
    async with uvicorn_serving(app, **settings) as (port, _):
        other = await RawClient.connect(port, ssl=tls)
        before = await RawClient.connect(port, "/before", ssl=tls)
        assert (before.status, before.headers["content-type"]) == (500, "text/plain; charset=utf-8")
        assert await before.reader.readexactly(21) == b"Internal Server Error"
        assert await (await RawClient.connect(port, "/after", ssl=tls)).read_close() == (1011, "internal error")
        assert await other.close() == (1000, "")
    records = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [(record.name, record.getMessage()) for record in records] == [
        ("uvicorn.error", "Exception in ASGI application")
    ] * 2
    assert all(record.exc_info is not None and record.exc_info[1] is error for record in records)


@OURS_AND_ITS_OWN
async def test_an_application_that_fails_in_the_middle_of_denying_has_said_its_status(ws: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 404, "headers": [(b"content-length", b"9")]})
        if scope["path"] == "/raises":
            raise ValueError("boom")

    if ws == "websockets-sansio":
        pytest.skip("it answers nothing here")
    async with uvicorn_serving(app, ws=ws) as (port, _):
        assert (await RawClient.connect(port)).status == 404
        assert (await RawClient.connect(port, "/raises")).status == 404


# How the end is told


Ends = dict[str, tuple[Any, dict[str, Any]]]
ENDS: Ends = {
    "a fault of the client": (
        lambda client: client.send(encode(1, b"\xff")),
        {"code": 1007, "reason": "text that is not UTF-8"},
    ),
    "the client's close": (lambda client: client.send(encode(8, b"\x0f\xa0bye")), {"code": 4000, "reason": "bye"}),
    "the client's close without a code": (lambda client: client.send(encode(8, b"")), {"code": 1005, "reason": ""}),
    "no end of the client's": (lambda client: client.text("close"), {"code": 4001, "reason": ""}),
}


@pytest.mark.parametrize(("end", "told"), ENDS.values(), ids=ENDS)
async def test_an_application_is_told_at_once_while_the_client_does_nothing(
    end: Any, told: dict[str, Any], link: tuple[dict[str, Any], Any]
) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accepted(receive, send)
        socket = hubbub.asgi.socket(scope)
        message = await receive()
        if message["type"] == "websocket.receive":
            await send({"type": "websocket.close", "code": 4001})
            message = await receive()
        seen.append((message, socket.is_open))

    settings, tls = link
    async with uvicorn_serving(app, **settings) as (port, _):
        client = await RawClient.connect(port, ssl=tls)
        end(client)
        await until(lambda: seen, seconds=2)
    message, is_open = seen[0]
    assert not is_open
    assert message["type"] == "websocket.disconnect"
    assert message["code"] == told["code"]
    if told["code"] != 1007:
        assert message["reason"] == told["reason"]


@OURS_AND_ITS_OWN
@pytest.mark.parametrize("answer", ["close", "response"])
async def test_who_has_denied_a_connection_hears_of_its_end_at_once(ws: Any, answer: str) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if answer == "close":
            await send({"type": "websocket.close"})
        else:
            await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b""})
        seen.append(await receive())

    async with uvicorn_serving(app, ws=ws) as (port, _):
        await RawClient.connect(port)
        await until(lambda: seen, seconds=2)
    assert seen == [{"type": "websocket.disconnect", "code": 1006}]


async def test_a_stopping_server_waits_for_no_answer_to_a_close_that_is_out() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accepted(receive, send)
        await send({"type": "websocket.close", "code": 1000})

    async with uvicorn_serving(app) as (port, server):
        client = await RawClient.connect(port)
        assert await client.read_close() == (1000, "")
        assert len(server.server_state.connections) == 1
        server.should_exit = True
        await until(lambda: not server.server_state.connections, seconds=2)
        assert await client.at_end()


# The log


@pytest.fixture
def usual_logging(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """As a program sets it up that thinks of its server's loggers and its own, and of no others."""
    manager = logging.Logger.manager.loggerDict
    before = {name: known.disabled for name, known in manager.items() if isinstance(known, logging.Logger)}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": True,
            "loggers": {"uvicorn": {"level": "INFO"}, "uvicorn.error": {"level": "INFO"}},
        }
    )
    assert logging.getLogger("hubbub").disabled
    yield caplog
    for name, disabled in before.items():
        logging.getLogger(name).disabled = disabled


@OURS_AND_ITS_OWN
async def test_the_log_has_the_lines_that_it_always_had(ws: Any, usual_logging: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if scope["path"] == "/denied":
            return await send({"type": "websocket.close"})
        if scope["path"] == "/in words":
            await send({"type": "websocket.http.response.start", "status": 402, "headers": []})
            return await send({"type": "websocket.http.response.body", "body": b""})
        await send({"type": "websocket.accept"})
        raise ValueError("boom")

    async with uvicorn_serving(app, ws=ws) as (port, _):
        usual_logging.clear()
        ports = []
        for path in ("/denied", "/in%20words?x=%20", "/"):
            client = await RawClient.connect(port, path)
            ports.append(client.writer.get_extra_info("sockname")[1])
            client.kill()
        await until(lambda: "boom" in usual_logging.text)
    # uvicorn has stopped, so that all connections have ended
    lines = [(r.name, r.levelname, r.getMessage().strip()) for r in usual_logging.records]
    wanted = [
        ("INFO", f'127.0.0.1:{ports[0]} - "WebSocket /denied" 403'),
        ("INFO", f'127.0.0.1:{ports[1]} - "WebSocket /in%20words?x=%20" 402'),
        ("INFO", f'127.0.0.1:{ports[2]} - "WebSocket /" [accepted]'),
        ("ERROR", "Exception in ASGI application"),
    ]
    if ws is hubbub.asgi.WebSocketProtocol:  # which of its own say this differs between versions
        wanted += [("INFO", "connection open"), ("INFO", "connection closed")]
    assert [line for line in wanted if ("uvicorn.error", *line) not in lines] == []
    error = next(record for record in usual_logging.records if record.getMessage().startswith("Exception"))
    assert error.exc_info is not None
    assert type(error.exc_info[1]) is ValueError


# Requests


@OURS_AND_ITS_OWN
async def test_a_head_that_uvicorn_takes_is_taken(ws: Any, link: tuple[dict[str, Any], Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accepted(receive, send)
        await send({"type": "websocket.send", "text": str(len(dict(scope["headers"])[b"cookie"]))})
        await receive()

    settings, tls = link
    async with uvicorn_serving(app, ws=ws, **settings) as (port, _):
        many = "".join(f"X-{number}: {number}\r\n" for number in range(80))
        large = f"Cookie: {'c' * 7000}\r\nAuthorization: Bearer {'t' * 4000}\r\n{many}"
        client = await RawClient.connect(port, headers=large, ssl=tls)
        assert (client.status, await client.read()) == (101, "7000")


async def test_an_application_may_take_longer_to_accept_than_a_handshake_may() -> None:
    class Quick(hubbub.asgi.WebSocketProtocol):
        limits = hubbub.Limits(handshake_timeout=0.02)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.sleep(0.3)
        await send({"type": "websocket.accept"})
        await receive()

    async with uvicorn_serving(app, ws=Quick) as (port, _):
        assert (await RawClient.connect(port)).status == 101


@pytest.mark.parametrize("setting", ["ws_max_queue", "ws_ping_interval", "ws_ping_timeout", "ws_max_size"])
@pytest.mark.parametrize("value", [0, None])
async def test_settings_of_nothing_cost_no_connection(setting: str, value: int | None) -> None:
    if setting == "ws_max_size" and value == 0:
        pytest.skip("then every message is too large")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accepted(receive, send)
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})

    async with uvicorn_serving(app, **{setting: value}) as (port, _):
        client = await RawClient.connect(port)
        for number in range(100):
            client.text(str(number))
        assert [await client.read() for _ in range(100)] == [str(number) for number in range(100)]


@OURS_AND_ITS_OWN
async def test_of_text_and_bytes_the_bytes_count_if_there_are_any(ws: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accepted(receive, send)
        await send({"type": "websocket.send", "text": "", "bytes": b"x"})
        await send({"type": "websocket.send", "text": None, "bytes": b""})
        await send({"type": "websocket.send", "text": "", "bytes": None})
        await send({"type": "websocket.send", "text": ""})
        await send({"type": "websocket.send", "bytes": bytearray(b"y")})
        await receive()

    async with uvicorn_serving(app, ws=ws) as (port, _):
        client = await RawClient.connect(port)
        assert [await client.read() for _ in range(5)] == [b"x", b"", "", "", b"y"]


# The connection before the upgrade


@OURS_AND_ITS_OWN
async def test_an_upgrade_behind_an_answer_that_is_not_read_yet_waits_its_turn(
    ws: Any, link: tuple[dict[str, Any], Any]
) -> None:
    size = 8 << 20

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
            return await send({"type": "http.response.body", "body": b"B" * size})
        await accepted(receive, send)
        for number in range(3):
            await send({"type": "websocket.send", "text": f"message {number}"})
        assert (await receive())["text"] == "answer"
        await send({"type": "websocket.send", "text": "heard"})

    settings, tls = link
    async with uvicorn_serving(app, ws=ws, **settings) as (port, server):
        client = await RawClient.dial(port, ssl=tls, limit=1024)
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.read_answer()
        client.send(HEAD.format(path="/").encode() + b"\r\n")
        await until(lambda: any(ws_like(each) for each in server.server_state.connections))
        await asyncio.sleep(0.05)  # time to do it wrong
        assert await client.reader.readexactly(size) == b"B" * size
        await client.read_answer()
        assert client.status == 101
        assert [await client.read() for _ in range(3)] == [f"message {number}" for number in range(3)]
        client.text("answer")
        assert await client.read() == "heard"


def ws_like(connection: Any) -> bool:
    return "websockets" in type(connection).__module__ or isinstance(connection, hubbub.asgi.WebSocketProtocol)


async def test_a_client_that_never_reads_that_answer_is_cut() -> None:
    class Quick(hubbub.asgi.WebSocketProtocol):
        limits = hubbub.Limits(backlog_timeout=0.1)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            return await send({"type": "http.response.body", "body": bytes(16 << 20)})
        await receive()
        with pytest.raises(hubbub.Disconnected):
            await send({"type": "websocket.accept"})
        ended.set()

    ended = asyncio.Event()
    async with uvicorn_serving(app, ws=Quick) as (port, _):
        client = await RawClient.dial(port, limit=1024)
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + HEAD.format(path="/").encode() + b"\r\n")
        async with asyncio.timeout(5):
            await ended.wait()
