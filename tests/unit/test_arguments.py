"""Wrong arguments are refused before anything starts, by an error that says what to pass."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import hubbub
from hubbub.wire import close
from support.outlets import MemorySocket


@pytest.fixture(autouse=True)
def sockets() -> Iterator[dict[str, socket.socket]]:
    """Sockets that cannot be listened on, by what is wrong with them."""
    made = {
        "unbound": socket.socket(),
        "unbound unix": socket.socket(socket.AF_UNIX),
        "closed": socket.socket(),
        "datagrams": socket.socket(type=socket.SOCK_DGRAM),
        "bound": socket.socket(),
        "accepting": socket.create_server(("127.0.0.1", 0)),
    }
    made["closed"].close()
    made["datagrams"].bind(("127.0.0.1", 0))
    made["bound"].bind(("127.0.0.1", 0))
    made["connected"] = socket.create_connection(made["accepting"].getsockname())
    yield made
    for one in made.values():
        one.close()


def client_context() -> ssl.SSLContext:
    return ssl.create_default_context()


async def factory() -> hubbub.Handler:
    return hubbub.Handler()


WHERE: list[tuple[dict[str, Any], str]] = [
    ({"port": 70000}, "from 0 to 65535, not 70000"),
    ({"port": -1}, "not -1"),
    ({"port": "4545"}, "not '4545'"),
    ({"port": 4545.0}, "not 4545.0"),
    ({"port": True}, "not True"),
    ({"host": []}, "empty list"),
    ({"host": ""}, "'0.0.0.0' for all of IPv4"),
    ({"host": None}, "'127.0.0.1' for this machine"),
    ({"host": b"127.0.0.1"}, "a name or an address"),
    ({"host": ["127.0.0.1", ""]}, "a name or an address"),
    ({"host": ["127.0.0.1", 1]}, "a name or an address"),
    ({"uds": ""}, "uds is empty"),
    ({"uds": "", "port": 0}, "uds is empty"),
    ({"uds": b"/run/x.sock"}, "the path of a Unix socket"),
    ({"uds": 3}, "the path of a Unix socket"),
    ({"uds": "\0abstract"}, "pass that in `sockets`"),
    ({"uds": "/run/a\0b"}, "zero byte"),
    ({"uds": "/run/" + "x" * 200}, "205 bytes"),
    ({"uds": "/run/" + "ü" * 60}, "125 bytes"),
    ({"uds": "/run/x.sock", "uds_mode": "666"}, "uds_mode is a whole number"),
    ({"uds": "/run/x.sock", "uds_mode": 0o1000}, "uds_mode is a whole number"),
    ({"sockets": "unbound"}, "bind it first"),
    ({"sockets": "unbound unix"}, "bind it first"),
    ({"sockets": "closed"}, "closed"),
    ({"sockets": "datagrams"}, "stream sockets"),
    ({"sockets": "connected"}, "a connection cannot"),
    ({"sockets": "twice"}, "the same one twice"),
    ({"sockets": "alone"}, "a list of bound sockets"),
    ({"sockets": [3]}, "a list of bound sockets, not of 3"),
    ({"sockets": None}, "a list of bound sockets"),
]
WHAT: list[tuple[dict[str, Any], str]] = [
    ({"handler": hubbub.Handler()}, "pass the class Handler"),
    ({"handler": None}, "takes a Handler class"),
    ({"handler": "chat:Chat"}, "takes a Handler class"),
    ({"handler": dict}, "derive it from hubbub.Handler"),
    ({"handler": factory}, "a plain function"),
    ({"hub": hubbub.Hub}, "hub is a hubbub.Hub, not the class Hub itself"),
    ({"hub": "hub"}, "hub is a hubbub.Hub"),
    ({"ssl": True}, "load_cert_chain"),
    ({"ssl": "cert.pem"}, "load_cert_chain"),
    ({"ssl": client_context}, "load_cert_chain"),
    ({"ssl": client_context()}, "a context for clients"),
    ({"limits": {"max_inbox": 1}}, "a hubbub.Limits"),
    ({"limits": hubbub.Limits}, "the class Limits itself"),
    ({"compression": True}, "hubbub.Deflate()"),
    ({"compression": hubbub.Deflate}, "the class Deflate itself"),
    ({"reuse_port": "yes"}, "True or False"),
    ({"allowed_origins": "https://a.example"}, "a list of origins"),
    ({"allowed_origins": ["a.example"]}, 'an origin is such as "https://example.com"'),
    ({"health": "health"}, 'a path such as "/health"'),
    ({"health": True}, "or None, not True"),
]
RUN: list[tuple[dict[str, Any], str]] = [
    ({"workers": "2"}, "workers is a whole number from 1 on, not '2'"),
    ({"workers": 0}, "not 0"),
    ({"workers": True}, "not True"),
    ({"workers": 1.5}, "not 1.5"),
    ({"workers": None}, "not None"),
    ({"workers": 2, "port": 70000}, "from 0 to 65535"),
    ({"workers": 2, "host": []}, "empty list"),
    ({"workers": 2, "ssl": True}, "load_cert_chain"),
    ({"workers": 2, "uds": "/run/x.sock"}, "share a TCP port"),
    ({"workers": 2, "hub": hubbub.Hub()}, "one process"),
    ({"loop": "twisted"}, "auto, uvloop or asyncio"),
    ({"loop": None}, "auto, uvloop or asyncio"),
    ({"started": "yes"}, "started is a function"),
]


def with_sockets(arguments: dict[str, Any], made: dict[str, socket.socket]) -> dict[str, Any]:
    named: Any = arguments.get("sockets")
    if not isinstance(named, str):
        return arguments
    lists: dict[str, Any] = {"twice": [made["bound"], made["bound"]], "alone": made["bound"]}
    return arguments | {"sockets": lists.get(named) or [made.get(named)]}


@pytest.mark.parametrize("call", [hubbub.serve, hubbub.run], ids=lambda call: call.__name__)
@pytest.mark.parametrize(("arguments", "advice"), WHERE + WHAT)
def test_a_server_is_refused_before_it_starts(
    call: Callable[..., Any], arguments: dict[str, Any], advice: str, sockets: dict[str, socket.socket]
) -> None:
    given: dict[str, Any] = {"handler": hubbub.Handler} | with_sockets(arguments, sockets)
    with pytest.raises(hubbub.Misuse) as caught:
        call(given.pop("handler"), **given)
    assert advice in str(caught.value)


@pytest.mark.parametrize(("arguments", "advice"), RUN)
def test_a_program_is_refused_before_it_starts(arguments: dict[str, Any], advice: str) -> None:
    with pytest.raises(hubbub.Misuse) as caught:
        hubbub.run(hubbub.Handler, **arguments)
    assert advice in str(caught.value)


def test_a_program_takes_no_thread_and_no_loop_that_is_somebody_elses() -> None:
    told: list[str] = []

    def call() -> None:
        try:
            hubbub.run(hubbub.Handler, port=0)
        except hubbub.Misuse as error:
            told.append(str(error))

    async def notebook() -> None:
        call()

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    asyncio.run(notebook())
    assert len(told) == 2
    for text in told:
        assert "async with hubbub.serve(Handler) as server" in text
    assert "main thread" in told[0]
    assert "notebook" in told[1]


async def test_what_is_meant_by_other_types_is_taken(tmp_path: Path) -> None:
    class Index:
        def __index__(self) -> int:
            return 0

    path = tmp_path / "x.sock"
    async with hubbub.serve(hubbub.Handler, port=Index(), uds=path, host=("127.0.0.1",)) as server:  # type: ignore[arg-type]
        assert server.addresses[1] == str(path)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"writers": "x"}, "writers is a whole number"),
        ({"writers": 0}, "writers is a whole number"),
        ({"writers": True}, "writers is a whole number"),
        ({"writers": 1.0}, "writers is a whole number"),
        ({"max_writers": "4"}, "max_writers is a whole number"),
        ({"writers": 3, "max_writers": 2}, "1 <= writers <= max_writers"),
        ({"shards": 4}, "shards is a function"),
        ({"overflow": "explode"}, "no overflow policy"),
        ({"overflow": None}, "no overflow policy"),
        ({"overflow": []}, "no overflow policy"),
        ({"limits": {}}, "a hubbub.Limits"),
        ({"limits": 5}, "a hubbub.Limits"),
    ],
)
def test_a_hub_is_refused(arguments: dict[str, Any], advice: str) -> None:
    with pytest.raises(hubbub.Misuse) as caught:
        hubbub.Hub(**arguments)
    assert advice in str(caught.value)


KINDS = {field.name: str(field.type) for field in fields(hubbub.Limits)}


@pytest.mark.parametrize("name", KINDS)
def test_limits_are_numbers(name: str) -> None:
    for value in ("5", True, False, b"5", [5], -1, 0, 0.0, -0.5, math.nan, object(), hubbub.Limits):
        with pytest.raises(hubbub.Misuse, match=rf"Limits\.{name} must be a"):
            hubbub.Limits(**{name: value})
    if "None" in KINDS[name]:
        assert getattr(hubbub.Limits(**{name: None}), name) is None
    else:
        with pytest.raises(hubbub.Misuse, match=rf"Limits\.{name} must be a"):
            hubbub.Limits(**{name: None})


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.startswith("int")])
def test_limits_of_sizes_and_counts_are_whole(name: str) -> None:
    with pytest.raises(hubbub.Misuse, match="a whole number"):
        hubbub.Limits(**{name: 5.5})


async def test_a_time_without_end_is_one_that_can_be_added_up() -> None:
    limits = hubbub.Limits(ping_interval=math.inf, backlog_timeout=math.inf, message_timeout=10**40)
    async with hubbub.serve(hubbub.Handler, port=0, limits=limits) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 101 ")
        writer.close()


@pytest.mark.parametrize("bits", [8, 16, "15", None, 9.0])
def test_windows_are_refused(bits: Any) -> None:
    with pytest.raises(hubbub.Misuse, match="window bits are 9 to 15"):
        hubbub.Deflate(server_window_bits=bits)
    with pytest.raises(hubbub.Misuse, match="window bits are 9 to 15"):
        hubbub.Deflate(client_window_bits=bits)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ((1000, None), "a close reason is text"),
        ((1000, b"bye"), "a close reason is text"),
        ((1000, "\ud800"), "a close reason is text"),
        ((1000, "x" * 124), "123 bytes"),
        (("1000",), "close code"),
        ((True,), "close code"),
        ((1000.0,), "close code"),
        ((1006,), "may not be sent"),
        ((65536,), "may not be sent"),
    ],
)
def test_a_close_is_refused(arguments: Any, advice: str) -> None:
    sending: Any = SimpleNamespace(_end=lambda closed: close(closed.code, closed.text))
    with pytest.raises(hubbub.Misuse, match=advice):
        close(*arguments)
    with pytest.raises(hubbub.Misuse, match=advice):
        hubbub.Socket.close(sending, *arguments)


@pytest.mark.parametrize("wrong", [{"status": "403"}, {"status": 200}, {"status": None}, {"reason": 403}])
def test_a_refusal_is_refused(wrong: Any) -> None:
    with pytest.raises(hubbub.Misuse):
        hubbub.Reject(**wrong)


async def test_a_hub_that_is_given_a_handler_says_what_to_give() -> None:
    hub, handler = hubbub.Hub(), hubbub.Handler()
    handler.socket = MemorySocket()  # type: ignore[assignment]
    for call in (
        lambda: hub.join("room", handler),
        lambda: hub.leave("room", handler),
        lambda: hub.leave_all(handler),
        lambda: hub.is_member("room", handler),
        lambda: hub.channels_of(handler),
        lambda: hub.broadcast("room", "x", exclude=handler),
        lambda: hub.broadcast("room", "x", exclude=[handler]),
    ):
        with pytest.raises(TypeError, match="pass its `socket`"):
            call()
    with pytest.raises(TypeError, match="works with Sockets, not with 5"):
        hub.broadcast("room", "x", exclude=5)
