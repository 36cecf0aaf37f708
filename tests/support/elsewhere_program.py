"""python -m support.elsewhere_program windows|macos|here: what hubbub does not do there, told as JSON by check.

The first two are played (see `elsewhere.py`), the last one is the system that this runs on, whatever that is.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import signal
import ssl
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trustme
import uvicorn

from support import elsewhere
from support.client import RawClient, encode

CA = trustme.CA()
Check = Callable[[], None]


def every_module_can_be_imported() -> None:
    failed = {}
    for name in elsewhere.names():
        if name != "hubbub.asgi.gunicorn":  # gunicorn is not for Windows
            try:
                importlib.import_module(name)
            except Exception as error:
                failed[name] = repr(error)
    assert not failed, failed


def served(loop: Callable[[], asyncio.AbstractEventLoop], tls: bool) -> None:
    ran(loop, conversation(tls))


def ran(loop: Callable[[], asyncio.AbstractEventLoop], what: Coroutine[Any, Any, None]) -> None:
    complaints: list[Any] = []
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        runner.run(asyncio.wait_for(what, 20))
    assert not complaints, complaints


async def conversation(tls: bool) -> None:
    """An echo, of a message larger than any buffer as well; a room; one who does not read; an orderly end."""
    import hubbub

    hub = hubbub.Hub()
    ended: list[hubbub.Closed] = []

    class Echo(hubbub.Handler):
        def message(self, data: str | bytes) -> None:
            if data == "join":
                hub.join("room", self.socket)
            self.socket.write(data)

        def closed(self, reason: hubbub.Closed) -> None:
            ended.append(reason)

    contexts = secured() if tls else (None, None)
    limits = hubbub.Limits(max_backlog=1 << 20, max_message_size=1 << 22)
    async with hubbub.serve(Echo, hub=hub, port=0, ssl=contexts[0], limits=limits) as server:
        settings = {"ssl": contexts[1]} if tls else {}
        one, other, stalled = [await RawClient.connect(server.port, **settings) for _ in range(3)]
        assert one.status == 101
        for text in ("hello", "x" * (1 << 21)):
            one.text(text)
            assert await one.read() == text
        for client in (one, other, stalled):
            client.text("join")
            assert await client.read() == "join"
        for number in range(3):
            assert hub.broadcast("room", str(number)) == 3
        assert [await client.read() for client in (one, other) for _ in range(3)] == [*"012", *"012"]
        await one_who_does_not_read(hub, (one, other), ended)
        assert (await one.close(1000))[0] == 1000
        stopping = asyncio.create_task(server.stop())
        assert (await other.read_close())[0] == 1001
        other.send(encode(8, (1001).to_bytes(2)))
        await stopping
    assert {reason.cause for reason in ended} == {"overflow", "client", "shutdown"}, ended


async def one_who_does_not_read(hub: Any, readers: Any, ended: list[Any]) -> None:
    text = "y" * (1 << 18)
    for _ in range(200):
        hub.broadcast("room", text)
        for client in readers:
            assert await client.read() == text
        if ended:
            return
    raise AssertionError("it was never cut")


def in_a_framework(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    ran(loop, application())


async def application() -> None:
    """An ASGI application on uvicorn, with hubbub as its WebSockets and a room."""
    import hubbub
    import hubbub.asgi

    hub = hubbub.Hub()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        hub.join("room", hubbub.asgi.socket(scope))
        while (event := await receive())["type"] == "websocket.receive":
            hub.broadcast("room", event["text"])

    settings = {"ws": "hubbub.asgi:WebSocketProtocol", "lifespan": "off", "log_config": None, "port": 0}
    server = uvicorn.Server(uvicorn.Config(app, **settings))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    client = await RawClient.connect(server.servers[0].sockets[0].getsockname()[1])
    client.text("hello")
    assert await client.read() == "hello"
    assert (await client.close())[0] == 1000
    server.should_exit = True
    await serving


def with_sessions(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    ran(loop, session())


async def session() -> None:
    """A session of the Centrifuge protocol on the bare server: it connects, subscribes, and gets what is published."""
    import hubbub
    from hubbub.realtime import Realtime

    rt = Realtime(insecure=True)
    async with hubbub.serve(rt.handler, hub=rt.hub, port=0) as server:
        client = await RawClient.connect(server.port)
        client.text('{"id":1,"connect":{}}')
        assert '"connect"' in str(await client.read())
        client.text('{"id":2,"subscribe":{"channel":"news"}}')
        assert '"subscribe"' in str(await client.read())
        await rt.publish("news", {"text": "hello"})
        assert '{"text":"hello"}' in str(await client.read())
        assert (await client.close())[0] == 1000
    await rt.close()


def secured() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.issue_cert("127.0.0.1").configure_cert(server)
    CA.configure_trust(client)
    return server, client


def run_ends_with_a_signal() -> None:
    import hubbub

    def started(server: Any) -> None:
        threading.Timer(0.05, signal.raise_signal, (signal.SIGTERM,)).start()

    before = signal.getsignal(signal.SIGTERM)
    hubbub.run(hubbub.Handler, port=0, loop="asyncio", started=started)
    assert signal.getsignal(signal.SIGTERM) == before


def what_cannot_be_is_refused_in_words() -> None:
    import hubbub
    from hubbub.load import Plan
    from hubbub.load import run as load

    handler = hubbub.Handler
    attempts: list[Check] = [
        lambda: hubbub.serve(handler, uds="/tmp/hubbub.sock") and None,
        lambda: hubbub.serve(handler, port=0, reuse_port=True) and None,
        lambda: hubbub.run(handler, port=0, workers=2),
        *(lambda url=url: hubbub.Hub(broker=url) and None for url in ("local:", "sqlite:x.db", "unix:///x")),  # type: ignore[misc]
        lambda: load(Plan(url="ws://127.0.0.1:1"), lambda _: None) and None,
    ]
    for attempt in attempts:
        with pytest.raises(hubbub.Misuse, match="not on Windows"):
            attempt()


def doctor_tells(said_at_the_start: str, **expected: str) -> None:
    from hubbub import native
    from hubbub.cli.doctor import findings

    assert native.describe() == said_at_the_start
    found = {finding.name: finding for finding in findings()}
    for part, said in expected.items():
        name = part.replace("_", "-")
        assert found[name].value == said, found[name]
        assert not found[name].advice, found[name]


NOTHING = "pure Python: nothing is compiled for Windows"
WINDOWS: dict[str, Check] = {
    "every module can be imported": every_module_can_be_imported,
    "serves on the selector loop": lambda: served(elsewhere.selector_loop, False),
    "serves on the proactor loop": lambda: served(elsewhere.proactor_loop, False),
    "serves an application": lambda: in_a_framework(elsewhere.proactor_loop),
    "serves sessions": lambda: with_sessions(elsewhere.proactor_loop),
    "serves TLS on the selector loop": lambda: served(elsewhere.selector_loop, True),
    "serves TLS on the proactor loop": lambda: served(elsewhere.proactor_loop, True),
    "run ends with a signal": run_ends_with_a_signal,
    "what cannot be is refused in words": what_cannot_be_is_refused_in_words,
    "doctor tells": lambda: doctor_tells(NOTHING, frames=NOTHING, fan_out=NOTHING, sockets=NOTHING),
}
ALONE = "pure Python: it is compiled on Linux alone"
MACOS: dict[str, Check] = {
    "every module can be imported": every_module_can_be_imported,
    "serves": lambda: served(asyncio.SelectorEventLoop, False),
    "serves TLS": lambda: served(asyncio.SelectorEventLoop, True),
    "serves an application": lambda: in_a_framework(asyncio.SelectorEventLoop),
    "serves sessions": lambda: with_sessions(asyncio.SelectorEventLoop),
    "run ends with a signal": run_ends_with_a_signal,
    "doctor tells": lambda: doctor_tells(
        "compiled, but for fan-out and sockets", frames="compiled", fan_out=ALONE, sockets=ALONE
    ),
}
LINUX: dict[str, Check] = MACOS | {
    "doctor tells": lambda: doctor_tells("compiled", frames="compiled", fan_out="compiled", sockets="compiled")
}
HERE = {"win32": WINDOWS, "darwin": MACOS}.get(sys.platform, LINUX)
SYSTEMS = {
    "windows": (elsewhere.be_windows, WINDOWS),
    "macos": (elsewhere.be_macos, MACOS),
    "here": (lambda: None, HERE),
}


def tried(check: Check) -> str:
    try:
        check()
    except BaseException:
        return traceback.format_exc()
    return ""


if __name__ == "__main__":
    change, checks = SYSTEMS[sys.argv[1]]
    change()
    wrong = {name: tried(check) for name, check in checks.items()}
    print(json.dumps(wrong, indent=2))
    sys.exit(any(wrong.values()))
