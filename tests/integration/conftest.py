"""Fixtures for what is tested with programs of others."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def node_ws() -> Path:
    """A folder with npm's ws, kept between runs."""
    return _with("ws@8", "ws/package.json")


@pytest.fixture(scope="module")
def centrifuge_js() -> Path:
    """The published Centrifuge client for browsers, kept between runs."""
    return _with("centrifuge@5", "centrifuge/dist/centrifuge.js") / "node_modules/centrifuge/dist/centrifuge.js"


def _with(package: str, file: str) -> Path:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("no Node here: apt-get install nodejs npm")
    folder = ROOT / ".cache" / "node"
    if not (folder / "node_modules" / file).exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), package]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            pytest.skip(f"npm could not install {package}: {done.stderr.strip()[-200:]}")
    return folder
