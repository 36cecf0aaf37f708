"""The files around the code: what a release is made of, and what those find who want to join in."""

from __future__ import annotations

import copy
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("yaml", reason="pip install PyYAML")
ROOT = Path(__file__).parents[2]


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release_tool", ROOT / "tools" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


tool = _loaded()
RELEASE = (ROOT / ".github/workflows/release.yml").read_text()
FORM = (ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text()


def test_what_can_be_seen_before_a_release_is_built_is_right() -> None:
    pytest.importorskip("cibuildwheel", reason="pip install cibuildwheel")
    assert list(tool.files()) == []


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", "not pinned"),
        ("needs: [source, wheels]", "needs: [sources, wheels]", "needs sources"),
        ("make check-release", "make check-relaese", "make check-relaese"),
        ("tools/release.py notes", "tools/notes.py", "tools/notes.py"),
        ("    timeout-minutes: 60\n", "", "wheels has no timeout"),
        ("  contents: read\n", "  contents: write\n", "may read"),
    ],
)
def test_a_wrong_workflow_is_found(was: str, becomes: str, said: str) -> None:
    assert was in RELEASE
    (wrong,) = set(tool.of_workflow(RELEASE.replace(was, becomes)))
    assert said in wrong


def test_a_processor_without_wheels_is_found() -> None:
    (row,) = re.findall(r"^ +- \{ os: macos-15, .*\n", RELEASE, re.MULTILINE)
    (wrong,) = tool.of_matrix(RELEASE.replace(row, ""))
    assert "('macos', 'arm64')" in wrong


@pytest.mark.parametrize(
    ("was", "becomes"), [("labels: [bug]\n", ""), ("id: program", "id: doctor"), ("label: ", "x: ")]
)
def test_a_wrong_form_is_found(was: str, becomes: str) -> None:
    assert list(tool.of_form(FORM)) == []
    assert list(tool.of_form(FORM.replace(was, becomes)))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("requires-python", ">=3.10", "requires-python"),
        ("urls", {**tool.PROJECT["urls"], "Issues": "https://example.org/issues"}, "the URL Issues"),
        ("classifiers", [*tool.PROJECT["classifiers"], "License :: OSI Approved :: MIT License"], "expression"),
        ("dynamic", ["version"], "the version"),
    ],
)
def test_wrong_metadata_is_found(key: str, value: Any, said: str) -> None:
    assert any(said in wrong for wrong in tool.of_project({**tool.PROJECT, key: value}))


@pytest.mark.parametrize("change", [{"build": "cp311-*"}, {"archs": ["x86_64", "arch64"]}, {"bild": "cp311-*"}])
def test_wrong_options_for_wheels_are_found(change: dict[str, Any]) -> None:
    pytest.importorskip("cibuildwheel", reason="pip install cibuildwheel")
    options = copy.deepcopy(tool.SETTINGS["tool"]["cibuildwheel"])
    (options["linux"] if "archs" in change else options).update(change)
    assert list(tool.of_wheels(options))


def test_a_changelog_that_is_behind_is_found() -> None:
    version = tool.PROJECT["version"]
    assert list(tool.of_changelog(f"# Changes\n\n## {version} (unreleased)\n")) == []
    assert list(tool.of_changelog(f"# Changes\n\n## {version} (2030-01-31)\n", released=True)) == []
    assert list(tool.of_changelog(f"# Changes\n\n## {version} (unreleased)\n", released=True))
    assert list(tool.of_changelog("# Changes\n\n## 0.0.1 (2030-01-31)\n"))


def test_a_tag_has_to_be_the_versions_in_this_repository() -> None:
    def about(*arguments: str) -> list[str]:
        return [wrong for wrong in tool.tag(*arguments) if "CHANGELOG" not in wrong]

    version, home = tool.PROJECT["version"], tool.PROJECT["urls"]["Repository"].removeprefix("https://github.com/")
    assert about(f"v{version}", home) == []
    assert len(about("v9.9.9", "somebody/else")) == 2


def test_a_release_that_is_not_complete_is_found() -> None:
    lacking = list(tool.complete([]))
    names = [
        re.sub(r"\*(\w+)\*(\w+)|macosx\*(\w+)", r"\1_2_28_\2", one.removeprefix("there is no ")) for one in lacking
    ]
    names = [name if "__" not in name else name.replace("__", "macosx_11_0_arm64") for name in names]
    assert len(lacking) == 2 + 5 * 6
    assert not [wrong for wrong in tool.complete(names) if "linux" in wrong or "tar" in wrong]
    assert list(tool.complete(["hubbub-0.0.0.tar.gz"]))[-1] == "what is hubbub-0.0.0.tar.gz?"


def says(wrong: Iterable[str]) -> str:
    return "\n".join(wrong)


def test_what_a_package_has_too_much_or_lacks_is_found() -> None:
    tracked = {"setup.py", "src/hubbub/hub.py", "src/hubbub/native/a.c", "benchmarks/run.py", ".ci/run"}
    assert list(tool.of_sdist({"setup.py", "src/hubbub/hub.py", "src/hubbub/native/a.c", "PKG-INFO"}, tracked)) == []
    assert "has notes" in says(tool.of_sdist(tracked | {"notes"}, tracked))
    assert "lacks src/hubbub/native/a.c" in says(tool.of_sdist({"setup.py", "src/hubbub/hub.py"}, tracked))
    built = {"hubbub/hub.py", "hubbub/native/a.so", "hubbub-1.dist-info/METADATA"}
    assert list(tool.of_wheel(built, tracked, "[there](https://example.org)")) == []
    assert "has hubbub/native/a.c" in says(tool.of_wheel(built | {"hubbub/native/a.c"}, tracked, ""))
    assert "lacks hubbub/hub.py" in says(tool.of_wheel(built - {"hubbub/hub.py"}, tracked, ""))
    assert "leads nowhere" in says(tool.of_wheel(built, tracked, "[there](docs/index.md)"))


def test_the_notes_of_a_release_are_its_entry_in_the_changelog() -> None:
    assert tool.notes()
    assert not tool.notes().startswith("#")
    assert "\n## " not in tool.notes()


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md"])
def test_pages_for_those_who_join_name_files_and_targets_that_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\((?![a-z]+:|#)([^)#]+)", text):
        assert (ROOT / target).exists(), target
    for target in re.findall(r"`make ([a-z-]+)", text):
        assert target in tool.targets(), target
    for path in re.findall(r"`((?:src|tests|docs|tools|benchmarks)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path
    for address in re.findall(r"https://github\.com/[\w./-]+", text):
        assert address.startswith(tool.PROJECT["urls"]["Repository"]), address
