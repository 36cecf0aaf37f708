"""Pages of the docs whose Python blocks are run, one after the other, as one program."""

from __future__ import annotations

import ast
import inspect
import re
import types
from pathlib import Path
from typing import Any

__all__ = ["DOCS", "Page", "merged"]

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


class Page:
    """What its blocks have defined is in `names`; `left` are those that have not been run."""

    def __init__(self, name: str, **names: Any) -> None:
        self.left = BLOCK.findall((DOCS / name).read_text())
        module = types.ModuleType(f"a page: {name}")
        self.names = module.__dict__
        self.names.update(names)

    async def run(self, blocks: int) -> None:
        """So many more; they may await at their top level."""
        for _ in range(blocks):
            code = compile(self.left.pop(0), self.names["__name__"], "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True)
            done = eval(code, self.names)
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
