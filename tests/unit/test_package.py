"""What somebody finds who types `hubbub.` into an editor or a prompt."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

import hubbub
from hubbub import native

SEEN = {
    hubbub.Hub: {
        "broadcast",
        "channels",
        "channels_of",
        "close",
        "count",
        "count_everywhere",
        "disconnect",
        "disconnect_everywhere",
        "is_member",
        "join",
        "leave",
        "leave_all",
        "limits",
        "members",
        "overflow",
        "publish",
        "statistics",
    },
    hubbub.Socket: {"buffered", "close", "is_open", "left", "peer", "ping", "subprotocol", "unread", "write"},
    hubbub.Handler: {
        "buffered",
        "close",
        "closed",
        "dropped",
        "handshake",
        "hub",
        "message",
        "opened",
        "ping",
        "write",
    },
    hubbub.Server: {"addresses", "port", "statistics", "stop", "urls"},
    hubbub.Ticket: {"done", "wait"},
    hubbub.Frame: {"opcode", "payload"},
    hubbub.Request: {"cookies", "headers", "path", "peer", "query", "subprotocols", "target"},
    hubbub.Member: {"count", "index", "meta", "socket"},  # the first two are every tuple's
}


def fresh(code: str) -> str:
    """What a new process prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout


@pytest.mark.parametrize("item", SEEN, ids=lambda item: item.__name__)
def test_nothing_is_seen_that_is_not_for_programs(item: type) -> None:
    one = hubbub.Hub() if item is hubbub.Hub else item
    assert {name for name in dir(one) if not name.startswith("_")} == SEEN[item]


def test_the_package_shows_what_it_offers_and_nothing_else() -> None:
    seen = {name for name in dir(hubbub) if not name.startswith("_")}
    assert seen == {*hubbub.__all__, "api", "asgi", "realtime"}
    for name in dir(hubbub):
        assert getattr(hubbub, name, None) is not None, name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        hubbub.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_it_knows_its_version() -> None:
    assert hubbub.__version__ == metadata.version("hubbub")


def test_its_other_parts_need_no_import_of_their_own_and_cost_nothing_before() -> None:
    code = (
        "import sys, hubbub\n"
        "later = ['hubbub.asgi', 'hubbub.realtime', 'hubbub.api', 'importlib.metadata', 'jwt', 'uvicorn']\n"
        "print([name for name in later if name in sys.modules])\n"
        "print(hubbub.asgi.socket.__name__, hubbub.realtime.Realtime.__name__, hubbub.api.api_app.__name__)\n"
    )
    assert fresh(code) == "[]\nsocket Realtime api_app\n"


@pytest.mark.parametrize("module", ["hubbub.hub.statistics", "hubbub.hub.outlet", "hubbub.wire", "hubbub.server.run"])
def test_whatever_is_imported_first_finds_the_compiled_part(module: str) -> None:
    assert fresh(f"import {module}; from hubbub import native; print(native.describe())").strip() == native.describe()
