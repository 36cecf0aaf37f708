"""The benchmark of brokers measures what it says, on the engine that is always there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield


@pytest.mark.parametrize("key", ["publish", "echo", "history", "join"])
def test_one_process_is_measured_and_told_of(key: str) -> None:
    import between  # type: ignore[import-not-found]
    import brokers  # type: ignore[import-not-found]

    run = between.WORKLOADS[key].measure("local:", between.Times(0.2, 0.1))
    assert run["seconds" if key == "join" else "publications_per_s"] > 0
    table = brokers.table(between.WORKLOADS[key], {"runs": {"local:": [{"round": 0, **run}]}, "reasons": {}})
    assert "\n| local: |" in table


def test_an_engine_that_is_not_to_be_had_is_told_with_the_reason(tmp_path: Path) -> None:
    import engines  # type: ignore[import-not-found]

    absent = engines.Engine("none", "redis", lambda port, folder: ["false"])
    with pytest.raises(engines.Missing, match="did not start"), absent.running(0):
        pass
