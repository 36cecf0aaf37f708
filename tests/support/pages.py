"""Pages of the docs whose Python blocks are run, one after the other, as one program."""

from __future__ import annotations

import ast
import inspect
import re
import types
from pathlib import Path
from typing import Any

__all__ = ["DOCS", "Page"]

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
