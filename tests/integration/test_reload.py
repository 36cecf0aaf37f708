"""`hubbub serve --reload`: what is changed is served, what is broken is waited for, and the end is in good order."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

from hubbub.cli.reload import changed, stamps
from support.client import RawClient
from support.processes import running

PROGRAM = """
import hubbub

class Chat(hubbub.Handler):
    def opened(self):
        self.write("{word}")
"""


async def says(path: Path) -> str:
    """What a new client is told, as soon as there is a server."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                client = await RawClient.connect(uds=str(path))
                try:
                    return str(await client.read())
                finally:
                    client.kill()
            await asyncio.sleep(0.02)


async def test_a_change_is_served_and_a_mistake_is_waited_for(tmp_path: Path) -> None:
    program, path = tmp_path / "chat.py", tmp_path / "x.sock"
    program.write_text(PROGRAM.format(word="one"))
    command = [sys.executable, "-m", "hubbub", "serve", "chat:Chat", "--reload", "--uds", str(path)]
    async with running(command, cwd=tmp_path, stderr=asyncio.subprocess.PIPE) as process:
        assert process.stderr is not None
        assert await says(path) == "one"
        program.write_text("class")
        async with asyncio.timeout(20):
            lines = [(await process.stderr.readline()).decode()]
            while "the server has ended" not in lines[-1]:
                lines.append((await process.stderr.readline()).decode())
        assert lines[0] == "hubbub: chat.py changed: starting again\n"
        assert any("SyntaxError" in line for line in lines)
        program.write_text(PROGRAM.format(word="another"))
        assert await says(path) == "another"
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
        assert not path.exists(), "the server, too, has ended, and in good order"


async def test_wrong_options_are_told_and_nothing_is_waited_for(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hubbub", "serve", "chat:Chat", "--reload", "--workers", "none"]
    async with running(command, cwd=tmp_path, stderr=asyncio.subprocess.PIPE) as process:
        _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert b"--workers" in errors


def test_python_is_watched_and_no_environment(tmp_path: Path) -> None:
    for name in ("chat.py", "shop/app.py", "shop/page.html", ".git/hook.py", "env/lib/site.py", "node_modules/x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    config = tmp_path / "hubbub.toml"
    before = stamps(tmp_path, [config])
    assert {path.name for path in before} == {"chat.py", "app.py"}
    config.write_text("")
    (tmp_path / "chat.py").unlink()
    (tmp_path / "shop" / "app.py").write_text("x = 1")
    (tmp_path / "shop" / "page.html").write_text("x")
    assert changed(before, stamps(tmp_path, [config])) == ["app.py", "chat.py", "hubbub.toml"]
    assert not changed(before, before)
