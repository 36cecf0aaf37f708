"""Pages of the docs: what they show, block by block, and their Python as programs.

A block is a fence, or a comment that a reader does not see. Comments say how a page is run:

    <!-- python                       Python that is run and not shown: what the page takes for granted
    import os
    -->
    <!-- apart -->                    the next block begins anew: it knows nothing of those before it
    <!-- copy examples/chat.py -->    these files of the repository lie beside the next block
    <!-- raises Misuse -->            the next block ends with this error
    <!-- pytest -k quick -->          what pytest is told, where the next block is tests
    <!-- as in examples/chat.py -->   it is that file, which a test of its own runs; or a part of it
    <!-- skip: why -->    it is not run; tests/unit/test_docs.py bounds how many there are

A fence with `title="chat.py"`, or whose first line is `# chat.py`, is also a file of that name, which later blocks may
import. One whose file is called test_*.py, or that has a `def test_...`, is run by pytest; without a name it goes on
with the file of the one before. A comment with Python that has a title is a file alone.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import types
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

__all__ = ["DOCS", "PAGES", "ROOT", "Block", "Page", "blocks_of", "merged"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
BLOCK = re.compile(
    r"^(?P<indent> *)(?:(?P<fence>```+) *(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)(?P=fence) *$"
    r"|<!--(?P<comment>.*?)-->)",
    re.DOTALL | re.MULTILINE,
)
TITLE = re.compile(r'title="([^"]*)"')
NAMED = re.compile(r"# ([\w/]+\.py)\n")


@dataclass(frozen=True)
class Block:
    """Args: title: of the file that it is. way: the comments that say how it is run."""

    language: str
    text: str
    line: int
    title: str = ""
    way: tuple[str, ...] = ()
    hidden: bool = False

    def told(self, word: str) -> str | None:
        """What a comment with that first word says of it; None: there is none."""
        for comment in self.way:
            if re.match(rf"{word}\b", comment):
                return comment.removeprefix(word).lstrip(": ")
        return None

    @cached_property
    def tests(self) -> bool:
        """Whether pytest is to run it."""
        return self.title.startswith("test_") or bool(re.search(r"^(async )?def test_", self.text, re.MULTILINE))


def blocks_of(page: str) -> list[Block]:
    """Every block of a page."""
    found: list[Block] = []
    way: list[str] = []
    for match in BLOCK.finditer(page):
        line = page.count("\n", 0, match.start()) + 1
        if (comment := match["comment"]) is not None:
            if not re.match(r"\s*python\b[^\n]*\n", comment):
                way.append(" ".join(comment.split()))
                continue
            info, _, text = comment.lstrip().partition("\n")
        else:
            info, text = match["info"], match["text"]
        language, _, rest = info.partition(" ")
        title = TITLE.search(rest) or NAMED.match(textwrap.dedent(text))
        found.append(
            Block(language, textwrap.dedent(text), line, title[1] if title else "", tuple(way), comment is not None)
        )
        way.clear()
    return found


class Page:
    """What its blocks have defined is in `names`; `left` are those that are shown and have not been run."""

    def __init__(self, name: str, **names: Any) -> None:
        self.path = (DOCS / name).resolve()
        self.blocks = blocks_of(self.path.read_text())
        self.left = [block.text for block in self.blocks if block.language == "python" and not block.hidden]
        self.begin(names)

    def begin(self, names: dict[str, Any] | None = None) -> None:
        """Forget everything that was defined."""
        module = types.ModuleType(f"a page: {self.path.name}")
        self.names = module.__dict__
        self.names.update(names or {})

    def compiled(self, text: str, line: int = 0) -> tuple[types.CodeType, bool]:
        """The code of a block, and whether it awaits at its top level. Lines are numbered as in the page."""
        code = compile("\n" * line + text, str(self.path), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True)
        return code, bool(code.co_flags & inspect.CO_COROUTINE)

    async def run(self, blocks: int) -> None:
        """So many more; they may await at their top level."""
        for _ in range(blocks):
            done = eval(self.compiled(self.left.pop(0))[0], self.names)
            if inspect.isawaitable(done):
                await done

    def __getattr__(self, name: str) -> Any:
        return self.names[name]


def merged(program: str, block: str) -> str:
    """The program with what a step of a tutorial adds to it: what has a name already is replaced, in its place.

    What is new stands in front of what follows it in the block and is replaced, or else at the end.
    """
    statements = [(_name(node), ast.unparse(node)) for node in ast.parse(program).body]
    waiting: list[tuple[str, str]] = []
    for node in ast.parse(block).body:
        name, text = _name(node), ast.unparse(node)
        known = [at for at, (there, _) in enumerate(statements) if there == name and name]
        if isinstance(node, ast.Import | ast.ImportFrom):
            statements.insert(0, (name, text))
        elif known:
            statements[known[0] : known[0] + 1] = [*waiting, (name, text)]
            waiting = []
        else:
            waiting.append((name, text))
    return "\n".join(text for _, text in [*statements, *waiting]) + "\n"


def _name(node: ast.stmt) -> str:
    """What a statement defines; "": nothing."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name
    return ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else ""
