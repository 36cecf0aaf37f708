"""Every server of the benchmark: how it is had, how it is started, and what it can do.

To add one: write its rooms into `servers/`, and a `Peer` here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import installed
from installed import BUILD, HERE, Missing

SERVERS = HERE / "servers"
PICOWS = ("picows", "picows", "uvloop")  # the environment, whose client measures others, too, and its packages
UVICORN = ("uvicorn", "uvloop", "websockets", "httptools")

ASGI = frozenset({"asgi-raw", "asgi-starlette", "asgi-starlette1"})
SESSIONS = frozenset({"sessions", "sessions16", "sessions-kept", "sessions16-kept", "sessions-many", "sessions-idle"})
LOOPS = frozenset({"accept", "accept8k", "tls-room", "tls-burst16", "tls-handshake", "tls-idle"})

FLOOR, JOINED = "floor in C", "floor in C, joined"
HUBBUB, PURE, BUN, OURS = "hubbub", "hubbub (pure Python)", "Bun", "hubbub sessions"
# A history and positions, for those that read the first, and for Centrifugo.
KEPT = {
    "KEPT": "1",
    "CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_HISTORY_SIZE": "300",
    "CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_HISTORY_TTL": "60s",
    "CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_FORCE_POSITIONING": "true",
    "CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_FORCE_RECOVERY": "true",
}


@dataclass(frozen=True)
class Peer:
    """A server. `command` installs it if need be, and may raise Missing."""

    name: str
    command: Callable[[int], list[str]]
    can: frozenset[str] = frozenset({"room", "echo", "stalled"})
    """What it serves: room, echo, stalled (some members do not read), deflate, tls, asgi, sessions, two (it uses
    two cores)."""
    dialect: str = "plain"
    stalls: bool = True
    """It has an independent timer, and tells of it on SIGUSR2."""
    environment: dict[str, str] = field(default_factory=dict)
    versions: Callable[[], str] = lambda: ""
    only: frozenset[str] | None = None
    """The workloads that it is for; all if None."""
    beside: str = "hubbub"
    """Which of hubbub's it is compared with, to tell who is ahead; none if empty."""


def _ours(script: str) -> Callable[[int], list[str]]:
    return lambda port: [sys.executable, str(SERVERS / script), str(port)]


def _compiled(port: int) -> list[str]:
    """Raises: Missing: hubbub has no compiled part here."""
    probe = "import hubbub.native as native; print(native.active())"
    environment = os.environ | {"HUBBUB_NATIVE": "1"}
    done = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True, check=False)
    if done.stdout.strip() != "True":
        raise Missing("hubbub's compiled part is not built here")
    return _ours("hubbub_room.py")(port)


def _python(name: str, script: str, *requirements: str) -> tuple[Callable[[int], list[str]], Callable[[], str]]:
    def command(port: int) -> list[str]:
        return [str(installed.python(name, *requirements)), str(SERVERS / script), str(port)]

    def versions() -> str:
        return _output([str(installed.python(name, *requirements)), "-m", "pip", "freeze"]).replace("\n", " ")

    return command, versions


def _node(name: str, script: str) -> tuple[Callable[[int], list[str]], Callable[[], str]]:
    def command(port: int) -> list[str]:
        folder = installed.node(name, name)
        return ["env", f"PACKAGES={folder}", str(installed.system("node", "nodejs")), str(SERVERS / script), str(port)]

    def versions() -> str:
        packages = _output(["npm", "ls", "--depth", "0", "--parseable", "--long"], installed.node(name, name))
        return f"node {_output(['node', '--version'])} " + " ".join(
            line.rpartition(":")[2] for line in packages.splitlines()[1:]
        )

    return command, versions


def _output(command: list[str], folder: Path | None = None) -> str:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout.strip()


def _nats(port: int) -> list[str]:
    """Its configuration is a file; without compression, for its clients here ask for none."""
    program = installed.system("nats-server", "nats-server")
    settings = BUILD / "nats.conf"
    settings.write_text(
        "host: 127.0.0.1\nport: -1\nping_interval: 600\nmax_pending: 268435456\nwrite_deadline: 60\n"
        f"websocket {{ host: 127.0.0.1, port: {port}, no_tls: true }}\n"
    )
    return [str(program), "-c", str(settings)]


def _centrifugo(port: int) -> list[str]:
    program = installed.go("centrifugo", "github.com/centrifugal/centrifugo/v6@latest")
    return [
        str(program),
        "--client.insecure",
        "--http_server.address=127.0.0.1",
        f"--http_server.port={port}",
        "--log.level=none",
    ]


def _floor(*words: str) -> Callable[[int], list[str]]:
    return lambda port: [str(BUILD / "floor"), str(port), *words]


