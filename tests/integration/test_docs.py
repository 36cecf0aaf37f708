"""What the pages of the docs show, runs: all of their Python, page by page, each as one program."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.pages import DOCS, PAGES, ROOT, Page
from support.reader import read

SIGNATURES = DOCS / "reference"  # are no programs: tests/unit/test_reference.py looks at them


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that programs are imported from, and an environment and modules that are forgotten afterwards."""
    before, modules = os.environ.copy(), set(sys.modules)
    os.environ.pop("HUBBUB_BROKER", None)
    os.environ["XDG_RUNTIME_DIR"] = str(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize(
    "path",
    [path for path in PAGES if SIGNATURES not in path.parents],
    ids=lambda path: str(path.relative_to(ROOT)),
)
async def test_a_page_runs(path: Path, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page(os.path.relpath(path, DOCS))
    if any(block.language == "python" for block in page.blocks):
        await read(page, world, monkeypatch)
