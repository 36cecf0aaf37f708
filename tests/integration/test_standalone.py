"""`hubbub serve` without a module: the whole server, as a program."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from support.processes import running

pytest.importorskip("prometheus_client")

HUBBUB = [sys.executable, "-m", "hubbub"]
SECRET = "0123456789abcdef0123456789abcdef"
KEY = {"X-API-Key": "key"}
CONFIG = f"""
[client.token]
hmac_secret_key = "{SECRET}"
[client.subscribe_to_user_personal_channel]
enabled = true
[http_api]
key = "key"
[channel.without_namespace]
[[channel.namespaces]]
name = "chat"
presence = true
join_leave = true
history_size = 100
history_ttl = "300s"
force_recovery = true
allow_subscribe_for_client = true
allow_publish_for_subscriber = true
allow_presence_for_subscriber = true
allow_history_for_subscriber = true
"""


class Standalone:
    """A server that runs."""

    def __init__(self, process: asyncio.subprocess.Process, where: str) -> None:
        self.process = process
        self.where = where
        self.http = httpx.AsyncClient(base_url=where, timeout=10, trust_env=False)

    async def up(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return (await self.http.get("/health")).is_success
        return False

    async def ask(self, method: str, /, **request: Any) -> Any:
        answer = await self.http.post(f"/api/{method}", json=request, headers=KEY)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @contextlib.asynccontextmanager
    async def client(self, token: str = "", **settings: Any) -> AsyncIterator[Client]:
        url = f"{self.where.replace('http', 'ws', 1)}/connection/websocket"
        async with connect(url, proxy=None, **settings) as socket:
            client = Client(socket)
            client.connected = await client.ask("connect", **({"token": token} if token else {}))
            yield client


class Client:
    """Speaks the protocol, in JSON."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.last = 0
        self.pushes: list[Any] = []
        self.waiting: list[Any] = []
        self.connected: Any = None

    async def ask(self, method: str, /, **request: Any) -> Any:
        self.last += 1
        await self.socket.send(json.dumps({"id": self.last, method: request}))
        while True:
            reply = await self._next()
            if reply.get("id") == self.last:
                return reply.get(method, reply)
            self._keep(reply)

    async def push(self, kind: str) -> Any:
        """The next push of that kind; others are passed over."""
        while True:
            for number, found in enumerate(self.pushes):
                if kind in found:
                    del self.pushes[: number + 1]
                    return found
            self._keep(await self._next())

    async def _next(self) -> Any:
        while not self.waiting:
            async with asyncio.timeout(10):
                self.waiting += [json.loads(line) for line in str(await self.socket.recv()).splitlines()]
        return self.waiting.pop(0)

    def _keep(self, reply: Any) -> None:
        if "push" in reply:
            self.pushes.append(reply["push"])


@contextlib.asynccontextmanager
async def standalone(
    folder: Path, *arguments: str, config: str = CONFIG, env: dict[str, str] | None = None
) -> AsyncIterator[Standalone]:
    path = folder / "hubbub.toml"
    path.write_text(config)
    command = [*HUBBUB, "serve", "--port", "0", "--config", str(path), *arguments]
    async with running(command, cwd=folder, env=env or {}) as process:
        server = Standalone(process, await listening(process))
        try:
            async with asyncio.timeout(20):
                while not await server.up():
                    await asyncio.sleep(0.02)
            yield server
        finally:
            await server.http.aclose()


