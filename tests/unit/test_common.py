"""Limits, logs and supervision."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import logging
import math
import os
import subprocess
import sys
from typing import Any

import pytest

import hubbub
from hubbub import native
from hubbub.logs import PeerLog, printable
from hubbub.supervision import Pauses, supervise


def test_limits_are_frozen_and_checked_when_made() -> None:
    limits = hubbub.Limits()
    with pytest.raises(dataclasses.FrozenInstanceError):
        limits.max_inbox = 1  # type: ignore[misc]
    for name in (field.name for field in dataclasses.fields(limits)):
        for value in (0, -1, math.nan):
            with pytest.raises(hubbub.Misuse, match=name):
                hubbub.Limits(**{name: value})
    with pytest.raises(hubbub.Misuse, match="one slow socket"):
        hubbub.Limits(max_backlog=100, max_total_backlog=99)


@pytest.mark.parametrize("huge", [10**30, math.inf])
def test_a_limit_that_nothing_reaches_is_one_that_compiled_code_can_hold(huge: Any) -> None:
    limits = hubbub.Limits(max_total_backlog=huge, max_mailbox=huge, max_message_rate=huge, backlog_timeout=huge)
    assert limits.max_total_backlog == limits.max_mailbox == limits.max_message_rate == sys.maxsize // 2
    assert limits.backlog_timeout == 1e9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ümlaut", "plain ümlaut"),
        ("a\nERROR forged", r"a\nERROR forged"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\u202eright to left", r"\u202eright to left"),
        ("\ud800", r"\ud800"),
        ("x" * 300, "x" * 200 + "…"),
    ],
)
def test_what_a_peer_sends_is_escaped_and_cut(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_lines_about_peers_are_counted_above_their_rate(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 0.0
    log = PeerLog(3, lambda: now)
    for number in range(10):
        log.write(logging.INFO, "line %d of %s", number, "peer\n")
    assert [record.getMessage() for record in caplog.records] == [f"line {n} of peer\\n" for n in range(3)]
    assert log.suppressed == 7
    caplog.clear()
    now = 1.0
    log.write(logging.INFO, "next")
    assert [record.getMessage() for record in caplog.records] == [
        "7 more log lines about peers were suppressed",
        "next",
    ]


def test_an_errors_traceback_cannot_forge_a_line_and_is_there_for_collectors() -> None:
    out = io.StringIO()
    handler, seen = logging.StreamHandler(out), []
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    handler.addFilter(lambda record: seen.append(record) or True)
    logging.getLogger("hubbub").addHandler(handler)
    error = ValueError("bad\nERROR forged\x1b[0m")
    try:
        PeerLog(3).failure("a handler failed", error)
    finally:
        logging.getLogger("hubbub").removeHandler(handler)
    first, *rest = out.getvalue().splitlines()
    assert first == "ERROR a handler failed"
    assert rest == ["  | ValueError: bad", "  | ERROR forged\\x1b[0m"]  # once, and escaped
    (record,) = seen
    assert record.exc_info == (ValueError, error, None)  # as Sentry, structlog and JSON formatters want it
    assert record.funcName == "test_an_errors_traceback_cannot_forge_a_line_and_is_there_for_collectors"


class Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit("not even that")

    __repr__ = __str__


@pytest.mark.parametrize("error", [Unprintable(), ValueError("x\n" * 100_000)], ids=["unprintable", "endless"])
def test_any_exception_can_be_logged_in_bounded_lines(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    PeerLog(3).failure("a handler failed", error)
    assert type(error).__name__ in caplog.text
    assert len(caplog.text.splitlines()) < 210


def test_pauses_double_up_to_the_longest_and_begin_again_after_a_good_run() -> None:
    pauses = Pauses(first=1, longest=5)
    assert [pauses.after(0) for _ in range(4)] == [1, 2, 4, 5]
    assert pauses.after(100) == 1
    assert pauses.failures == 5


async def test_what_fails_is_started_again_until_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    runs = []

    async def work() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise RuntimeError("broken")

    await supervise("the work", work, Pauses(first=0.001))
    assert len(runs) == 3
    assert caplog.text.count("the work failed; starting it again") == 2


async def test_supervision_ends_when_it_is_cancelled() -> None:
    task = asyncio.create_task(supervise("the work", asyncio.Event().wait))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("wish", "built", "chosen"), [("", True, True), ("", False, False), ("0", True, False), ("1", True, True)]
)
def test_the_twin_is_chosen_openly(wish: str, built: bool, chosen: bool) -> None:
    assert native.choose({"HUBBUB_NATIVE": wish}, built) is chosen


def test_a_twin_that_is_not_there_is_no_silent_choice() -> None:
    with pytest.raises(hubbub.Misuse, match="demands the compiled part"):
        native.choose({"HUBBUB_NATIVE": "1"}, built=False)
    with pytest.raises(hubbub.Misuse, match=r"0 .* or 1"):
        native.choose({"HUBBUB_NATIVE": "yes"}, built=True)


def test_pure_python_can_be_wished_for_and_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBUB_NATIVE", "0")
    assert native.compiled("_codec") is None
    assert native.describe().startswith("pure Python: ")


@pytest.mark.parametrize(("wish", "module"), [("0", "hubbub.wire.reader"), ("1", "hubbub.native._codec")])
def test_the_wish_decides_which_reader_works(wish: str, module: str) -> None:
    if wish == "1" and not native.describe().startswith("compiled"):
        pytest.skip(native.describe())
    program = "from hubbub.wire import protocol; print(protocol.Reader.__module__)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "HUBBUB_NATIVE": wish},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.strip() == module


def test_errors_say_whether_trying_again_makes_sense() -> None:
    assert hubbub.Overloaded.retriable
    assert hubbub.LimitReached.retriable
    assert not hubbub.Misuse.retriable
    assert issubclass(hubbub.Disconnected, OSError)
    assert issubclass(hubbub.Misuse, ValueError)
