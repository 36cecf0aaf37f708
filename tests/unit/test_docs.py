"""What the docs and the README say is true as far as a test can tell. That their Python runs, another test shows."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import shutil
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import hubbub
import hubbub.asgi
import hubbub.realtime
from hubbub.wire import diagram
from support.pages import DOCS, PAGES, ROOT, Block, Page, blocks_of
from support.shown import FILES, JUDGES, commands_of, judge_command, project, scripts_that_do_not_parse, variables

MOST_SKIPPED = 4
LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@cache
def text_of(page: Path) -> str:
    return page.read_text()


def prose(page: Path) -> str:
    """A page without its blocks and comments."""
    return re.sub(r"^( *)```.*?^\1``` *$|<!--.*?-->", "", text_of(page), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Those of its headings, as the site makes them."""
    from markdown.extensions.toc import slugify, unique

    found: set[str] = set()
    for heading in HEADING.findall(prose(page)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        unique(slugify(plain, "-"), found)
    return found | set(re.findall(r'<a (?:id|name)="([^"]+)"', text_of(page)))


def where(page: Path, block: Block) -> str:
    return f"{page.relative_to(ROOT)}:{block.line}"


@each_page
def test_blocks_of_every_language_are_what_they_seem(page: Path) -> None:
    for block in blocks_of(text_of(page)):
        if block.language == "python":
            continue
        assert block.language in JUDGES, f"{where(page, block)}: a language that nothing here can judge"
        if block.told("skip") is None:
            try:
                JUDGES[block.language](block)
            except Exception as error:
                error.add_note(where(page, block))
                raise


@each_page
def test_python_blocks_compile_and_name_what_exists(page: Path) -> None:
    for block in blocks_of(text_of(page)):
        if block.language != "python" or page.parent.name == "reference":
            continue  # signatures, not programs
        tree = compile(block.text, where(page, block), "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("hubbub", "hubbub.asgi"):
                assert named(ast.unparse(node)), f"{where(page, block)}: no {ast.unparse(node)}"


def named(name: str) -> bool:
    """Whether there is such a thing in hubbub."""
    found: Any = hubbub
    for part in name.split(".")[1:]:
        if not hasattr(found, part) and inspect.ismodule(found):
            try:
                importlib.import_module(f"{found.__name__}.{part}")
            except ImportError:
                return False
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def test_what_is_not_run_has_a_reason_and_is_rare() -> None:
    skipped = [(page, block) for page in PAGES for block in blocks_of(text_of(page)) if block.told("skip") is not None]
    for page, block in skipped:
        assert len(str(block.told("skip")).split()) >= 4, f"{where(page, block)}: why is it not run?"
    assert len(skipped) <= MOST_SKIPPED, [where(*one) for one in skipped]


@each_page
def test_what_is_named_in_a_sentence_exists(page: Path) -> None:
    for code in CODE.findall(prose(page)):
        if re.match(r"(hubbub|uvicorn) [a-z-]", code) and "..." not in code:
            for command in commands_of(code.replace("COMMAND --help", "--help")):
                judge_command(command, whole=False)
        if found := re.fullmatch(r"(Limits|Bounds|Namespace)\.(\w+)(\(.*)?", code):
            known = {field.name for kind in kinds(found[1]) for field in fields(kind)}
            assert found[2] in known, code
        if re.fullmatch(r"hubbub(\.\w+)+", code):
            assert named(code), code
        for file in FILES.findall(code):
            assert (ROOT / file).exists() or "benchmarks/results" in file, file
    for variable in re.findall(r"\bHUBBUB_[A-Z_]+[A-Z]\b", text_of(page)):
        assert variable in variables() or variable.startswith("HUBBUB_CHANNEL_NAMESPACES_"), variable


def kinds(name: str) -> list[Any]:
    return [getattr(module, name) for module in (hubbub, hubbub.realtime) if hasattr(module, name)]


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in (target for pair in LINK.findall(prose(page)) for target in pair if target):
        home = project()["urls"]["Repository"] + "/blob/main/" if "urls" in project() else "//"
        target = f"/{link.removeprefix(home)}" if link.startswith(home) else link
        if re.match(r"https?://", target):
            assert re.fullmatch(r"https?://[\w.:-]+(/[\w./%~@+-]*)?(\?[\w=&.,-]+)?(#[\w-]+)?", target), link
            continue
        name, _, anchor = target.partition("#")
        file = ROOT / name[1:] if name.startswith("/") else (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in anchors(file), f"{page.name} links to {link}; there is {sorted(anchors(file))}"
        if page.is_relative_to(DOCS) and not link.startswith("http"):
            assert file.is_relative_to(DOCS), f"{page.name} links to {link}, which is not on the site"


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node here: apt-get install nodejs")
def test_scripts_parse() -> None:
    scripts = [
        (where(page, block), block.text)
        for page in PAGES
        for block in blocks_of(text_of(page))
        if block.language == "js" and block.told("skip") is None
    ]
    assert scripts
    assert scripts_that_do_not_parse(scripts) == []


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))


def test_the_pages_made_from_the_code_are_up_to_date(tools: None) -> None:
    for name, text in importlib.import_module("docs").pages().items():
        assert (DOCS / name).read_text() == text.rstrip("\n") + "\n", f"run python tools/docs.py ({name})"


def test_the_promises_page_shows_the_state_machine_as_it_is() -> None:
    assert diagram() in (ROOT / "docs" / "promises.md").read_text()


def test_the_readme_begins_with_a_server_that_is_short() -> None:
    server = Page("../README.md").left[0]
    lines = [line for line in server.splitlines() if line.strip()]
    assert len(lines) <= 15
    assert "hubbub.run(" in server
