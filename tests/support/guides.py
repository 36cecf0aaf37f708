"""Pages of the docs whose blocks are files of a program, or one program that is run by itself."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["blocks", "files"]

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str = "python") -> list[str]:
    """Those of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)


def files(page: str, folder: Path) -> list[Path]:
    """Write what its Python blocks name in their first line; a block that names nothing goes on with the one before."""
    written: dict[Path, str] = {}
    for block in blocks(page):
        named = re.match(r"# (\w+\.py)\n", block)
        path = folder / named[1] if named else list(written)[-1]
        written[path] = written.get(path, "") + block
    for path, text in written.items():
        path.write_text(text)
    return list(written)
