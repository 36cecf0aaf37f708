"""The suite of brokers finds what is wrong: for each check there is a broker with one fault, which that check names."""

from __future__ import annotations

import os
from importlib import import_module

import pytest

from hubbub.testing.brokers import CHECKS, Broken, Check, MemoryBench, UrlBench, judge, trouble
from hubbub.testing.brokers.__main__ import main
from support.faults import FAULTS, Fault
from support.faults.life import OPENED
from support.linked import LinkedBench

for group in ("append", "control", "guards", "history", "interest", "life", "presence", "trouble"):
    import_module(f"support.faults.{group}")
BY_NAME = {str(check): check for check in CHECKS}


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_a_fault_is_found(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "FROZEN", 0.3)
    check = BY_NAME[fault.check]
    with pytest.raises(Broken) as raised:
        await check(fault.bench())
    while OPENED:
        os.close(OPENED.pop())
    assert check.promise in str(raised.value)


@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_a_right_broker_passes(check: Check) -> None:
    await check(LinkedBench())


def test_there_is_a_fault_for_each_check() -> None:
    assert {fault.check for fault in FAULTS} == set(BY_NAME)


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_each_check_says_what_it_promises(check: Check) -> None:
    assert check.promise.endswith(".")


def test_the_table_says_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["memory:", "-k", "guards"]) == 0
    assert "PASS" in capsys.readouterr().out
    assert main(["--bench", "support.faults.guards:WrongBench", "-k", "guards.key_"]) == 1
    told = capsys.readouterr().out
    assert "FAIL" in told
    assert BY_NAME["guards.key_counts_once"].promise in told
    assert told.count("guards.key_counts_once") == 1
    assert main(["memory:", "-k", "cut_is_told"]) == 0
    assert "SKIP" in capsys.readouterr().out


def test_a_url_of_nothing_is_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nothing:at:all"])
    assert "no broker has the URL" in capsys.readouterr().err


async def test_an_engine_that_is_not_there_is_told_with_its_reason() -> None:
    bench = UrlBench("nats://127.0.0.1:9")  # nobody listens there
    bench.patience = 1.0
    with pytest.raises(Broken, match=r"it said: .*127\.0\.0\.1:9"):
        await BY_NAME["control.to_one_node"](bench)


def test_what_a_bench_lacks_is_skipped_with_its_reason() -> None:
    outcome = judge(BY_NAME["trouble.cut_is_told"], MemoryBench())
    assert (outcome.word, outcome.reason) == ("SKIP", "the bench has no `cut`")
