"""The tutorial, step by step as its reader goes: with the command that it names, in a browser, up to four workers."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from support.browser import chromium, needs_chromium
from support.pages import DOCS, ROOT, blocks_of, merged
from support.processes import running
from support.shown import commands

FINAL = ROOT / "examples" / "tutorial"
FIRST, SECOND, THIRD = (blocks_of((DOCS / name).read_text()) for name in ("tutorial.md", "realtime.md", "deployed.md"))


def in_a_browser(test: Any) -> Any:
    return pytest.mark.browser(needs_chromium(pytest.mark.asyncio(loop_scope="module")(test)))


def of(blocks: list[object], language: str) -> list[str]:
    return [block.text for block in blocks if (block.language, block.hidden) == (language, False)]  # type: ignore[attr-defined]


class Folder:
    """Where the reader works: what is served is what the page's blocks have made of it so far."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, program: str, page: str) -> None:
        (self.path / "chat.py").write_text(program)
        (self.path / "chat.html").write_text(page)

    @contextlib.asynccontextmanager
    async def served(self, blocks: list[object], number: int, **environment: str) -> AsyncIterator[str]:
        """By the so many-th command of the page that serves; gives the address."""
        lines = [words for block in blocks if block.language == "sh" for words in commands(block)  # type: ignore[attr-defined, arg-type]
                 if words[:2] == ["hubbub", "serve"]]  # fmt: skip
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        environment = {"XDG_RUNTIME_DIR": str(self.path), "CHAT_SECRET": "s" * 32, **environment}
        command = [sys.executable, "-m", *lines[number], "--port", str(port)]
        with (self.path / "log").open("ab") as log:
            async with running(command, cwd=self.path, env=environment, stdout=log, stderr=log) as process:
                async with asyncio.timeout(20):
                    while True:
                        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                            break
                        await asyncio.sleep(0.02)
                yield f"http://127.0.0.1:{port}"
                process.send_signal(signal.SIGINT)
                async with asyncio.timeout(20):
                    await process.wait()


def replaced(page: str, script: str, first: str, last: str) -> str:
    """The page with the script instead of what stands from one text up to the other."""
    before, _, rest = page.partition(first)
    return before + script + last + rest.partition(last)[2]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as one:
        yield one


async def enter(browser: Browser, url: str) -> Page:
    page = await browser.new_page()
    await page.goto(url)
    return page


async def say(page: Page, text: str) -> None:
    await page.fill("input", text)
    await page.press("input", "Enter")


async def reads(page: Page, *lines: str, here: str | None = None) -> None:
    """Wait until it does."""
    await page.wait_for_function(
        "([here, lines]) => (here === null || document.querySelector('#here').innerText === here)"
        " && [...document.querySelectorAll('li')].map((line) => line.innerText).join('|') === lines",
        arg=[here, "|".join(lines)],
        timeout=20_000,
    )


@in_a_browser
async def test_its_first_part_goes_from_a_lobby_to_rooms(tmp_path: Path, browser: Browser) -> None:
    folder = Folder(tmp_path)
    program, rooms, announce = of(FIRST, "python")
    (page,), (address,) = of(FIRST, "html"), of(FIRST, "js")
    folder.write(program, page)
    async with folder.served(FIRST, 0) as url:
        ann, bob = await enter(browser, url), await enter(browser, url)
        await ann.wait_for_function("socket.readyState === 1")
        await bob.wait_for_function("socket.readyState === 1")
        await say(ann, "hello")
        await reads(ann, "hello")
        await reads(bob, "hello")
        await ann.close()
        await bob.close()
    program = merged(program, announce + rooms).replace("FileResponse\n", "FileResponse, PlainTextResponse\n")
    program = program.replace("routes=[", "routes=[Route('/announce/{room}', announce, methods=['POST']), ")
    folder.write(program, re.sub(r"const socket = .*\n", lambda _: address, page))
    async with folder.served(FIRST, 0) as url:
        ann = await enter(browser, f"{url}/tea")
        await ann.wait_for_function("socket.readyState === 1")
        bob, cid = await enter(browser, f"{url}/tea"), await enter(browser, f"{url}/coffee")
        await reads(ann, "somebody came, 2 here")
        await bob.wait_for_function("socket.readyState === 1")
        await cid.wait_for_function("socket.readyState === 1")
        await say(bob, "hello")
        await reads(bob, "hello")
        await reads(ann, "somebody came, 2 here", "hello")
        await bob.close()
        async with httpx.AsyncClient() as http:
            await reads(ann, "somebody came, 2 here", "hello", "somebody left, 1 here")
            assert (await http.post(f"{url}/announce/tea")).text == "done\n"
        await reads(ann, "somebody came, 2 here", "hello", "somebody left, 1 here", "The tea is ready.")
        await reads(cid)


