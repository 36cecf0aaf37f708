"""Counts of values in buckets that grow with them: any span of time in some kilobytes, to within 1.6 %."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

__all__ = ["LONGEST", "Histogram", "bucket", "edges"]

LONGEST = (1 << 47) - 1  # nanoseconds, 39 hours: what is longer counts as this
_STEPS_BITS = 6  # each doubling is 64 buckets wide, so that a bucket spans at most 1/64 of its value
_STEPS = 1 << _STEPS_BITS


def bucket(value: int) -> int:
    """Which bucket holds a value, from 0 to LONGEST."""
    shift = value.bit_length() - _STEPS_BITS - 1
    return value if shift <= 0 else (shift << _STEPS_BITS) + (value >> shift)


def edges(index: int) -> tuple[int, int]:
    """The smallest and the largest value of a bucket."""
    shift = max((index >> _STEPS_BITS) - 1, 0)
    steps = index - (shift << _STEPS_BITS)
    return steps << shift, (steps + 1 << shift) - 1


class Histogram:  # noqa: PLW1641 - it changes, so it has no hash
    """Values in nanoseconds, by bucket. Two of them add up, so that each process keeps its own."""

    __slots__ = ("counts", "largest")

    def __init__(self, counts: Mapping[int, int] | None = None, largest: int = 0) -> None:
        self.counts: list[int] = [0] * (bucket(LONGEST) + 1)
        self.largest: int = largest  # exactly, unlike all others
        for index, count in (counts or {}).items():
            self.counts[index] = count

    def record(self, value: int) -> None:
        """Count a value; what is below zero, as two clocks may say, is zero."""
        if not 0 <= value <= LONGEST:
            value = 0 if value < 0 else LONGEST
        shift = value.bit_length() - 7  # as in `bucket`, without the call: this runs for every message
        self.counts[value if shift <= 0 else (shift << 6) + (value >> shift)] += 1
        if value > self.largest:
            self.largest = value

    def merge(self, other: Histogram) -> None:
        """Add another's counts."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.largest = max(self.largest, other.largest)

    def filled(self) -> dict[int, int]:
        """The buckets that hold anything."""
        return {index: count for index, count in enumerate(self.counts) if count}

    def spans(self) -> Iterator[tuple[int, int, int]]:
        """Smallest value, largest value and count of each bucket that holds anything, in order."""
        for index, count in self.filled().items():
            low, high = edges(index)
            yield low, min(high, self.largest), count

    def quantile(self, share: float) -> int:
        """A value that so large a share of all values does not pass, at most 1.6 % too high; 0 if there are none."""
        wanted = share * len(self)
        seen = 0
        for _, high, count in self.spans():
            seen += count
            if seen >= wanted:
                return high
        return self.largest

    def __len__(self) -> int:
        return sum(self.counts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and (self.counts, self.largest) == (other.counts, other.largest)

    def __repr__(self) -> str:
        return f"<Histogram {len(self)} values, median {self.quantile(0.5)} ns, largest {self.largest} ns>"

    def __reduce__(self) -> tuple[type[Histogram], tuple[dict[int, int], int]]:
        return Histogram, (self.filled(), self.largest)
