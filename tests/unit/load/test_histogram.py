"""Buckets without gaps, quantiles without surprises."""

from __future__ import annotations

import pickle

from hubbub.load.histogram import LONGEST, Histogram, bucket, edges


def recorded(*values: int) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def test_buckets_follow_one_another_without_gap_or_overlap() -> None:
    end = -1
    for index in range(bucket(LONGEST) + 1):
        low, high = edges(index)
        assert low == end + 1
        assert bucket(low) == bucket(high) == index
        end = high
    assert end == LONGEST


def test_what_no_clock_can_say_is_counted_at_the_ends() -> None:
    histogram = recorded(-5, LONGEST + 1, 1 << 80)
    assert list(histogram.spans()) == [(0, 0, 1), (edges(bucket(LONGEST))[0], LONGEST, 2)]


def test_quantiles() -> None:
    histogram = recorded(*range(1, 101))
    assert [histogram.quantile(share) for share in (0.0, 0.01, 0.5, 0.99, 1.0)] == [1, 1, 50, 99, 100]
    assert histogram.largest == 100
    assert len(histogram) == 100
    assert Histogram().quantile(0.5) == 0


def test_the_largest_is_exact_and_bounds_its_bucket() -> None:
    histogram = recorded(1_000_003)
    assert histogram.quantile(1.0) == 1_000_003


def test_two_add_up_and_travel() -> None:
    one, other = recorded(1, 5_000), recorded(5_000, 7_000_000)
    one.merge(other)
    assert one == recorded(1, 5_000, 5_000, 7_000_000)
    assert pickle.loads(pickle.dumps(one)) == one
    assert "4 values" in repr(one)
