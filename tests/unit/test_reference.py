"""The reference has every public name, with signatures that are Python, and types that a reader can know."""

from __future__ import annotations

import ast
import builtins
import collections.abc
import inspect
import re
import typing
from pathlib import Path
from typing import Any

import pytest

import hubbub
import hubbub.api
import hubbub.asgi
import hubbub.brokers
import hubbub.realtime
import hubbub.testing.brokers
from support.pages import DOCS, blocks_of

MODULES = (hubbub, hubbub.asgi, hubbub.realtime, hubbub.api, hubbub.brokers, hubbub.testing.brokers)
PAGES = sorted((DOCS / "reference").glob("*.md"))
STANDARD = {"asyncio", "os", "socket", "ssl", "dataclass", "Enum", "StrEnum", "timedelta", "self", "property"}
KNOWN = STANDARD | set(vars(builtins)) | set(typing.__all__) | set(collections.abc.__all__)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def signatures(page: Path) -> list[str]:
    return [block.text for block in blocks_of(page.read_text()) if block.language == "python"]


def headed(page: Path) -> dict[str, str]:
    """What stands below each heading with a name."""
    parts = re.split(r"^#+ ([\w.]+)$", page.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@each_page
def test_every_signature_is_python_with_types_that_exist(page: Path) -> None:
    public = {name for module in MODULES for name in module.__all__}
    explained = set(re.findall(r"^- `(\w+)`: ", page.read_text().partition("## Types in these")[2], re.MULTILINE))
    for text in signatures(page):
        for node in ast.walk(ast.parse(text)):
            places = [getattr(node, "annotation", None), getattr(node, "returns", None), *getattr(node, "bases", [])]
            for place in filter(None, places):
                names = {one.id for one in ast.walk(place) if isinstance(one, ast.Name)}
                assert names <= public | KNOWN | explained, text


@each_page
def test_they_are_written_as_one_would_write_them(page: Path) -> None:
    for text in signatures(page):
        assert "'" not in re.sub(r'"[^"]*"', "", text), text
        assert "<" not in text, text
        assert "__main__" not in text
        assert max(map(len, text.splitlines())) <= 110, text


def test_every_public_name_is_there_once_at_least() -> None:
    found = {name for page in PAGES for name in headed(page)}
    for module in MODULES:
        for name in module.__all__:
            same = {f"{one.__name__}.{name}" for one in MODULES if getattr(one, name, 0) is getattr(module, name)}
            assert same & found, f"{module.__name__}.{name}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_coroutines_and_properties_are_shown_as_such(module: Any) -> None:
    sections = {name: text for page in PAGES for name, text in headed(page).items()}
    seen = 0
    for public in module.__all__:
        item = getattr(module, public)
        for name, member in inspect.getmembers_static(item) if inspect.isclass(item) else []:
            section = sections.get(f"{public}.{name}")
            if section is None or name.startswith("_"):
                continue
            seen += 1
            section = section.partition("```\n")[0]
            assert ("async def" in section) == inspect.iscoroutinefunction(getattr(item, name)), f"{public}.{name}"
            assert ("@property" in section) == isinstance(member, property), f"{public}.{name}"
    assert seen or module is hubbub.asgi or module is hubbub.testing.brokers
    if module is hubbub:
        assert 'overflow: Overflow | Policy = "disconnect"' in sections["hubbub.Hub"]
        assert "class Hub(Generic[Meta]):" in sections["hubbub.Hub"]
        assert "uds_mode: int = 0o666" in sections["hubbub.run"]
