"""The tests that the page on testing shows pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.guides import blocks, files

EXAMPLES = Path(__file__).parents[3] / "examples"
TEAM = """
from hubbub.realtime import Client, Denied, Namespace, Realtime, Tokens

tokens = Tokens(hmac="a secret of 32 random bytes or more")
rt = Realtime(tokens=tokens, namespaces={"team": Namespace()})


@rt.on_subscribe("team:*")
def subscribe(client: Client, channel: str) -> None:
    if client.user != "ann":
        raise Denied("you are not in this team")


@rt.rpc("add")
async def add(client: Client, numbers: list[int]) -> int:
    return sum(numbers)
"""


def test_the_tests_that_the_page_shows_pass(tmp_path: Path) -> None:
    pytest.importorskip("centrifuge", reason="pip install centrifuge-python")
    written = files("how-to/testing.md", tmp_path)
    chat = (EXAMPLES / "chat.py").read_text()
    (tmp_path / "chat.py").write_text(chat)
    (tmp_path / "rooms.py").write_text(blocks("how-to/frameworks.md")[0])
    (tmp_path / "team.py").write_text(TEAM)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    tests = sum(path.read_text().count("def test_") for path in written)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=50)
    assert f"{tests} passed" in done.stdout, done.stdout + done.stderr
