"""Programs and libraries of the C sources, for tests of them without Python's binding."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

__all__ = ["CORE", "NATIVE_TESTS", "compiled"]

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "src" / "hubbub" / "native"
NATIVE_TESTS = ROOT / "tests" / "native"
CORE = [
    NATIVE / f"{name}.c"
    for name in ("frame", "counts", "backlog", "outlet", "notices", "poller", "shard", "batch", "turn", "writers")
]


def compiled(into: Path, sources: list[Path], *flags: str) -> Path:
    """Compile that to a file of that name, or skip the test where it cannot be."""
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    if not shutil.which(compiler[0]):
        pytest.skip(f"no C compiler here: {compiler[0]} is not found")
    if not NATIVE.is_dir():
        pytest.skip("the C sources are not here: an installed package has none")
    command = [*compiler, "-std=c11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{NATIVE}", *flags]
    command += ["-o", str(into), *map(str, sources), "-pthread"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return into
