"""A parent that cannot reach one of its workers, or start another, goes on with the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from hubbub.server.workers import Family


def gone() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen(["true"]) as ended:
        pass
    return ended.pid


def test_a_signal_that_one_worker_cannot_have_reaches_the_others() -> None:
    family = Family(2, lambda parent: None)
    with subprocess.Popen(["sleep", "30"]) as living:
        family._started = {gone(): 0.0, living.pid: 0.0}
        family._on_signal(signal.SIGTERM, None)
        assert living.wait(5) == -signal.SIGTERM


def test_a_worker_for_which_somebody_else_has_waited_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    family = Family(1, lambda parent: None)
    family._due.clear()
    family._started = {(pid := gone()): time.monotonic()}
    family._reap()
    assert not family._started
    assert len(family._due) == 1
    assert f"worker {pid} ended" in caplog.text


def test_children_that_are_no_workers_are_left_to_who_has_them() -> None:
    family = Family(1, lambda parent: None)
    with subprocess.Popen(["true"]) as other:
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        family._reap()
        assert other.wait() == 0


def test_a_worker_that_cannot_be_started_is_started_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    family = Family(2, lambda parent: None)
    family._start_due()
    assert not family._started
    assert all(due > time.monotonic() for due in family._due)
    assert len(family._due) == 2
    assert "no worker can be started: Resource temporarily unavailable" in caplog.text
