"""Extras: each part of the package needs what its extra brings, and nothing more, and says so where that is missing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import hubbub

SOURCE = Path(hubbub.__file__).parent
PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
NEEDED = {  # by the beginning of the path: the extra; all else has to do without
    "api/": "standalone",
    "brokers/messages.py": "local",
    "brokers/nats/": "nats",
    "brokers/redis/": "redis",
    "cli/": "serve",
    "demo/": "serve",
    "load/": "serve",
    "realtime/": "realtime",
    "standalone/": "standalone",
}


@cache
def brought(extra: str) -> frozenset[str]:
    """The distributions that are installed with it, and without any."""
    found = set()
    for requirement in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"].get(extra, [])]:
        if inner := re.match(r"hubbub\[([\w,]+)\]", requirement):
            found |= {name for one in inner[1].split(",") for name in brought(one)}
        else:
            found.add(normal(re.match(r"[\w-]+", requirement)[0]))  # type: ignore[index]
    return frozenset(found)


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def others(path: Path) -> set[str]:
    """The packages of others that a file imports when it runs."""
    found = set()
    tree = ast.parse(path.read_text())
    typing = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    judged = {inner for node in typing for statement in node.body for inner in ast.walk(statement)}
    for node in set(ast.walk(tree)) - judged:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return {name.partition(".")[0] for name in found} - sys.stdlib_module_names - {"hubbub"}


def test_each_part_imports_what_its_extra_brings() -> None:
    distributions = packages_distributions()
    for path in sorted(SOURCE.rglob("*.py")):
        inside = path.relative_to(SOURCE).as_posix()
        extra = next((extra for beginning, extra in NEEDED.items() if inside.startswith(beginning)), "")
        for package in others(path):
            assert any(normal(name) in brought(extra) for name in distributions[package]), f"{inside}: {package}"


def test_everything_is_in_the_extra_of_everything() -> None:
    assert brought("all") >= {name for extra in PROJECT["optional-dependencies"] for name in brought(extra)}


ALONE = """
import asyncio, sys

class Nothing:
    '''Where nothing but Python itself and hubbub is installed.'''
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in ("hubbub", "support"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
"""


def alone(program: str) -> subprocess.CompletedProcess[str]:
    path = str(Path(__file__).parents[1])
    begin = f"import sys; sys.path.insert(0, {path!r})\n"
    command = [sys.executable, "-c", begin + ALONE + program]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_hubs_and_the_bare_server_need_no_extra() -> None:
    done = alone("""
import hubbub, hubbub.asgi
from support.client import RawClient

class Echo(hubbub.Handler):
    def message(self, data):
        hub.join("room", self.socket)
        hub.broadcast("room", data)

async def main():
    async with hubbub.serve(Echo, port=0, hub=hub) as server:
        client = await RawClient.connect(server.port)
        client.text("hello")
        assert await client.read() == "hello"
        client.kill()

hub = hubbub.Hub()
asyncio.run(main())
assert "msgspec" not in sys.modules
""")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("statement", "package", "extra"),
    [
        ("import hubbub.realtime", "msgspec", "realtime"),
        ("from hubbub.api import api_app", "starlette", "standalone"),
        ("import hubbub.standalone", "msgspec", "standalone"),
        ("import hubbub.demo", "uvicorn", "serve"),
        ("import hubbub.load", "msgspec", "serve"),
        ("from hubbub.__main__ import main; main()", "typer", "serve"),
        ("import hubbub; hubbub.Hub(broker='local:')", "msgspec", "local"),
        ("import hubbub; hubbub.Hub(broker='sqlite:x.db')", "msgspec", "local"),
        ("import hubbub; hubbub.Hub(broker='redis://127.0.0.1')", "hiredis", "redis"),
    ],
)
def test_what_is_missing_is_named_with_its_extra(statement: str, package: str, extra: str) -> None:
    done = alone(statement)
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert package in said
    assert f"pip install 'hubbub[{extra}]'" in said
