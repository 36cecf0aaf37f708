"""What the docs and the README say is true as far as a test can tell."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

import hubbub
import hubbub.asgi
from hubbub.wire import diagram

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_compile_and_name_what_exists(page: Path) -> None:
    if page.name == "reference.md":
        return  # signatures, not programs
    for block in blocks(page):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "hubbub":
                assert node.attr in (*hubbub.__all__, "asgi"), block
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "hubbub.asgi":
                assert node.attr in hubbub.asgi.__all__, block


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_pages_made_from_the_code_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("docs_tool", ROOT / "tools" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for name, text in tool.pages().items():
        assert (ROOT / "docs" / name).read_text() == text.rstrip("\n") + "\n", f"run python tools/docs.py ({name})"


def test_the_promises_page_shows_the_state_machine_as_it_is() -> None:
    assert diagram() in (ROOT / "docs" / "promises.md").read_text()


def test_the_readme_begins_with_a_server_that_runs() -> None:
    server = blocks(ROOT / "README.md")[0]
    lines = [line for line in server.splitlines() if line.strip()]
    assert len(lines) <= 15
    names: dict[str, object] = {}
    exec(server.replace("hubbub.run(", "started = (").replace("hub=hub, port=4545", ""), names)  # all but the serving
    assert issubclass(names["Chat"], hubbub.Handler)  # type: ignore[arg-type]
