"""Who is present: a stream that keeps one message for each client of a channel and each node that has put it there.

Its subject is `PREFIX.p.CHANNEL.CLIENT.NODE`, with hashes of the names, which stand in the message itself. The newest
one of a client counts, so one that moves to another node is that node's. An entry is dropped by its sequence: the
server says to one caller alone that it was there.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence

from hubbub.brokers.contract import Change, Entry, Presence
from hubbub.brokers.nats.link import Answer, Link, Question
from hubbub.brokers.nats.streams import NO_MESSAGE, Refusal, Streams, answer_of
from hubbub.brokers.nats.wire import value_of

__all__ = ["Roll", "hashed"]

PAGE = 2048  # questions at a time


def hashed(*names: bytes) -> str:
    """22 characters of a subject that stand for these names."""
    digest = hashlib.sha256(b"".join(b"%d:%b" % (len(name), name) for name in names)).digest()
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()


class Roll:
    """What this node has put into presence, and what there is in all.

    Args:
        prefix: of the subjects.
        refused: called for a message that is not understood.
    """

    def __init__(self, prefix: str, node: bytes, refused: Callable[[], None]) -> None:
        self._prefix = prefix
        self._node = node
        self._refused = refused
        self._made = ""  # when the stream was made in which our entries are
        self._own: dict[tuple[bytes, str], tuple[Change, int]] = {}  # with their sequences

    async def settle(self, link: Link, made: str) -> None:
        """There is a link. If the stream is another one than before, our entries are put there again."""
        changed, self._made = self._made not in {"", made}, made
        if changed:
            await self._put(link, [change for change, _ in self._own.values()])

    async def change(self, link: Link, streams: Streams, changes: Sequence[Change]) -> None:
        latest = {(change.channel, change.client): change for change in changes}.values()
        gone = [change for change in latest if change.info is None]
        await self._put(link, [change for change in latest if change.info is not None])
        await self._drop_own(link, streams, gone)

    async def clear(self, link: Link, streams: Streams) -> None:
        """Drop all that is ours."""
        await self._drop_own(link, streams, [change for change, _ in self._own.values()])

    async def _put(self, link: Link, changes: Sequence[Change]) -> None:
        questions = [Question(self._subject(change, self._node.hex()).encode(), _packed(change)) for change in changes]
        for change, answer in zip(changes, await link.ask(questions), strict=True):
            self._own[change.channel, change.client] = (change, answer_of(answer)["seq"])

    async def _drop_own(self, link: Link, streams: Streams, changes: Iterable[Change]) -> None:
        """And what older ones of other nodes there are, for then the client has moved here."""
        entries = [self._own[name] for c in changes if (name := (c.channel, c.client)) in self._own]
        await self._sweep(link, streams, entries)
        for change, _ in entries:
            self._own.pop((change.channel, change.client), None)

    async def _sweep(self, link: Link, streams: Streams, entries: Sequence[tuple[Change, int]]) -> None:
        ask = b"$JS.API.STREAM.PURGE." + streams.presence.encode()
        for at in range(0, len(entries), PAGE):
            questions = [
                Question(ask, json.dumps({"filter": self._subject(change, "*"), "seq": number + 1}).encode())
                for change, number in entries[at : at + PAGE]
            ]
            for answer in await link.ask(questions):
                answer_of(answer)

    async def _drop(self, link: Link, streams: Streams, numbers: Sequence[int]) -> list[bool]:
        """Whether each of them was there until now."""
        ask = b"$JS.API.STREAM.MSG.DELETE." + streams.presence.encode()
        dropped: list[bool] = []
        for at in range(0, len(numbers), PAGE):
            part = numbers[at : at + PAGE]
            questions = [Question(ask, b'{"seq":%d,"no_erase":true}' % number) for number in part]
            for answer in await link.ask(questions):
                try:
                    dropped.append(bool(answer_of(answer).get("success")))
                except Refusal as error:
                    if error.code != NO_MESSAGE:
                        raise
                    dropped.append(False)
        return dropped

    async def of(self, link: Link, streams: Streams, channel: bytes, limit: int | None) -> Presence:
        entries: dict[str, Entry] = {}
        for _, change, node in await self._read(link, streams, f"{hashed(channel)}.*.*"):
            if change.channel == channel:
                entries[change.client] = Entry(change.client, change.user, change.info or b"", node)
        users = {entry.user for entry in entries.values()}
        return Presence([*entries.values()][:limit], len(entries), len(users))

    async def evict(self, link: Link, streams: Streams, node: bytes) -> list[Change]:
        found = await self._read(link, streams, f"*.*.{node.hex()}")
        newest = await self._last(link, streams, [self._subject(change, "*") for _, change, _ in found])
        dropped = await self._drop(link, streams, [number for number, _, _ in found])
        told: list[Change] = []
        swept: list[tuple[Change, int]] = []
        for (number, change, _), latest, was_there in zip(found, newest, dropped, strict=True):
            if was_there and int(value_of(latest.head, b"Nats-Sequence") or 0) <= number:  # else: it has moved
                told.append(change._replace(info=None))
                swept.append((change, number))
        await self._sweep(link, streams, swept)
        if node == self._node:
            self._own.clear()
        return sorted(told, key=lambda change: (change.channel, change.client))

    async def _read(self, link: Link, streams: Streams, wild: str) -> list[tuple[int, Change, bytes]]:
        """Entries with these subjects, oldest first."""
        subjects: list[str] = []
        while True:
            ask = {"subjects_filter": f"{self._prefix}.p.{wild}", "offset": len(subjects)}
            info = await streams.api(f"STREAM.INFO.{streams.presence}", ask)
            more: dict[str, int] = info["state"].get("subjects") or {}
            subjects += more
            if not more or len(subjects) >= int(info.get("total", 0)):
                break
        found: list[tuple[int, Change, bytes]] = []
        for subject, answer in zip(subjects, await self._last(link, streams, subjects), strict=True):
            if answer.status:
                continue  # it went meanwhile
            try:
                change = _unpacked(answer.body)
                node = bytes.fromhex(subject.rpartition(".")[2])
                found.append((int(value_of(answer.head, b"Nats-Sequence")), change, node))
            except (ValueError, TypeError, KeyError):
                self._refused()
        return sorted(found, key=lambda entry: entry[0])

    async def _last(self, link: Link, streams: Streams, subjects: Sequence[str]) -> list[Answer]:
        answers: list[Answer] = []
        for at in range(0, len(subjects), PAGE):
            part = subjects[at : at + PAGE]
            answers += await link.ask([streams.direct(streams.presence, {"last_by_subj": s}) for s in part])
        return answers

    def _subject(self, change: Change, node: str) -> str:
        return f"{self._prefix}.p.{hashed(change.channel)}.{hashed(_encoded(change.client))}.{node}"


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _packed(change: Change) -> bytes:
    info = base64.b64encode(change.info or b"").decode()
    channel = base64.b64encode(change.channel).decode()
    return json.dumps([1, channel, change.client, change.user, info]).encode()


def _unpacked(body: bytes) -> Change:
    version, channel, client, user, info = json.loads(body)
    if version != 1 or not isinstance(client, str) or not isinstance(user, str):
        raise ValueError("of another version")
    return Change(base64.b64decode(channel), client, user, base64.b64decode(info))
