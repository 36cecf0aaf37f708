"""The load generator: nothing is miscounted, whatever comes in whatever order and pieces."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hubbub.load.histogram import LONGEST, Histogram, bucket, edges
from hubbub.load.ledger import Arrival, Cursor
from hubbub.load.marker import LAST_NUMBER, LAST_SEQUENCE, LAST_TIME, SIZE, Delivery, Marker
from hubbub.load.plan import Schedule
from hubbub.load.scanner import Scanner
from hubbub.wire import encode

values = st.one_of(st.integers(0, 300), st.integers(0, LONGEST), st.integers(0, 47).map(lambda bits: (1 << bits) - 1))
deliveries = st.builds(Delivery, st.integers(0, LAST_NUMBER), st.integers(0, LAST_SEQUENCE), st.integers(0, LAST_TIME))


@given(values)
def test_a_bucket_spans_no_more_than_a_sixty_fourth(value: int) -> None:
    low, high = edges(bucket(value))
    assert low <= value <= high
    assert (high - low) * 64 <= max(low, 1) * 1.0001


@given(st.lists(values, min_size=1), st.lists(values), st.floats(0, 1))
def test_histograms_add_up_and_their_quantiles_are_close(mine: list[int], theirs: list[int], share: float) -> None:
    one, other, both = Histogram(), Histogram(), Histogram()
    for value in mine:
        one.record(value)
    for value in theirs:
        other.record(value)
    for value in mine + theirs:
        both.record(value)
    one.merge(other)
    assert one == both
    assert len(both) == len(mine + theirs)
    ordered = sorted(mine + theirs)
    index = next(i for i in range(len(ordered)) if i + 1 >= share * len(ordered))
    exact = ordered[index]
    assert exact <= both.quantile(share) <= exact * (1 + 1 / 64)
    assert both.largest == ordered[-1]


@given(deliveries, st.integers(SIZE, 300), st.text())
def test_a_marker_survives_json(delivery: Delivery, size: int, beside: str) -> None:
    marker = Marker("0a1f")
    message = json.dumps({beside: beside, "text": marker.write(delivery, size)})
    assert marker.find(message.encode()) == [delivery]


frames = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([1, 2]), st.binary(max_size=200)),
        st.tuples(st.sampled_from([1, 2]), st.integers(126, 70_000).map(bytes)),
        st.tuples(st.sampled_from([8, 9, 10]), st.binary(max_size=125)),
    ),
    max_size=8,
)


@given(frames, st.lists(st.integers(0, 1 << 20), max_size=12), st.data())
def test_any_split_of_a_stream_gives_the_same_messages(
    sent: list[tuple[int, bytes]], cuts: list[int], data: st.DataObject
) -> None:
    stream = b""
    for kind, payload in sent:
        if kind < 8 and data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(payload)))
            stream += encode(kind, payload[:at], fin=False) + encode(0, payload[at:])
        else:
            stream += encode(kind, payload)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    scanner = Scanner()
    found = []
    for start, end in itertools.pairwise(places):
        found += scanner.scan(stream[start:end])
    assert found == sent
    assert scanner.idle


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waited_for_but_never_a_crash(data: bytes) -> None:
    from hubbub.errors import PeerError

    scanner = Scanner()
    try:
        for at in range(len(data)):
            scanner.scan(data[at : at + 1])
    except PeerError:
        pass


@given(st.lists(st.integers(0, 60), max_size=150), st.integers(1, 5))
def test_a_cursor_agrees_with_a_plain_account(sequences: list[int], publishers: int) -> None:
    """Each message by whoever is `sequence % publishers`, as long as all fits into the cursor's window."""
    cursor = Cursor()
    seen: list[int] = []
    for sequence in sequences:
        publisher = sequence % publishers
        if sequence in seen:
            expected = Arrival.DUPLICATE
        elif any(other > sequence and other % publishers == publisher for other in seen):
            expected = Arrival.REORDERED
        else:
            expected = Arrival.FRESH
        seen.append(sequence)
        assert cursor.arrive(publisher, sequence) is expected
    assert cursor.top == max(seen, default=-1) + 1
    assert cursor.missing.bit_count() == cursor.top - len(set(seen))


@given(st.integers(0, 1 << 32), st.floats(0, 0.3), st.floats(0, 0.3))
def test_losses_and_duplicates_over_a_long_run_are_counted_exactly(seed: int, lose: float, repeat: float) -> None:
    chance = random.Random(seed)
    cursor, counts, lost, repeated = Cursor(), Counter[Arrival](), 0, 0
    for sequence in range(2000):
        if chance.random() < lose:
            lost += 1
            continue
        counts[cursor.arrive(0, sequence)] += 1
        if chance.random() < repeat:
            repeated += 1
            counts[cursor.arrive(0, sequence)] += 1
    assert counts == Counter({Arrival.FRESH: 2000 - lost, Arrival.DUPLICATE: repeated})


@given(st.floats(0.01, 1e5), st.floats(0.01, 100), st.integers(1, 8))
def test_shares_of_a_schedule_send_what_the_whole_would(rate: float, duration: float, processes: int) -> None:
    whole = Schedule(rate, duration)
    parts = [Schedule(rate / processes, duration, process / rate) for process in range(processes)]
    assert abs(sum(part.total for part in parts) - whole.total) <= 1
    for part in parts:
        assert part.due(duration) == part.total
        assert all(part.due(part.at(index)) == index + 1 for index in range(min(part.total, 20)))
