"""How publications are written in Redis, and read again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.brokers import History, Outgoing, Published
from hubbub.brokers.redis.records import (
    PARTITIONS,
    SLOTS,
    Batch,
    partition_of,
    publications_of,
    slot_of,
    tag_of,
    unpacked,
)

KEPT = History(10, 60)
bodies = st.lists(st.binary(max_size=40), min_size=1, max_size=8)


def new(body: bytes = b"x", history: History | None = None, channel: bytes = b"a", **how: object) -> Outgoing:
    return Outgoing(channel, body, b"node01\0\0\0\0\0\1", history, **how)  # type: ignore[arg-type]


def batch_of(*publications: Outgoing) -> Batch:
    batch = Batch()
    for place, publication in enumerate(publications):
        batch.add(publication, place)
    return batch


@given(bodies)
def test_a_message_is_read_as_it_was_written(given_bodies: list[bytes]) -> None:
    name, count, size, ttl, entries = batch_of(*map(new, given_bodies)).arguments()
    assert (name, count, size, ttl) == (b"a", b"%d" % len(given_bodies), b"0", b"0")
    found = publications_of(b"h1epoch00142 " + entries)
    assert found is not None
    assert [p.body for p in found] == given_bodies
    assert [(p.offset, p.previous, p.epoch) for p in found] == [
        (42 + n, 41 + n, "epoch001") for n in range(len(given_bodies))
    ]


@given(bodies, st.data())
def test_what_is_truncated_is_not_taken(given_bodies: list[bytes], data: st.DataObject) -> None:
    message = b"h1epoch0011 " + batch_of(*map(new, given_bodies)).arguments()[-1]
    cut = message[: data.draw(st.integers(0, len(message) - 1))]
    found = publications_of(cut)
    assert found is None or len(found) < len(given_bodies), "a shorter message may be whole, at the end of an entry"


@pytest.mark.parametrize(
    "message",
    [b"", b"h1", b"h2epoch0011 ", b"h1epoch001 ", b"h1epoch001x ", b"h1epoch0010 ", b"h1epoch001-1 ", b"h1" + bytes(60),
     b"h1\xff\xffoch0011 " + b"\0\0\0\1" + bytes(13), b"h1epoch0010 " + b"\0\0\0\1" + bytes(13)],
)  # fmt: skip
def test_what_is_foreign_is_not_taken(message: bytes) -> None:
    assert publications_of(message) is None


def test_entries_of_a_list_that_are_foreign_are_left_out_and_counted() -> None:
    entries = batch_of(new(b"1", KEPT), new(b"2", KEPT)).arguments()[4:]
    found, strange = unpacked([entries[0], b"foreign", entries[1]], 7, "e")
    assert [(p.offset, p.body) for p in found] == [(7, b"1"), (9, b"2")]
    assert strange == 1


def test_publications_of_a_channel_go_together_where_they_are_kept_alike() -> None:
    batch = batch_of(
        new(b"1"), new(b"2", channel=b"b"), new(b"3"), new(b"4", KEPT), new(b"5", KEPT), new(b"6", key="k"), new(b"7"),
    )  # fmt: skip
    results: list[Published | Exception | None] = [None] * 7
    batch.settle([1, b"aaaaaaaa", 1, b"bbbbbbbb", 3, b"aaaaaaaa", 2, b"aaaaaaaaR", 6, b"aaaaaaaa"], results)
    assert results == [
        Published(1, "aaaaaaaa"), Published(1, "bbbbbbbb"), Published(2, "aaaaaaaa"), Published(3, "aaaaaaaa"),
        Published(4, "aaaaaaaa"), Published(2, "aaaaaaaa", "repeated"), Published(6, "aaaaaaaa"),
    ]  # fmt: skip


def test_one_that_is_refused_fails_alone() -> None:
    results: list[Published | Exception | None] = [None, None]
    batch_of(new(), new(channel=b"b")).settle([b"WRONGTYPE it is no list", b"", 1, b"bbbbbbbb"], results)
    assert "WRONGTYPE it is no list" in str(results[0])
    assert results[1] == Published(1, "bbbbbbbb")


def test_no_message_is_much_larger_than_64_kib_unless_one_publication_is() -> None:
    arguments = batch_of(*(new(bytes(30_000)) for _ in range(5)), new(bytes(100_000))).arguments()
    assert [len(entries) for entries in arguments[4::5]] == [60_032, 60_032, 30_016, 100_016]


def test_partitions_are_spread_evenly_over_slots_and_channels_over_partitions() -> None:
    slots = [slot_of(tag_of(partition)) for partition in range(PARTITIONS)]
    assert [slot * PARTITIONS // SLOTS for slot in slots] == list(range(PARTITIONS))
    assert {partition_of(b"s:room%d" % n) for n in range(2000)} == set(range(PARTITIONS))