async def listening(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    seen: list[str] = []
    async with asyncio.timeout(20):
        while line := (await process.stdout.readline()).decode():
            seen.append(line)
            if found := re.search(r"(?:listening|running) on (https?://\S+)", line):
                return found[1]
    raise AssertionError("".join(seen))


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    settings: dict[str, Any] = {"capture_output": True, "text": True, "check": False, "timeout": 30}
    return subprocess.run(
        [*HUBBUB, *arguments], cwd=cwd, env={**os.environ, "COLUMNS": "200", **environment}, **settings
    )


def token(folder: Path, *arguments: str) -> str:
    done = run("token", *arguments, cwd=folder, HUBBUB_CLIENT_TOKEN_HMAC_SECRET_KEY=SECRET)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def test_a_client_subscribes_and_the_api_publishes_to_it(tmp_path: Path) -> None:
    async with standalone(tmp_path) as server:
        assert (await server.http.get("/health")).json() == {}
        async with server.client(token(tmp_path, "42")) as client:
            assert client.connected["client"]
            assert "#42" in client.connected["subs"]
            assert (await client.ask("subscribe", channel="chat:room"))["recoverable"]
            done = await server.ask("publish", channel="chat:room", data={"text": "hi"})
            assert done["result"]["offset"] == 1
            pushed = await client.push("pub")
            assert (pushed["channel"], pushed["pub"]["data"], pushed["pub"]["offset"]) == (
                "chat:room",
                {"text": "hi"},
                1,
            )
            found = (await server.ask("presence", channel="chat:room"))["result"]["presence"]
            assert [info["user"] for info in found.values()] == ["42"]
            assert (await server.ask("presence_stats", channel="chat:room"))["result"] == {
                "num_clients": 1,
                "num_users": 1,
            }
            assert (await server.ask("channels", pattern="chat:*"))["result"] == {
                "channels": {"chat:room": {"num_clients": 1}}
            }
            assert (await server.ask("info"))["result"]["nodes"][0]["num_clients"] == 1
            await server.ask("unsubscribe", user="42", channel="chat:room")
            assert (await client.push("unsubscribe"))["unsubscribe"]["code"] == 2000
            await server.ask("subscribe", user="42", channel="chat:other", data={"hello": 1})
            assert (await client.push("subscribe"))["subscribe"]["data"] == {"hello": 1}
            await server.ask("disconnect", user="42")
            with pytest.raises(ConnectionClosed) as closed:
                await client.push("never")
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 3503


async def test_the_methods_answer_in_the_shapes_that_programs_know(tmp_path: Path) -> None:
    async with standalone(tmp_path) as server:
        published = await server.ask("publish", channel="chat:a", data=1, tags={"k": "v"})
        epoch = published["result"]["epoch"]
        assert published == {"result": {"offset": 1, "epoch": epoch}}
        assert await server.ask("publish", channel="plain", data=1) == {"result": {}}
        assert await server.ask("publish", channel="chat:a", data=2, skip_history=True) == {"result": {}}
        assert await server.ask("publish", channel="chat:a", b64data="eyJhIjoxfQ==", idempotency_key="x") == {
            "result": {"offset": 2, "epoch": epoch}
        }
        assert await server.ask("publish", channel="chat:a", data=3, idempotency_key="x") == {
            "result": {"offset": 2, "epoch": epoch}
        }
        history = {
            "publications": [{"data": 1, "offset": 1, "tags": {"k": "v"}}, {"data": {"a": 1}, "offset": 2}],
            "epoch": epoch,
            "offset": 2,
        }
        assert await server.ask("history", channel="chat:a", limit=-1) == {"result": history}
        assert await server.ask("history", channel="chat:a") == {"result": {**history, "publications": []}}
        assert await server.ask("history", channel="chat:a", since={"offset": 1, "epoch": "other"}, limit=1) == {
            "error": {"code": 112, "message": "unrecoverable position"}
        }
        assert await server.ask("history", channel="plain") == {"error": {"code": 108, "message": "not available"}}
        assert await server.ask("presence", channel="plain") == {"error": {"code": 108, "message": "not available"}}
        done = await server.ask("broadcast", channels=["chat:b", "nowhere:b", "plain"], data=1)
        first, *others = done["result"]["responses"]
        assert first["result"]["offset"] == 1
        assert others == [{"error": {"code": 102, "message": "unknown channel"}}, {"result": {}}]
        assert await server.ask("history_remove", channel="chat:a") == {"result": {}}
        assert (await server.ask("history", channel="chat:a", limit=-1))["result"] == {
            "publications": [],
            "epoch": epoch,
            "offset": 2,
        }
        for method, request, code in (
            ("publish", {"channel": "chat:a"}, 107),
            ("publish", {"data": 1}, 107),
            ("publish", {"channel": "nowhere:a", "data": 1}, 102),
            ("publish", {"channel": "chat:a", "b64data": "%"}, 107),
            ("broadcast", {"channels": [], "data": 1}, 107),
            ("subscribe", {"user": "42"}, 107),
            ("disconnect", {"user": "42", "disconnect": {"code": 1000}}, 107),
            ("rpc", {"method": "nothing"}, 104),
        ):  # fmt: skip
            assert (await server.ask(method, **request))["error"]["code"] == code, (method, request)
        for method in ("unsubscribe", "disconnect", "refresh"):
            assert await server.ask(method, user="nobody") == {"result": {}}
        commands = [{"publish": {"channel": "chat:c", "data": n}} for n in range(3)]
        for parallel in (False, True):
            done = await server.ask(
                "batch",
                commands=[
                    *commands,
                    {"history": {"channel": "chat:c", "limit": 1, "reverse": True}},
                    {"info": {}},
                    {},
                    None,
                ],
                parallel=parallel,
            )
            assert [reply["publish"]["offset"] for reply in done["replies"][:3]] == (
                [4, 5, 6] if parallel else [1, 2, 3]
            )
            assert done["replies"][3]["history"]["publications"][0]["data"] == 2
            assert done["replies"][4]["info"]["nodes"]
            assert [reply["error"]["code"] for reply in done["replies"][5:]] == [104, 107]


async def test_the_old_form_and_errors_as_statuses(tmp_path: Path) -> None:
    async with standalone(tmp_path) as server:
        lines = b'{"method": "publish", "params": {"channel": "chat:a", "data": 1}}\n{"id": 7, "method": "nothing"}'
        answer = await server.http.post("/api", content=lines, headers=KEY)
        first, second = map(json.loads, answer.text.splitlines())
        assert first["result"]["offset"] == 1
        assert second == {"id": 7, "error": {"code": 104, "message": "not found"}}
        transport = {**KEY, "X-Centrifugo-Error-Mode": "transport"}
        for method, request, status in (
            ("publish", {"channel": "nowhere:a", "data": 1}, 404),
            ("publish", {"channel": "chat:a"}, 400),
            ("history", {"channel": "chat:a", "limit": 1, "since": {"offset": 1, "epoch": "x"}}, 416),
        ):  # fmt: skip
            answer = await server.http.post(f"/api/{method}", json=request, headers=transport)
            assert answer.status_code == status
            assert set(answer.json()) == {"code", "message"}


async def test_a_client_recovers_what_it_missed_across_a_restart_on_sqlite(tmp_path: Path) -> None:
    broker = ("--broker", f"sqlite:{tmp_path}/chat.db")
    async with standalone(tmp_path, *broker) as server, server.client(token(tmp_path, "42")) as client:
        subscribed = await client.ask("subscribe", channel="chat:room")
        await client.ask("publish", channel="chat:room", data=1)
    async with standalone(tmp_path, *broker) as server:
        await server.ask("publish", channel="chat:room", data=2)
        async with server.client(token(tmp_path, "42")) as client:
            position = {"offset": 1, "epoch": subscribed["epoch"]}
            found = await client.ask("subscribe", channel="chat:room", recover=True, **position)
            assert found["recovered"]
            assert [one["data"] for one in found["publications"]] == [2]


async def test_several_workers_are_one_server_and_tell_metrics_together(tmp_path: Path) -> None:
    async with standalone(tmp_path, "--workers", "2") as server, contextlib.AsyncExitStack() as stack:
        made = token(tmp_path, "42")
        clients = [await stack.enter_async_context(server.client(made)) for _ in range(6)]
        for client in clients:
            await client.ask("subscribe", channel="chat:room")
        await server.ask("publish", channel="chat:room", data="to all")
        for client in clients:
            assert (await client.push("pub"))["pub"]["data"] == "to all"
        assert (await server.ask("presence_stats", channel="chat:room"))["result"] == {"num_clients": 6, "num_users": 1}
        page = (await server.http.get("/metrics")).text
        sessions = re.findall(r'^hubbub_sessions\{worker="(\d)"\} (\d+)\.0$', page, re.MULTILINE)
        assert {worker for worker, _ in sessions} == {"0", "1"}
        assert sum(int(count) for _, count in sessions) == 6
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(server.process.wait(), 20) == 0


async def test_metrics_have_few_labels(tmp_path: Path) -> None:
    async with standalone(tmp_path) as server:
        for method in ("publish", "nonsense", "x" * 100):
            await server.http.post(f"/api/{method}", json={"channel": f"chat:{method}"}, headers=KEY)
            await server.http.post("/api", json={"method": method, "params": {}}, headers=KEY)
        answer = await server.http.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        labels = set(re.findall(r'hubbub_api_requests_total\{code="(\d+)",method="(\w+)"\}', answer.text))
        assert labels == {("107", "publish"), ("104", "unknown")}


async def test_who_has_no_token_or_a_bad_one_is_not_let_in(tmp_path: Path) -> None:
    async with standalone(tmp_path) as server:
        for given, code in (("", 3501), ("nonsense", 3500), (token(tmp_path, "42", "--ttl", "0"), 3500)):
            with pytest.raises(ConnectionClosed) as closed:
                async with server.client(given):
                    pass
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == code
        with pytest.raises(InvalidStatus) as refused:
            async with server.client(token(tmp_path, "42"), origin="https://evil.example"):
                pass
        assert refused.value.response.status_code == 403


async def test_dev_is_for_this_machine_alone_and_has_a_page(tmp_path: Path) -> None:
    async with standalone(tmp_path, "--dev", config="") as server:
        page = await server.http.get("/")
        assert "centrifuge.js" in page.text
        for path in ("/page.js", "/page.css", "/centrifuge.js"):
            assert (await server.http.get(path)).status_code == 200
        assert "ownOfHubbub" in (await server.http.get("/centrifuge.js")).text
        async with server.client() as client:
            await client.ask("subscribe", channel="any:thing")
            assert await client.ask("publish", channel="any:thing", data=1) == {}
        assert (await server.http.post("/api/info", json={})).json()["result"]
        assert (
            await server.http.post("/api/info", json={}, headers={"Origin": "https://evil.example"})
        ).status_code == 401
        assert (await server.http.get("/", headers={"Host": "evil.example"})).status_code == 400
    done = run("serve", "--dev", "--host", "0.0.0.0", cwd=tmp_path)
    assert done.returncode != 0
    assert "this machine alone" in done.stderr


async def test_the_page_takes_the_published_client_where_npm_has_installed_it(tmp_path: Path) -> None:
    dist = tmp_path / "node_modules/centrifuge/dist"
    dist.mkdir(parents=True)
    (dist / "centrifuge.js").write_text("// the published one")
    async with standalone(tmp_path, "--dev", config="") as server:
        assert (await server.http.get("/centrifuge.js")).text == "// the published one"


async def test_sessions_of_a_program_get_the_api_beside_them(tmp_path: Path) -> None:
    (tmp_path / "chat.py").write_text(
        "from hubbub.realtime import Namespace, Realtime\n"
        "rt = Realtime(anonymous=True, namespaces={'chat': Namespace()})\n"
        "@rt.rpc('add')\n"
        "def add(client, data: list[int]) -> int:\n"
        "    return sum(data)\n"
    )
    async with standalone(tmp_path, "chat:rt") as server, server.client() as client:
        assert (await client.ask("rpc", method="add", data=[1, 2]))["data"] == 3
        assert (await server.ask("publish", channel="chat:a", data=1)) == {"result": {}}


def test_check_tells_everything(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("[client]\ninsecur = true\n[admin]\nenabled = true\n")
    done = run("serve", "--check", "--config", "x.toml", cwd=tmp_path)
    assert done.returncode == 1
    assert "mistake: x.toml:2: client.insecur: there is no such key: did you mean client.insecure?" in done.stdout
    assert "ignored: x.toml:3: admin: there is no such page" in done.stdout
    assert "nobody can connect" not in done.stdout, "that is not known, as long as there are mistakes"
    done = run("serve", "--config", "x.toml", cwd=tmp_path)
    assert done.returncode == 1
    assert "did you mean client.insecure?" in done.stderr
    (tmp_path / "z.toml").write_text("[client]\nchannel_limit = 10\n")
    done = run("serve", "--check", "--config", "z.toml", cwd=tmp_path)
    assert done.returncode == 0
    assert "note: z.toml:1: client.token: nobody can connect" in done.stdout
    (tmp_path / "y.toml").write_text("[client]\ninsecure = true\n")
    done = run("serve", "--check", "--config", "y.toml", cwd=tmp_path)
    assert done.returncode == 0
    assert "no mistakes: 1 keys, 0 namespaces" in done.stdout
    done = run("serve", "chat:Chat", "--check", cwd=tmp_path)
    assert done.returncode != 0


def test_tokens_are_made_and_read(tmp_path: Path) -> None:
    variables = {"HUBBUB_CLIENT_TOKEN_HMAC_SECRET_KEY": SECRET}
    made = token(tmp_path, "42", "--claim", 'info={"name": "Ada"}')
    done = run("token", "--check", made, cwd=tmp_path, **variables)
    assert done.returncode == 0
    assert 'sub: "42"' in done.stdout
    assert 'info: {"name": "Ada"}' in done.stdout
    assert done.stdout.endswith("good, for a connection\n")
    of_subscription = token(tmp_path, "42", "--channel", "news", "--client", "c1")
    done = run("token", "--check", of_subscription, cwd=tmp_path, **variables)
    assert done.stdout.endswith("good, for a subscription\n")
    done = run("token", "42", "--ttl", "0", cwd=tmp_path, **variables)
    assert done.returncode == 0
    assert "will not take it: 3500 invalid token: a token is not good: it has no exp" in done.stderr
    done = run("token", "--check", f"{made}x", cwd=tmp_path, **variables)
    assert done.returncode == 1
    assert "its signature is wrong" in done.stdout
    done = run("token", "--check", made, cwd=tmp_path)
    assert done.returncode == 1
    assert "not checked" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    for arguments, complaint in (
        (("42",), "there is no secret"),
        (("--check", "nonsense"), "this is no token"),
        (("42", "--claim", "x"), "a claim is NAME=JSON"),
    ):
        done = run("token", *arguments, cwd=tmp_path)
        assert done.returncode != 0
        assert complaint in done.stderr, done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_cannot_start_says_why_and_ends(tmp_path: Path, workers: str) -> None:
    (tmp_path / "x.toml").write_text('[client.token]\njwks_public_endpoint = "http://127.0.0.1:9/keys"\n')
    done = run("serve", "--port", "0", "--config", "x.toml", "--workers", workers, cwd=tmp_path)
    assert done.returncode != 0 or workers == "2"  # of which the parent is uvicorn's
    assert "no key set comes from http://127.0.0.1:9/keys" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


async def test_sessions_of_a_program_in_several_workers_need_a_broker(tmp_path: Path) -> None:
    (tmp_path / "chat.py").write_text(
        "from hubbub.realtime import Namespace, Realtime\n"
        "rt = Realtime(anonymous=True, namespaces={'chat': Namespace(allow_subscribe_for_client=True,"
        " allow_subscribe_for_anonymous=True)})\n"
    )
    done = run("serve", "chat:rt", "--port", "0", "--workers", "2", cwd=tmp_path)
    assert done.returncode != 0
    assert "--broker local:" in done.stderr
    broker = f"local:{tmp_path}/relay.sock"
    async with standalone(tmp_path, "chat:rt", "--workers", "2", "--broker", broker) as server:
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(server.client()) for _ in range(4)]
            for client in clients:
                assert "error" not in await client.ask("subscribe", channel="chat:room")
            await server.ask("publish", channel="chat:room", data=1)
            for client in clients:
                assert (await client.push("pub"))["pub"]["data"] == 1


async def test_a_body_over_the_limit_ends_the_connection_before_it_is_read(tmp_path: Path) -> None:
    async with standalone(
        tmp_path, config=CONFIG.replace('key = "key"', 'key = "key"\nmax_body_size = 4096')
    ) as server:
        host, port = server.where.removeprefix("http://").split(":")
        for how in ("Content-Length: 1000000000", "Transfer-Encoding: chunked"):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: key\r\n{how}\r\n\r\n".encode())
            part = b"1000\r\n" + b"x" * 4096 + b"\r\n"
            with contextlib.suppress(OSError):
                for _ in range(200 if "chunked" in how else 0):
                    writer.write(part)
                    await writer.drain()
            async with asyncio.timeout(10):
                with contextlib.suppress(OSError):
                    assert b" 413 " in await reader.readline()
                    await reader.read()
            writer.close()


async def test_the_log_has_no_line_for_each_connection(tmp_path: Path) -> None:
    """Those about pages that may not connect are as many as `Limits.max_log_rate` allows."""
    async with standalone(tmp_path) as server:
        host, port = server.where.removeprefix("http://").split(":")
        upgrade = f"GET /connection/websocket HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        upgrade += "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        for origin in ["", *["Origin: http://evil.example\r\n"] * 40]:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"{upgrade}{origin}\r\n".encode())
            assert (b" 403 " if origin else b" 101 ") in await reader.readline()
            writer.close()
        server.process.terminate()
        assert server.process.stdout is not None
        log = (await server.process.stdout.read()).decode()
        assert "a page of http://evil.example may not connect" in log
        assert "WebSocket /connection" not in log
        assert "connection open" not in log