def _peers() -> list[Peer]:
    rooms, echoes = frozenset({"room", "stalled"}), frozenset({"room", "echo", "stalled"})
    deflating, full = echoes | {"deflate"}, echoes | {"deflate", "tls"}
    python_peers = [
        ("websockets", "websockets_room.py", full, "plain", ("websockets", "uvloop")),
        ("picows", "picows_room.py", echoes | {"tls"}, "plain", PICOWS[1:]),
        ("socketify", "socketify_room.py", deflating, "plain", ("socketify",)),
        ("Starlette", "starlette_room.py", deflating, "plain", ("starlette", *UVICORN)),
        ("Litestar channels", "litestar_room.py", echoes, "plain", ("litestar", *UVICORN)),
        ("Django Channels", "channels_room.py", echoes, "plain", ("channels", "django", *UVICORN)),
        ("python-socketio", "socketio_room.py", rooms, "socket.io", ("python-socketio", *UVICORN)),
    ]
    found = [
        Peer(FLOOR, _floor(), frozenset({"room", "echo", "deflate", "idle"}), stalls=False, beside=""),
        Peer(JOINED, _floor("join"), frozenset({"room"}), stalls=False, beside=""),
        Peer("floor in C, two threads", _floor("threads"), stalls=False, only=frozenset({"writers"}), beside=""),
        Peer(HUBBUB, _compiled, full | {"two", "sessions"}, environment={"HUBBUB_NATIVE": "1"}, beside=""),
        Peer(PURE, _ours("hubbub_room.py"), full | {"two"}, environment={"HUBBUB_NATIVE": "0"}, beside=""),
        Peer(
            "hubbub on asyncio", _compiled, environment={"HUBBUB_NATIVE": "1", "LOOP": "asyncio"}, only=LOOPS, beside=""
        ),
    ]
    found.append(Peer(OURS, _ours("hubbub_sessions.py"), dialect="centrifuge", only=SESSIONS, beside=""))
    for count, word in (("1", "one writer"), ("2", "two writers")):
        environment = {"HUBBUB_NATIVE": "1", "WRITERS": count}
        found.append(
            Peer(f"hubbub, {word}", _compiled, environment=environment, only=frozenset({"writers"}), beside="")
        )
    found.append(Peer("hubbub in Starlette", _ours("hubbub_starlette.py"), echoes, beside=""))
    found += _in_uvicorn()
    bun = lambda port: [str(installed.bun()), str(SERVERS / "bun_room.mjs"), str(port)]  # noqa: E731
    found.append(Peer(BUN, bun, full, versions=lambda: "bun " + _output([str(installed.bun()), "--version"])))
    for name, script, can, dialect in (
        ("ws", "ws_room.mjs", deflating, "plain"),
        ("socket.io", "socketio_room.mjs", rooms, "socket.io"),
    ):
        command, versions = _node(name, script)
        found.append(Peer(f"{name} on Node", command, can, dialect, versions=versions))
    for name, script, can, dialect, requirements in python_peers:
        command, versions = _python(name.lower().replace(" ", "-"), script, *requirements)
        found.append(Peer(name, command, can, dialect, versions=versions))
    centrifuge = lambda port: [str(installed.go_here("centrifuge", SERVERS / "centrifuge")), str(port)]  # noqa: E731
    found += [
        Peer("centrifuge (Go)", centrifuge, rooms | {"sessions"}, "centrifuge", versions=lambda: _module("centrifuge")),
        Peer("Centrifugo", _centrifugo, rooms | {"sessions"}, "centrifuge", stalls=False),
        Peer("nats-server", _nats, rooms, "nats", stalls=False, versions=lambda: _output(["nats-server", "--version"])),
    ]
    return found


def _in_uvicorn() -> list[Peer]:
    """hubbub as uvicorn's WebSocket implementation, and uvicorn's own, all in the environment of this suite."""
    versions = "import importlib.metadata as m; print(*(p + ' ' + m.version(p) for p in '%s'.split()))"
    found: list[Peer] = []
    for name, loop in (
        ("hubbub", "uvloop"),
        ("hubbub", "asyncio"),
        ("websockets-sansio", "uvloop"),
        ("websockets-sansio", "asyncio"),
        ("websockets", "uvloop"),
        ("wsproto", "uvloop"),
    ):
        packages = "uvicorn starlette uvloop" + ("" if name == "hubbub" else f" {name.partition('-')[0]}")
        found.append(
            Peer(
                f"uvicorn, {name}, {loop}",
                _ours("asgi_echo.py"),
                environment={"HUBBUB_NATIVE": "1", "IMPLEMENTATION": name, "LOOP": loop},
                versions=partial(_output, [sys.executable, "-c", versions % packages]),
                only=ASGI,
                beside="" if name == "hubbub" else f"uvicorn, hubbub, {loop}",
            )
        )
    return found


def _module(name: str) -> str:
    words = (SERVERS / name / "go.mod").read_text().split()
    return f"{_output(['go', 'version'])}, {name} {words[words.index(f'github.com/centrifugal/{name}') + 1]}"


PEERS: dict[str, Peer] = {peer.name: peer for peer in _peers()}
QUICK = (FLOOR, JOINED, HUBBUB, PURE, BUN, "websockets", "picows")