@in_a_browser
async def test_its_second_part_has_names_history_and_presence(tmp_path: Path, browser: Browser) -> None:
    folder = Folder(tmp_path)
    folder.write(of(SECOND, "python")[0], of(SECOND, "html")[0])
    async with folder.served(SECOND, 0) as url:
        ann, bob = await enter(browser, f"{url}/tea?name=Ann"), await enter(browser, f"{url}/tea?name=Bob")
        for page in ann, bob:
            await page.wait_for_function("room.state === 'subscribed'")
        await say(ann, " hello ")
        await reads(bob, "Ann: hello")
        await ann.close()
        await bob.close()
    folder.write((FINAL / "chat.py").read_text(), (FINAL / "chat.html").read_text())
    async with folder.served(SECOND, 1, HUBBUB_BROKER=f"sqlite:{tmp_path}/chat.db") as url:
        ann, bob = await enter(browser, f"{url}/tea?name=Ann"), await enter(browser, f"{url}/tea?name=Bob")
        await reads(ann, here="Here: Ann, Bob")
        await say(ann, "hello")
        await say(bob, "hi")
        cid = await enter(browser, f"{url}/tea?name=Cid")
        for page in ann, bob, cid:
            await reads(page, "Ann: hello", "Bob: hi", here="Here: Ann, Bob, Cid")
        await cid.close()
        await reads(ann, "Ann: hello", "Bob: hi", here="Here: Ann, Bob")
    assert (tmp_path / "chat.db").exists()


@pytest.mark.timeout(120)
@in_a_browser
async def test_its_third_part_runs_in_four_workers_of_which_one_may_be_killed(tmp_path: Path, browser: Browser) -> None:
    folder = Folder(tmp_path)
    folder.write((FINAL / "chat.py").read_text(), (FINAL / "chat.html").read_text())
    async with folder.served(THIRD, 0, HUBBUB_BROKER=f"local:{tmp_path}/relay.sock") as url:
        names = ["Ann", "Bob", "Cid"]
        pages = [await enter(browser, f"{url}/tea?name={name}") for name in names]
        for page in pages:
            await reads(page, here=f"Here: {', '.join(names)}")
        await say(pages[0], "hello")
        for page in pages:
            await reads(page, "Ann: hello")
        workers = [int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", (tmp_path / "log").read_text())]
        assert len(workers) == 4
        os.kill(workers[0], signal.SIGKILL)
        async with httpx.AsyncClient() as http:
            token = (await http.get(f"{url}/token", params={"name": "x"}, timeout=20)).text
            assert token.count(".") == 2
        for page in pages:
            await page.wait_for_function("room.state === 'subscribed'", timeout=20_000)
        await say(pages[1], "still here")
        for page in pages:
            await reads(page, "Ann: hello", "Bob: still here", here=f"Here: {', '.join(names)}")


def test_the_pages_build_up_to_the_example() -> None:
    program = merged(of(SECOND, "python")[0], of(SECOND, "python")[1])
    built, final = (ast.parse(text).body for text in (program, (FINAL / "chat.py").read_text()))
    assert [ast.unparse(node) for node in built] == [ast.unparse(node) for node in final[1:]]
    (page,), (script,) = of(SECOND, "html"), of(SECOND, "js")
    assert replaced(page, script, "function show", "</script>").replace("\n</script>", "</script>") == (
        FINAL / "chat.html"
    ).read_text().replace("\n</script>", "</script>")
    conftest, tests = of(THIRD, "python")
    assert (conftest, tests) == ((FINAL / "conftest.py").read_text(), (FINAL / "test_chat.py").read_text())


def test_what_is_deployed_is_what_the_unit_serves() -> None:
    """The shell's lines put everything where the unit and the proxy look for it."""
    shell = "\n".join(of(THIRD, "sh"))
    (unit,) = of(THIRD, "ini")
    settings = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    home = settings["WorkingDirectory"]
    assert f"cp chat.py chat.html {home}/" in shell
    assert f"venv {home}/.venv" in shell
    assert f"useradd --system --create-home --home-dir {home} {settings['User']}" in shell
    assert settings["EnvironmentFile"].lstrip("-") in shell
    program, *options = shlex.split(settings["ExecStart"])
    assert program.startswith(f"{home}/.venv/bin/")
    port = options[options.index("--port") + 1]
    assert f"curl http://127.0.0.1:{port}/tea" in shell
    assert f"reverse_proxy 127.0.0.1:{port}\n" in of(THIRD, "caddy")[0]


@in_a_browser
async def test_the_front_page_works_as_it_says(tmp_path: Path, browser: Browser) -> None:
    """Its server by itself, and its script in two empty tabs."""
    front = blocks_of((ROOT / "README.md").read_text())
    program, script = of(front, "python")[0], of(front, "js")[0]
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    (tmp_path / "chat.py").write_text(program.replace("4545", port))
    async with running([sys.executable, "chat.py"], cwd=tmp_path, stderr=asyncio.subprocess.PIPE) as server:
        assert server.stderr is not None
        assert port.encode() in await asyncio.wait_for(server.stderr.readline(), 20)
        heard: list[str] = []
        for _ in range(2):
            page = await browser.new_page()
            page.on("console", lambda message: heard.append(message.text))
            await page.add_script_tag(content=script.replace("4545", port))
            await page.wait_for_function("socket.readyState === 1")
        await page.evaluate("say('hello')")
        async with asyncio.timeout(20):
            while heard != ["hello", "hello"]:
                await asyncio.sleep(0.02)