async def test_the_api_is_mounted_in_an_application(tmp_path: Path) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from hubbub.api import api_app
    from hubbub.realtime import History, Namespace, Realtime

    rt = Realtime(broker="memory:", namespaces={"": Namespace(history=History(10, 60))})
    app = Starlette(routes=[Mount("/inner", api_app(rt, key="key"))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as http:
        answer = await http.post("/inner/api/publish", json={"channel": "room", "data": 1}, headers=KEY)
        assert answer.json()["result"]["offset"] == 1
        assert (await http.get("/inner/health")).json() == {}
        assert "hubbub_api_requests_total" in (await http.get("/inner/metrics")).text
        assert (await http.post("/inner/other")).status_code == 404
    await rt.close()


async def test_workers_end_when_their_parent_was_killed(tmp_path: Path) -> None:
    async with standalone(tmp_path, "--workers", "2") as server:
        server.process.kill()
        await server.process.wait()  # until none of them holds the pipe of its output
        await server.http.aclose()
        server.http = httpx.AsyncClient(base_url=server.where, timeout=2, trust_env=False)
        async with asyncio.timeout(15):
            while await server.up():
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("package", ["prometheus_client", "starlette"])
def test_a_package_that_is_not_installed_is_named(tmp_path: Path, package: str) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv = ['hubbub', 'serve', '--dev', '--check'];"
        " from hubbub.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"hubbub: the standalone server needs {package}: pip install 'hubbub[standalone]'\n"


async def test_a_worker_that_was_killed_is_replaced_and_counted_anew(tmp_path: Path) -> None:
    async with standalone(tmp_path, "--workers", "2") as server:

        async def workers() -> dict[str, str]:
            """Of each worker its pid, as the node's name ends with it."""
            try:
                nodes = (await server.ask("info"))["result"]["nodes"]
            except httpx.TransportError:  # the one that was killed had the connection
                return {}
            return {node["name"].rpartition("_")[2]: node["uid"] for node in nodes}

        async with asyncio.timeout(30):
            while len(before := await workers()) < 2:
                await asyncio.sleep(0.05)
            os.kill(int(next(iter(before))), signal.SIGKILL)
            while not (len(after := await workers()) == 2 and after.keys() != before.keys()):
                await asyncio.sleep(0.05)
            while True:
                page = (await server.http.get("/metrics")).text
                if set(re.findall(r'^hubbub_sessions\{worker="(\d)"\}', page, re.MULTILINE)) == {"0", "1"}:
                    break
                await asyncio.sleep(0.05)
