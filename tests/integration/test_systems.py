"""What hubbub is on Windows and on macOS, as far as it can be played here: see `support/elsewhere.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from hubbub import native
from support.elsewhere_program import HERE, MACOS, WINDOWS

TESTS = Path(__file__).parents[1]


@cache
def played(system: str) -> dict[str, str]:
    """What went wrong there, by check."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
    done = subprocess.run(
        [sys.executable, "-m", "support.elsewhere_program", system],
        env={**environment, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize("check", WINDOWS)
def test_on_windows(check: str) -> None:
    assert played("windows")[check] == "", played("windows")[check]


@pytest.mark.parametrize("check", MACOS)
def test_on_macos(check: str) -> None:
    if check == "doctor tells" and native.compiled("_codec") is None:
        pytest.skip("nothing is compiled here")
    assert played("macos")[check] == "", played("macos")[check]


@pytest.mark.parametrize("check", HERE)
def test_here_as_the_workflow_tries_it_on_other_systems(check: str) -> None:
    if check == "doctor tells" and native.compiled("_codec") is None:
        pytest.skip("nothing is compiled here")
    assert played("here")[check] == "", played("here")[check]
