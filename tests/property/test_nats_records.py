"""What is kept of a channel, decided from the records in a stream, is what the embedded broker keeps."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from hubbub.brokers.contract import History, Outgoing, Position, Publication
from hubbub.brokers.log import Log
from hubbub.brokers.nats.records import FORGOTTEN, Record, packed, page_of, record_of
from hubbub.brokers.nats.wire import header

EPOCH = "epoch678"
histories = st.one_of(st.none(), st.builds(History, st.integers(1, 4), st.integers(1, 9)))
steps = st.lists(st.tuples(st.sampled_from(["append"] * 5 + ["forget"]), histories, st.integers(0, 4)), max_size=30)


def record(offset: int, at: float, body: bytes) -> Record:
    then = datetime.fromtimestamp(at, UTC).isoformat().encode()
    found = record_of(header(Nats_Sequence=b"%d" % offset, Nats_Time_Stamp=then), body)
    assert found is not None
    return found


@given(steps, st.integers(0, 12), st.integers(-1, 31), st.one_of(st.none(), st.integers(0, 5)), st.booleans())
def test_it_is_what_the_embedded_broker_keeps(
    done: list[tuple[str, History | None, int]], later: int, behind: int, limit: int | None, reverse: bool
) -> None:
    log = Log(EPOCH, 0.0)
    records: list[Record] = []
    offsets = {0: 0}  # the log's offsets, which are dense -> the stream's
    room, now, offset = 2, 1000.0, 0
    for what, history, pause in done:
        now += pause + 0.5
        if what == "forget":
            log.forget()
            if records and not records[-1].flags & FORGOTTEN:
                offset += 1
                records = [record(offset, now, b"h1\4%b%d" % (bytes(12), records[-1].offset))]
            continue
        offset += 1
        new = Outgoing(b"c", b"%d" % offset, bytes(12), history)
        appended = log.append(new, now)
        assert isinstance(appended, Publication)
        offsets[appended.offset] = offset
        room = max(room, history.size + 1 if history else 2)
        records = [*records, record(offset, now, packed(new))][-room:]
    now += later + 0.25
    since = None if behind < 0 else Position(min(behind, log.top), EPOCH)
    expected = log.page(since, limit, reverse, now)
    at = None if since is None else Position(offsets[since.offset], EPOCH)
    page = page_of(records, EPOCH, 1, at, limit, reverse, now)
    assert [p.body for p in page.publications] == [p.body for p in expected.publications]
    assert page.top.offset == offsets[expected.top.offset]
    assert page.complete <= expected.complete, "what is missing is said"
    if not any(what == "forget" for what, _, _ in done):
        assert page.complete == expected.complete
        assert [p.previous for p in page.publications] == [offsets[p.previous] for p in expected.publications]


@given(st.binary(), st.binary(max_size=5))
def test_no_bytes_make_it_fail(data: bytes, sequence: bytes) -> None:
    record_of(b"NATS/1.0\r\nNats-Sequence: %b\r\n\r\n" % sequence, b"h1" + data)


@given(st.integers(1, 1 << 200), st.text(), st.binary(), histories)
def test_a_record_says_what_was_packed(version: int, epoch: str, body: bytes, history: History | None) -> None:
    new = Outgoing(b"c", body, b"123456789012", history, version=version, version_epoch=epoch)
    found = record(5, 7.0, packed(new))
    assert (found.body, found.id, found.version, found.version_epoch) == (body, new.id, version, epoch)
    assert (found.size, found.ttl) == ((history.size, history.ttl) if history else (0, 0.0))
