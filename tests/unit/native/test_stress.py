"""The compiled fan-out without Python, for a moment; `make sanitize` runs the same for long and under sanitizers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.compiler import CORE, NATIVE_TESTS, compiled

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the compiled fan-out is made of epoll and eventfd")


def test_hammered_from_many_threads_it_keeps_order_and_accounts_for_every_message(tmp_path: Path) -> None:
    sources = [NATIVE_TESTS / name for name in ("stress.c", "world.c", "peer.c")]
    program = compiled(tmp_path / "stress", sources + CORE)
    done = subprocess.run([program, "0.5"], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_threads_it_writes_in_the_callers_turn(tmp_path: Path) -> None:
    program = compiled(tmp_path / "threadless", [NATIVE_TESTS / "threadless.c", *CORE])
    done = subprocess.run([program], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_kernel_without_memory_is_asked_again_now_and_then(tmp_path: Path) -> None:
    program = compiled(tmp_path / "refused", [NATIVE_TESTS / "refused.c", *CORE])
    done = subprocess.run([program], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stdout + done.stderr
