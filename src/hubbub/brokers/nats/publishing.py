"""Appending to the stream: a batch's records in one write, and an answer for each."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from hubbub.brokers.contract import EPOCH_SIZE, Outgoing, Published
from hubbub.brokers.nats.link import Answer, Link, Question
from hubbub.brokers.nats.records import FORGOTTEN, MARK, Record, packed, record_of
from hubbub.brokers.nats.roll import hashed
from hubbub.brokers.nats.streams import Refusal, Stream, Streams, answer_of
from hubbub.brokers.nats.wire import header
from hubbub.errors import BrokerUnavailable, HubbubError

__all__ = ["Publishing"]

WRONG_LAST = {10071, 10164}  # JetStream's err_code: somebody else has published meanwhile
_below = random.Random().randrange  # noqa: S311

TRIES = 100  # of one guarded publication, against others at the same time
_stored = re.compile(rb'{"stream": ?"([A-Za-z0-9_-]+)", ?"seq": ?(\d+)}').fullmatch  # what nearly every answer is

SWEPT = 64  # one of so many publications without history sweeps away those before it


class Publishing:
    """The publisher's end of one link.

    Args:
        subject: of a channel.
        prefix: of all subjects.
    """

    def __init__(
        self, link: Link, streams: Streams, stream: Stream, subject: Callable[[bytes, bytes], bytes], prefix: str
    ) -> None:
        self._link = link
        self._streams = streams
        self._subject = subject
        self._prefix = prefix
        self.stream: Stream = stream

    async def find_again(self) -> Stream:
        """As it is now, or another one if it is gone."""
        self.stream = await self._streams.found(self.stream.room)
        return self.stream

    async def append(self, batch: Sequence[Outgoing]) -> list[Published | Exception]:
        await self._make_room(batch)
        if not any(new.version for new in batch):
            return await self._append_plain(batch)
        results: list[Published | Exception] = []
        for wave in _waves(batch):
            results += await (self._append_guarded(wave) if wave[0].version else self._append_plain(wave))
        return results

    async def _make_room(self, batch: Sequence[Outgoing]) -> None:
        """The stream keeps one more than the largest history: so the one before the oldest that is kept is known."""
        histories = {new.history for new in batch if new.history is not None}
        if histories:
            room, keep = max(h.size for h in histories) + 1, max(h.ttl for h in histories)
            if room > self.stream.room or keep > self.stream.keep:
                self.stream = await self._streams.grow(self.stream, room, keep)

    async def _append_plain(self, batch: Sequence[Outgoing]) -> list[Published | Exception]:
        results = await self._sent(
            [Question(self._subject(b"c", new.channel), packed(new), self._head(new)) for new in batch]
        )
        if all(isinstance(result, BrokerUnavailable) for result in results):
            await self.find_again()
            raise BrokerUnavailable(str(results[0]))
        return results

    async def _sent(self, questions: Sequence[Question]) -> list[Published | Exception]:
        """What became of each; what is too large is not sent, for the server would close the link."""
        most = int(self._link.info.get("max_payload", 1 << 20))
        fit = [len(question.head) + len(question.body) <= most for question in questions]
        answers = iter(await self._link.ask([q for q, fits in zip(questions, fit, strict=True) if fits]))
        too_large = HubbubError(f"the publication is larger than the server's max_payload allows: {most} bytes")
        return [_published(next(answers)) if fits else too_large for fits in fit]

    def _head(self, new: Outgoing) -> bytes:
        key = _key_of(new) if new.key else b""
        if new.history is None and self.stream.room > SWEPT and not _below(SWEPT):
            return header(Nats_Msg_Id=key, Nats_Rollup=b"sub") if key else header(Nats_Rollup=b"sub")
        return header(Nats_Msg_Id=key) if key else b""

    async def _append_guarded(self, wave: Sequence[Outgoing]) -> list[Published | Exception]:
        """Publications with a version, each of another channel."""
        results: list[Published | Exception | None] = [None] * len(wave)
        for _ in range(TRIES):
            waiting = [at for at, result in enumerate(results) if result is None]
            if not waiting:
                break
            for at, result in zip(waiting, await self._try_guarded([wave[at] for at in waiting]), strict=True):
                results[at] = result
        return [result or HubbubError("others publish to the channel all the time") for result in results]

    async def _try_guarded(self, wave: Sequence[Outgoing]) -> list[Published | Exception | None]:
        """None: somebody else has published meanwhile."""
        latest = await self._read([self._subject(b"c", new.channel).decode() for new in wave])
        stated = await self._read([self._version_subject(new) for new in wave])
        results: list[Published | Exception | None] = [None] * len(wave)
        asked: list[tuple[int, str]] = []
        questions: list[Question] = []
        for at, (new, last, beside) in enumerate(zip(wave, latest, stated, strict=True)):
            source = last if last is not None and last.version else beside
            version, epoch = (source.version, source.version_epoch) if source is not None else (0, "")
            if new.key and last is not None and last.key == _key_of(new):
                results[at] = Published(last.offset, self.stream.epoch, "repeated")
            elif new.version <= version and new.version_epoch in ("", epoch):
                results[at] = Published(last.top if last is not None else 0, self.stream.epoch, "older")
            else:
                values = {"Nats_Msg_Id": _key_of(new)} if new.key else {}
                values["Nats_Expected_Last_Subject_Sequence"] = b"%d" % (last.offset if last is not None else 0)
                questions.append(Question(self._subject(b"c", new.channel), packed(new, epoch), header(**values)))
                asked.append((at, epoch))
        stating: list[Question] = []
        for (at, epoch), result in zip(asked, await self._sent(questions), strict=True):
            if isinstance(result, Refusal) and result.code in WRONG_LAST:
                continue
            results[at] = result
            if isinstance(result, Published) and not result.suppressed:
                stating.append(self._stating(wave[at], epoch))
        await self._link.ask(stating)
        return results

    async def _read(self, subjects: Sequence[str]) -> list[Record | None]:
        stream = self.stream.name
        answers = await self._link.ask([self._streams.direct(stream, {"last_by_subj": name}) for name in subjects])
        if any(answer.status == 503 for answer in answers):
            await self.find_again()
            raise BrokerUnavailable("the stream is gone")
        return [None if answer.status else record_of(answer.head, answer.body) for answer in answers]

    def _stating(self, new: Outgoing, epoch: str) -> Question:
        """The version, beside the channel: for publications without one may follow."""
        state = Outgoing(new.channel, b"", new.id, version=new.version, version_epoch=new.version_epoch or epoch)
        return Question(self._version_subject(new).encode(), packed(state), header(Nats_Rollup=b"sub"))

    def _version_subject(self, new: Outgoing) -> str:
        return f"{self._prefix}.v.{hashed(new.channel)}"

    async def forget(self, channel: bytes, last: int) -> bool:
        """Empty the channel's history by a record that sweeps it away, if this is still its last offset."""
        body = b"%b%c%b%d" % (MARK, FORGOTTEN, bytes(12), last)
        head = header(Nats_Rollup=b"sub", Nats_Expected_Last_Subject_Sequence=b"%d" % last)
        (answer,) = await self._link.ask([Question(self._subject(b"c", channel), body, head)])
        try:
            answer_of(answer)
        except Refusal as error:
            if error.code in WRONG_LAST:
                return False
            raise
        return True


def _published(answer: Answer) -> Published | Exception:
    usual = _stored(answer[1])
    if usual is not None:
        return Published(int(usual[2]), usual[1][-EPOCH_SIZE:].decode())
    try:
        said = answer_of(answer)
        suppressed = "repeated" if said.get("duplicate") else ""
        return Published(int(said["seq"]), str(said["stream"])[-EPOCH_SIZE:], suppressed)
    except HubbubError as error:
        return error


def _waves(batch: Sequence[Outgoing]) -> list[list[Outgoing]]:
    """In order: runs of publications without a version, and runs with one in which no channel is twice."""
    waves: list[list[Outgoing]] = []
    channels: set[bytes] = set()
    for new in batch:
        alike = waves and bool(waves[-1][0].version) == bool(new.version)
        if not alike or (new.version and new.channel in channels):
            waves.append([])
            channels = set()
        waves[-1].append(new)
        channels.add(new.channel)
    return waves


def _key_of(new: Outgoing) -> bytes:
    return hashed(new.channel, new.key.encode("utf-8", "surrogatepass")).encode()
