"""Reading the stream: the latest record of channels, and all of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hubbub.brokers.nats.link import Answer, Link, Question
from hubbub.brokers.nats.records import Record, record_of
from hubbub.brokers.nats.streams import Streams, version_of
from hubbub.brokers.nats.wire import value_of

__all__ = ["Reading"]

BATCH = 1000  # records in one answer, from 2.11 on
WINDOW = 512  # questions at a time before


class Reading:
    """The reader's end of one link.

    Args:
        refused: called for a record that is not understood.
    """

    def __init__(self, link: Link, streams: Streams, refused: Callable[[], None]) -> None:
        self._link = link
        self._streams = streams
        self._refused = refused
        self._in_batches = version_of(link.info) >= (2, 11)

    async def latest(self, stream: str, subjects: Sequence[bytes]) -> list[Record | None] | None:
        """The latest record of each subject; None: the stream is gone."""
        ask = [self._streams.direct(stream, {"last_by_subj": subject.decode()}) for subject in subjects]
        answers = await self._link.ask(ask)
        if any(answer.status == 503 for answer in answers):
            return None
        return [None if answer.status else self._record(answer) for answer in answers]

    async def all(self, stream: str, subject: bytes, begin: int, end: int) -> list[Record]:
        """The subject's records from one offset to the other, both included.

        Before 2.11 there is one in an answer. So many are asked for at once: the next one from each offset on. Where
        the subject has many of the stream's offsets that is as good; else the window shrinks to one.
        """
        records: dict[int, Record] = {}
        at, window = max(begin, 1), 1
        while at <= end:
            offsets = range(at, min(at + window, end + 1))
            answers = [
                a for some in await self._link.answers([self._next(stream, subject, o) for o in offsets]) for a in some
            ]
            found = {int(value_of(a.head, b"Nats-Sequence")): a for a in answers if not a.status}
            if not found:
                break
            for offset, answer in found.items():
                if offset <= end and (record := self._record(answer)) is not None:
                    records[offset] = record
            at = max(max(found) + 1, offsets.stop)
            if not self._in_batches:
                window = min(window * 2, WINDOW) if len(found) * 4 >= window else max(window // 4, 1)
        return [records[offset] for offset in sorted(records)]

    def _next(self, stream: str, subject: bytes, offset: int) -> Question:
        return self._streams.direct(
            stream, {"seq": offset, "next_by_subj": subject.decode(), "batch": BATCH}, many=self._in_batches
        )

    def _record(self, answer: Answer) -> Record | None:
        record = record_of(answer.head, answer.body)
        if record is None:
            self._refused()
        return record
