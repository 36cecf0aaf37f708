"""No bound without a test that reaches it: tests say which one they reach by `@pytest.mark.limit("name")`.

A name alone is a field of `hubbub.Limits`, and `Bounds.name` one of `hubbub.realtime.Bounds`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import hubbub
from hubbub.realtime import Bounds

TESTS = Path(__file__).parents[1]


def marked(source: str) -> Iterator[str]:
    """The names that a test file gives to the marker."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.limit":
            (name,) = node.args
            assert isinstance(name, ast.Constant), "a limit is named by a literal"
            yield str(name.value)


def test_every_limit_is_reached_by_a_test_and_every_marker_names_a_limit() -> None:
    reached = {name for file in TESTS.rglob("test_*.py") for name in marked(file.read_text(encoding="utf-8"))}
    limits = {field.name for field in fields(hubbub.Limits)}
    assert reached == limits | {f"Bounds.{field.name}" for field in fields(Bounds)}
