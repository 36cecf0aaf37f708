"""Other people's clients over TLS: openssl, curl, Node, Chromium, websockets and aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
import websockets.asyncio.client

import hubbub
from hubbub import native
from support.asgi_servers import uvicorn_serving
from support.browser import chromium, needs_chromium
from support.certificates import contexts
from support.client import HEAD, RawClient
from support.serving import Echo, Recorder, serving, until
from support.tls import Wire

BOTH_LOOPS = True
MIB = 1 << 20
SIZES = [0, 125, 126, 65_535, 65_536, MIB, 16 * MIB]
LIMITS = hubbub.Limits(max_message_size=17 * MIB, max_backlog=64 * MIB)
UPGRADE = (HEAD.format(path="/") + "\r\n").encode()


@pytest.mark.parametrize("compression", [None, hubbub.Deflate()])
async def test_websockets(compression: hubbub.Deflate | None) -> None:
    handler = Echo.fresh()
    tls, trusting = contexts()
    async with serving(handler, ssl=tls, limits=LIMITS, compression=compression) as server:
        url = f"wss://localhost:{server.port}/"
        async with websockets.asyncio.client.connect(url, ssl=trusting, proxy=None, max_size=None) as client:
            for size in SIZES:
                data = os.urandom(size // 2) + bytes(size - size // 2)
                await client.send(data)
                assert await client.recv() == data
            handler.everyone[0].close(4001, "bye")
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (4001, "bye")
        await until(lambda: handler.everyone[0].ends)
        assert handler.everyone[0].ends == [hubbub.Closed(hubbub.Cause.SERVER, 4001, "bye")]


async def test_aiohttp() -> None:
    handler = Echo.fresh()
    tls, trusting = contexts()
    async with serving(handler, ssl=tls) as server:
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"https://localhost:{server.port}/", ssl=trusting) as client:
                await client.send_str("früh")
                assert await client.receive_str() == "früh"
                await client.close(code=3999, message=b"done")
        await until(lambda: handler.everyone[0].ends)
        assert handler.everyone[0].ends == [hubbub.Closed(hubbub.Cause.CLIENT, 3999, "done")]


NODE = """
const { WebSocket } = require("ws");
const socket = new WebSocket(`wss://localhost:${process.argv[2]}/`, { rejectUnauthorized: false });
const sizes = JSON.parse(process.argv[3]), seen = [];
const next = () => socket.send(Buffer.alloc(sizes[seen.length], seen.length));
socket.on("open", next);
socket.on("message", (data) => {
  seen.push(data.length && data[data.length - 1] !== seen.length ? "other" : data.length);
  if (seen.length < sizes.length) next(); else socket.close(3001, "done");
});
socket.on("close", (code) => console.log(JSON.stringify({ seen, code })));
socket.on("error", (error) => console.log(JSON.stringify({ error: String(error) })));
"""


async def test_nodes_ws(node_ws: Path) -> None:
    script = node_ws / "tls.js"
    script.write_text(NODE)
    handler = Echo.fresh()
    async with serving(handler, ssl=contexts()[0], limits=LIMITS) as server:
        said = await run("node", str(script), str(server.port), json.dumps(SIZES), NODE_PATH=f"{node_ws}/node_modules")
        assert json.loads(said) == {"seen": SIZES, "code": 3001}
        await until(lambda: handler.everyone[0].ends)
        assert handler.everyone[0].ends == [hubbub.Closed(hubbub.Cause.CLIENT, 3001, "done")]


@needs_chromium
async def test_chromium() -> None:
    handler = Echo.fresh()
    async with serving(handler, ssl=contexts()[0], limits=LIMITS) as server, chromium() as browser:
        page = await (await browser.new_context(ignore_https_errors=True)).new_page()
        await page.goto(f"https://localhost:{server.port}/")  # what a browser is told there
        seen = await page.evaluate(
            """([url, sizes]) => new Promise((resolve) => {
                const socket = new WebSocket(url), seen = [];
                socket.binaryType = "arraybuffer";
                const next = () => socket.send(new Uint8Array(sizes[seen.length]));
                socket.onopen = next;
                socket.onmessage = (event) => {
                    seen.push(event.data.byteLength);
                    if (seen.length < sizes.length) next(); else socket.close(3001, "done");
                };
                socket.onclose = (event) => resolve([...seen, event.code, event.wasClean]);
            })""",
            [f"wss://localhost:{server.port}/", SIZES],
        )
        assert seen == [*SIZES, 3001, True]
        await until(lambda: handler.everyone[0].ends)
        assert handler.everyone[0].ends == [hubbub.Closed(hubbub.Cause.CLIENT, 3001, "done")]


async def test_curl_is_told_what_the_address_is() -> None:
    async with serving(Echo.fresh(), ssl=contexts()[0]) as server:
        said = await run("curl", "-sk", "-i", f"https://localhost:{server.port}/")
        assert "WebSocket" in said
        if native.active():  # a loop's own TLS cannot answer this
            said = await run("curl", "-s", "-i", f"http://127.0.0.1:{server.port}/")
            assert " 400 " in said
            assert "use wss://" in said
            await until(lambda: server.statistics().refused.get("tls") == 1)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_openssl_resumes_sessions(version: str, tmp_path: Path) -> None:
    session = str(tmp_path / "session")
    async with serving(Echo.fresh(), ssl=contexts()[0]) as server:
        assert " 101 " in await openssl(server, version, "-sess_out", session)
        said = await openssl(server, version, "-sess_in", session)
        assert "Reused, TLS" in said
        assert " 101 " in said


async def test_early_data_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "early").write_bytes(UPGRADE)
    handler = Recorder.fresh()
    async with serving(handler, ssl=contexts()[0]) as server:
        session, early = str(tmp_path / "session"), str(tmp_path / "early")
        await openssl(server, "-tls1_3", "-sess_out", session)
        said = await openssl(server, "-tls1_3", "-sess_in", session, "-early_data", early)
        assert "Reused, TLS" in said
        assert "Early data was accepted" not in said
        assert " 101 " in said
        assert len(handler.everyone) == 2


async def test_openssl_changes_its_keys() -> None:
    async with serving(Echo.fresh(), ssl=contexts()[0]) as server:
        said = await openssl(server, "-tls1_3", lines=(b"k\n", b"K\n", b"k\n", UPGRADE))
        assert said.count("KEYUPDATE") == 3
        assert " 101 " in said


@pytest.mark.parametrize("arguments", [["-tls1_1"], ["-tls1_2", "-cipher", "NULL:@SECLEVEL=0"]], ids=["old", "null"])
async def test_what_is_too_weak_is_refused(arguments: list[str]) -> None:
    async with serving(Echo.fresh(), ssl=contexts()[0]) as server:
        said = await openssl(server, *arguments)
        assert " 101 " not in said
        await serves(server)


async def test_an_sni_callback_chooses_the_context_and_may_refuse() -> None:
    other = trustme.CA(organization_name="other")
    elsewhere = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    other.issue_cert("elsewhere.example").configure_cert(elsewhere)
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)

    def choose(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        if name == "elsewhere.example":
            tls.context = elsewhere
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME if name == "nowhere.example" else None

    context.sni_callback = choose  # type: ignore[assignment]
    context.set_alpn_protocols(["http/1.1"])
    async with serving(Echo.fresh(), ssl=context) as server:
        for name, trusted in (("localhost", authority), ("elsewhere.example", other)):
            mine = ssl.create_default_context()
            trusted.configure_trust(mine)
            client = await RawClient.connect(server.port, ssl=mine, server_hostname=name)
            client.text("hello")
            assert await client.read() == "hello"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await RawClient.connect(server.port, ssl=mine, server_hostname="nowhere.example")
        if native.active():
            assert server.statistics().refused["tls"] == 1
        said = await openssl(server, "-alpn", "h2,http/1.1")
        assert "ALPN protocol: http/1.1" in said


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("kind", ["right", "none", "of another", "expired"])
@pytest.mark.parametrize("required", [True, False])
async def test_certificates_of_clients(required: bool, kind: str, version: ssl.TLSVersion) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    mine = ssl.create_default_context()
    mine.maximum_version = version
    authority.configure_trust(mine)
    if kind == "expired":
        authority.issue_cert("me@example.org", not_after=datetime(2020, 1, 1, tzinfo=UTC)).configure_cert(mine)
    elif kind != "none":
        (authority if kind == "right" else trustme.CA()).issue_cert("me@example.org").configure_cert(mine)
    async with serving(Echo.fresh(), ssl=context) as server:
        if kind == "right" or (kind == "none" and not required):
            client = await RawClient.connect(server.port, ssl=mine, server_hostname="localhost")
            client.text("hello")
            assert await client.read() == "hello"
        else:
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await RawClient.connect(server.port, ssl=mine, server_hostname="localhost")
            if native.active():
                await until(lambda: server.statistics().refused.get("tls") == 1)
            assert server.statistics().upgraded == 0


async def test_under_uvicorn(tmp_path: Path) -> None:
    ends: list[int] = []

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": event["bytes"]})
        ends.append(event["code"])

    authority, chain = trustme.CA(), tmp_path / "chain.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(chain))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with uvicorn_serving(echo, ssl_certfile=str(chain)) as (port, _):
        url = f"wss://localhost:{port}/"
        async with websockets.asyncio.client.connect(url, ssl=trusting, proxy=None, max_size=None) as client:
            for size in SIZES[:-2]:
                await client.send(bytes(size))
                assert await client.recv() == bytes(size)
            await client.close(3999)
        wire = Wire(trusting)
        await wire.dial(port)
        await wire.upgrade()
        wire.writer.write_eof()
        await until(lambda: len(ends) == 2)
        assert ends == [3999, 1006]
        wire.kill()


async def serves(server: hubbub.Server) -> None:
    """Others are served."""
    client = await RawClient.connect(server.port, ssl=contexts()[1])
    client.text("hello")
    assert await client.read() == "hello"


async def run(program: str, *arguments: str, **environment: str) -> str:
    """What a program says within 20 seconds."""
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here")
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **environment}
    )
    async with asyncio.timeout(20):
        said, _ = await process.communicate()
    return said.decode(errors="replace")


async def openssl(server: hubbub.Server, *arguments: str, lines: tuple[bytes, ...] = (UPGRADE,)) -> str:
    """What `openssl s_client` says when it sends that, one after the other, until an upgrade, its end, or a second."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl program here")
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said = b""
    for line in lines:
        await asyncio.sleep(0.1)  # it looks for commands at the beginning of what it reads
        with contextlib.suppress(RuntimeError):  # uvloop's, of a program that has ended
            process.stdin.write(line)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            while b" 101 " not in said and (data := await process.stdout.read(65536)):
                said += data
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.wait()
    return said.decode(errors="replace")
