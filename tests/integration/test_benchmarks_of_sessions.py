"""The benchmark of sessions measures what it says."""

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


@pytest.mark.parametrize("scheme", ["memory:", "sqlite:"])
def test_what_a_program_publishes_is_counted(scheme: str) -> None:
    import sessions  # type: ignore[import-not-found]

    figures = sessions.published(scheme, 0.2)
    assert figures["publications_per_s"] > 0
    assert figures["cpu_us"] > 0


def test_a_thousand_sessions_recover() -> None:
    import sessions

    figures = sessions.recovered(sessions.OURS)
    assert 0 < figures["seconds"] < 30


@pytest.mark.parametrize("batch", [1, 100])
def test_what_comes_over_http_is_counted(batch: int) -> None:
    import sessions

    figures = sessions.over_http(sessions.SERVE, batch, 0.2)
    assert figures["publications_per_s"] > 0
    assert figures["of_goal"] > 0
