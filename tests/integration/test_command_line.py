"""The command line, as a person types it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import hubbub
from hubbub import native
from hubbub.cli import app
from hubbub.hub.statistics import fanout
from support.processes import running
from support.serving import Recorder, serving, until

EXAMPLES = Path(__file__).parents[2] / "examples"
HUBBUB = [sys.executable, "-m", "hubbub"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "hubbub", *arguments, **environment)


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=EXAMPLES,
        check=False,
        timeout=30,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **environment},
    )


def test_help_teaches() -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in ("serve", "demo", "doctor", "connect", "load"):
        assert command in done.stdout
    done = run("serve", "--help")
    assert "hubbub serve chat:Chat" in done.stdout
    assert "HUBBUB_PORT" in done.stdout


def test_every_option_is_also_a_variable() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert set(commands) == {"serve", "demo", "doctor", "connect", "load", "publish", "relay", "token"}
    for command in commands.values():
        for parameter in command.params:
            assert str(parameter.envvar).startswith("HUBBUB_"), f"{command.name} {parameter.name}"


def test_it_says_its_version() -> None:
    assert re.fullmatch(r"hubbub \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["serve", "chat"], "not of the form module:name"),
        (["serve", "nothing:Chat"], "no module 'nothing'"),
        (["serve", "chat:Chad"], "it has Chat"),
        (["serve", "chat:json"], "chat:json is neither a Handler class nor an ASGI application, but a module"),
        (["serve", "chat:Chat", "--allowed-origin", "example.com"], 'an origin is such as "https://example.com"'),
        (
            ["serve", "fastapi_chat:app", "--allowed-origin", "example.com"],
            'an origin is such as "https://example.com"',
        ),
        (["serve", "chat:Chat", "--limit", "max_size=1"], "no limit 'max_size'"),
        (["serve", "chat:Chat", "--limit", "max_inbox=many"], "is a number"),
        (["serve", "chat:Chat", "--limit", "max_inbox=0"], "above zero"),
        (["serve", "chat:Chat", "--workers", "2"], "one process"),
        (["serve", "chat:Chat", "--hub", "chat:Chat"], "is not a Hub"),
        (["serve", "chat:Chat", "--loop", "twisted"], "auto, uvloop or asyncio"),
        (["serve", "fastapi_chat:app", "--loop", "twisted"], "auto, uvloop or asyncio"),
        (["serve", "chat:Chat", "--log-level", "loud"], "no log level"),
        (["serve", "chat:Chat", "--host", "nowhere.invalid"], "cannot listen on nowhere.invalid:4545"),
        (["serve", "chat:Chat", "--ssl-keyfile", "chat.py"], "goes with --ssl-certfile"),
        (["serve", "fastapi_chat:app", "--ssl-keyfile", "chat.py"], "goes with --ssl-certfile"),
        (["serve", "chat:Chat", "--ssl-certfile", "chat.py"], "chat.py alone: no certificate"),
        (["serve", "chat:Chat", "--host", "192.0.2.1"], "cannot listen on 192.0.2.1:4545"),
        (["serve", "fastapi_chat:app", "--host", "192.0.2.1"], "0.0.0.0 is all of its IPv4"),
        (["serve", "chat:Chat", "--host", ""], "'0.0.0.0' for all of IPv4"),
        (["serve", "fastapi_chat:app", "--host", ""], "'0.0.0.0' for all of IPv4"),
        (["serve", "chat:Chat", "--uds", ""], "uds is empty"),
        (["serve", "fastapi_chat:app", "--uds", ""], "uds is empty"),
        (["serve", "fastapi_chat:app", "--uds", "/missing/x.sock"], "its folder has to be made first"),
        (["serve", "chat:Chat", "--uds", "x.sock", "--uds-mode", "888"], "three octal digits"),
        (["serve", "fastapi_chat:app", "--uds", "x.sock", "--uds-mode", "rw"], "three octal digits"),
        (["connect", "127.0.0.1:1"], "cannot connect"),
        (["connect", "ftp://127.0.0.1"], "isn't a valid URI"),
        (["connect", "unix:/missing/x.sock"], "cannot connect to unix:/missing/x.sock"),
        (["connect", "ws://127.0.0.1:1", "--header", "nonsense"], "Name: value"),
    ],
)
def test_mistakes_are_answered_with_what_to_do(arguments: list[str], complaint: str) -> None:
    done = run(*arguments)
    assert done.returncode != 0
    text = " ".join((done.stdout + done.stderr).replace("│", " ").split())
    assert complaint in text
    assert "Traceback" not in text


SERVERS = ["serve chat:Chat", "serve chat:Chat --workers 2 --broker local:", "serve fastapi_chat:app", "serve", "demo"]
PROGRAM = "import sys; sys.path.insert(0, '.'); import hubbub; from chat import Chat; hubbub.run(Chat, port={port})"


@pytest.mark.parametrize("command", [*SERVERS, "run"])
def test_a_port_in_use_is_answered_with_what_to_do(command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        if command == "run":
            done = python("-c", PROGRAM.format(port=port))
        else:
            done = run(*command.split(), HUBBUB_PORT=str(port))
    assert done.returncode != 0
    expected = (
        f"cannot listen on 127.0.0.1:{port}: Address already in use: stop the program that does,"
        " or choose another with --port, or port= in Python"
    )
    assert expected in done.stderr.strip().splitlines()[-1]
    assert ("Traceback" in done.stderr) == (command == "run")


KUBERNETES = {
    "HUBBUB_PORT": "tcp://10.0.0.1:4545",
    "HUBBUB_SERVICE_HOST": "10.0.0.1",
    "HUBBUB_SERVICE_PORT": "4545",
    "HUBBUB_SERVICE_PORT_HTTP": "4545",
    "HUBBUB_PORT_4545_TCP": "tcp://10.0.0.1:4545",
    "HUBBUB_PORT_4545_TCP_PROTO": "tcp",
    "HUBBUB_PORT_4545_TCP_PORT": "4545",
    "HUBBUB_PORT_4545_TCP_ADDR": "10.0.0.1",
}


def test_no_option_but_the_port_has_a_variable_of_the_form_that_kubernetes_sets() -> None:
    commands = get_command(app).commands.values()  # type: ignore[attr-defined]
    variables = {str(parameter.envvar) for command in commands for parameter in command.params}
    assert variables & KUBERNETES.keys() == {"HUBBUB_PORT"}
    # nor that of a service whose name begins alike, such as hubbub-load
    assert not [name for name in variables - {"HUBBUB_PORT"} if re.search(r"_(PORT|SERVICE_HOST|PORT_\w+_TCP)$", name)]


@pytest.mark.parametrize("target", ["chat:Chat", "fastapi_chat:app"])
async def test_what_kubernetes_sets_for_a_service_of_this_name_stops_no_start(target: str, tmp_path: Path) -> None:
    path = tmp_path / "x.sock"  # for the port that is left is one that others may have
    async with running(
        [*HUBBUB, "serve", target, "--uds", str(path)], cwd=EXAMPLES, env=KUBERNETES, stderr=asyncio.subprocess.PIPE
    ) as server:
        await listening_line(server)
        server.terminate()
        _, errors = await asyncio.wait_for(server.communicate(), 10)
        assert server.returncode == 0
    (line,) = errors.decode().splitlines()
    assert line.startswith("hubbub: HUBBUB_PORT=tcp://10.0.0.1:4545 is no port, but what Kubernetes sets")


async def listening_line(server: asyncio.subprocess.Process) -> str:
    assert server.stdout is not None
    async with asyncio.timeout(20):
        while True:
            line = (await server.stdout.readline()).decode()
            assert line, "the server ended"
            if "listening on" in line:
                return line.rstrip("\n")


@pytest.mark.parametrize("target", ["chat:Chat", "fastapi_chat:app"])
async def test_where_there_is_no_terminal_each_record_is_one_line_with_its_date(target: str, tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 8)
    folder.mkdir()
    path = folder / "x.sock"
    dated = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ [A-Z]+ (hubbub|uvicorn): \S.*")
    async with running([*HUBBUB, "serve", target, "--uds", str(path)], cwd=EXAMPLES) as server:
        line = await listening_line(server)
        assert f"INFO hubbub: listening on unix:{path} (" in line  # not wrapped at 80 columns
        server.terminate()
        out, _ = await asyncio.wait_for(server.communicate(), 10)
    lines = [line, *out.decode().splitlines()]
    assert all(dated.fullmatch(line) for line in lines)
    assert any("uvicorn: " in line for line in lines) == (target == "fastapi_chat:app")
    shown = run("doctor").stdout
    for word in line.rpartition("(")[2].rstrip(")").split(", "):  # what the start says, doctor says, too
        assert word in shown


def test_doctor_wraps_nothing_where_there_is_no_terminal() -> None:
    done = run("doctor", HUBBUB_NATIVE="0", COLUMNS="40")
    assert any("pure Python: HUBBUB_NATIVE=0 says so" in line for line in done.stdout.splitlines())


def test_a_module_that_imports_what_is_missing_is_not_missing_itself(tmp_path: Path) -> None:
    (tmp_path / "chat_of_mine.py").write_text("import chat_of\n")
    done = run("serve", "chat_of_mine:Chat", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "No module named 'chat_of'" in done.stderr
    assert "no module 'chat_of_mine'" not in done.stderr


def test_a_compiled_part_that_is_demanded_and_missing_is_never_missed_in_silence(tmp_path: Path) -> None:
    without = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(Path(hubbub.__file__).parent, tmp_path / "hubbub", ignore=without)
    here = {"PYTHONPATH": str(tmp_path)}
    for command in (["serve", "chat:Chat"], ["serve", "fastapi_chat:app"], ["demo"]):
        done = run(*command, HUBBUB_NATIVE="1", **here)
        assert done.returncode != 0
        assert "demands the compiled part" in done.stderr
        assert "Traceback" not in done.stderr
    assert "demands the compiled part" in " ".join(run("doctor", HUBBUB_NATIVE="1", **here).stdout.split())
    found = " ".join(run("doctor", HUBBUB_NATIVE="", **here).stdout.split())
    assert "pure Python: the compiled part was not built" in found
    assert "install a C compiler" in found


def test_the_choice_of_the_twin_is_shown() -> None:
    assert "pure Python" in run("doctor", HUBBUB_NATIVE="0").stdout
    assert "is 0 (pure Python) or 1" in " ".join(run("doctor", HUBBUB_NATIVE="yes").stdout.split())
    found = " ".join(run("doctor").stdout.split())
    assert native.describe() in found
    writers = f"at most {len(os.sched_getaffinity(0))} for a hub" if fanout is not None else "the event loop alone"
    assert writers in found


def test_doctor_speaks_json_too() -> None:
    findings = json.loads(run("doctor", "--json").stdout)
    names = {finding["name"] for finding in findings}
    assert {"hubbub", "Python", "event loop", "frames", "fan-out", "sockets", "connections"} <= names


@pytest.mark.parametrize("target", ["chat:Chat", "fastapi_chat:app"])
async def test_serve_serves_and_connect_connects(target: str, tmp_path: Path) -> None:
    path = "/rooms/a" if "app" in target else "/"
    async with running(
        [*HUBBUB, "serve", target, "--limit", "max_backlog=50000"],
        cwd=EXAMPLES,
        env={"HUBBUB_PORT": "0", "COLUMNS": "200"},
        stderr=asyncio.subprocess.STDOUT,
    ) as server:
        assert server.stdout is not None
        found = None
        async with asyncio.timeout(20):
            while found is None:
                line = await server.stdout.readline()
                assert line, "the server ended"
                found = re.search(rb"(?:ws|http)://127.0.0.1:(\d+)", line)
        url = f"ws://127.0.0.1:{int(found[1])}{path}"
        async with running([*HUBBUB, "connect", url], stdin=asyncio.subprocess.PIPE, env={"COLUMNS": "200"}) as client:
            lines = b"/ping\nhello\n" if "app" in target else b'/ping\n{"join": "a"}\n{"say": "hello", "to": "a"}\n'
            async with asyncio.timeout(20):
                out, _ = await client.communicate(lines)
        text = out.decode()
        assert "connected to" in text
        assert "pong after" in text
        assert "hello" in text
        assert "closed with 1000" in text
        assert client.returncode == 0


async def test_connect_shows_what_happens() -> None:
    class Server(Recorder):
        def handshake(self, request: hubbub.Request) -> str | None:
            if request.path == "/refuse":
                raise hubbub.Reject("no_entry", status=403)
            return request.subprotocols[0] if request.subprotocols else None

        def message(self, data: str | bytes) -> None:
            super().message(data)
            if data == "close":
                self.close(4001, "as you\x1b[31m wish")
            else:
                self.write(data)

    handler = Server.fresh()
    async with serving(handler) as server:
        url = f"ws://127.0.0.1:{server.port}"

        async def connect(path: str, lines: bytes, *options: str) -> tuple[int | None, str]:
            command = [*HUBBUB, "connect", url + path, *options]
            async with running(command, stdin=asyncio.subprocess.PIPE, env={"COLUMNS": "200"}) as client:
                async with asyncio.timeout(20):
                    out, _ = await client.communicate(lines)
                return client.returncode, out.decode()

        lines = b"/binary 00ff1b\nesc\x1b[2J\n/binary zz\n/close 999\nclose\n"
        code, out = await connect("/", lines, "--subprotocol", "chat")
        assert "subprotocol chat" in out
        assert "00 ff 1b (3 bytes)" in out
        assert "\x1b" not in out.replace("\x1b[", "")  # whatever colours there are, nothing of the peer's
        assert "\\x1b[2J" in out
        assert "no close code '999'" in out
        assert "closed with 4001" in out
        assert code == 1
        code, out = await connect("/refuse", b"")
        assert "HTTP 403, no_entry" in out
        assert code == 1
        await until(lambda: len(handler.everyone) == 2)
        assert handler.everyone[0].messages[0] == b"\x00\xff\x1b"


def test_without_its_extra_the_command_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys; sys.modules['typer'] = None; from hubbub.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert "pip install 'hubbub[serve]'" in done.stderr
