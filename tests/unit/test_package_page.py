"""What the package's page says: the README, with links that lead somewhere from there."""

from __future__ import annotations

import re
import runpy
from typing import Any

import pytest
import setuptools

from support.pages import ROOT
from support.shown import project


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py says beside pyproject.toml."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **settings: found.update(settings))
    monkeypatch.setenv("HUBBUB_NATIVE", "0")
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    return found


def test_every_link_is_whole_and_leads_into_the_repository(told: dict[str, Any]) -> None:
    home = project()["urls"]["Repository"]
    images = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", told["long_description"])
    assert images
    assert all(image.startswith(f"{home}/raw/main/docs/assets/") for image in images)
    links = re.findall(r"\]\(([^)]*)\)", told["long_description"])
    assert len(links) > 15
    for link in links:
        assert link.startswith("https://"), link
        if link.startswith(home):
            kind, branch, path = link.removeprefix(f"{home}/").split("/", 2)
            assert (kind, branch) == (
                "raw" if path.endswith((".png", ".svg")) and "burst" not in path else "blob",
                "main",
            )
            assert (ROOT / path.partition("#")[0]).exists(), link


def test_it_is_markdown_without_what_only_tests_read(told: dict[str, Any]) -> None:
    assert told["long_description_content_type"] == "text/markdown"
    assert "<!--" not in told["long_description"]
    assert told["long_description"].startswith("# hubbub\n")


def test_the_project_names_where_it_lives() -> None:
    assert project()["urls"].keys() >= {"Repository", "Documentation", "Changelog", "Issues"}
