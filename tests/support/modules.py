"""Files that a page of the docs shows, as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from support.pages import Page

__all__ = ["from_page"]


def from_page(name: str, title: str, folder: Path) -> Any:
    """The module that a page shows under that title, written to a folder and imported."""
    text = next(block.text for block in Page(name).blocks if block.title == title)
    (folder / title).write_text(text)
    spec = importlib.util.spec_from_file_location(f"shown_{title.removesuffix('.py')}", folder / title)
    assert spec is not None
    assert spec.loader is not None
    made = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made
