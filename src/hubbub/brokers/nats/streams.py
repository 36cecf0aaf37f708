"""The two streams of a prefix: what channels publish, and who is present. Finds, makes and checks them.

`PREFIX-c-EPOCH` holds the publications of all channels, on the subjects `PREFIX.c.CHANNEL`, and republishes each, in
one step with storing it, on `PREFIX.r.CHANNEL`, where nodes are subscribed. Its name has the epoch. So each answer of
the server says of which epoch it is, and a stream that was lost and made anew is another one by name; and as no two
streams may have the same subjects, there is only one at a time.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubbub.brokers.contract import EPOCH_SIZE
from hubbub.brokers.log import KEY_TTL, new_epoch
from hubbub.brokers.nats.address import Address
from hubbub.brokers.nats.link import Answer, Link, Question
from hubbub.brokers.nats.wire import header, status_of, value_of
from hubbub.errors import BrokerUnavailable, HubbubError, Misuse

__all__ = ["OLDEST", "Refusal", "Stream", "Streams", "version_of"]

OLDEST = (2, 9)
MADE = 2.0  # seconds in which a stream is made
NOT_FOUND, NO_MESSAGE, OVERLAP, IN_USE = 10059, 10057, 10065, 10058  # JetStream's err_code
PASSING = {10008, 10009, 10023, 10076}  # no leader yet, and the like: it may work in a moment


class Refusal(HubbubError):
    """JetStream says no."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(f"JetStream refuses: {error.get('description', 'it does not say why')}")
        self.code: int = int(error.get("err_code", 0))


@dataclass(frozen=True, slots=True)
class Stream:
    """The one of the publications, as it was found."""

    name: str
    room: int  # records that it keeps of one channel
    keep: float  # seconds
    last: int  # offset
    oldest: int  # offset
    config: Mapping[str, Any]

    @property
    def epoch(self) -> str:
        return self.name[-EPOCH_SIZE:]


class Streams:
    """Those of one server or cluster, asked over one link."""

    def __init__(self, link: Link, address: Address) -> None:
        self._link = link
        self._address = address
        self._prefix = address.prefix
        self._making = b""  # which announcement of a new stream was seen last
        self._since = 0.0  # and since when
        self.presence: str = f"{self._prefix}-p"

    async def api(self, what: str, content: object = None) -> dict[str, Any]:
        """Raises: Refusal. BrokerUnavailable: there is nobody who could answer."""
        body = b"" if content is None else json.dumps(content).encode()
        (answer,) = await self._link.ask([Question(b"$JS.API." + what.encode(), body)])
        return answer_of(answer)

    async def account(self) -> dict[str, Any]:
        """What JetStream says of our account. Raises: Misuse: there is no JetStream, or an old one."""
        if version_of(self._link.info) < OLDEST:
            raise Misuse(f"nats-server {self._link.info.get('version')} is too old: it has to be 2.9 at least")
        try:
            return await self.api("INFO")
        except (Refusal, BrokerUnavailable) as error:
            if self._link.over:
                raise
            raise Misuse(
                f"JetStream is not enabled for us: start the server with -js, or `jetstream {{}}` in its file ({error})"
            ) from None

    async def found(self, room: int = 2) -> Stream:
        """The stream of the publications, made if there is none; it keeps at least so many of each channel."""
        for _ in range(100):
            names: list[str] = (await self.api("STREAM.NAMES", {"subject": f"{self._prefix}.c.>"})).get("streams") or []
            foreign = [name for name in names if not name.startswith(f"{self._prefix}-c-")]
            if foreign:
                raise Misuse(f"the stream {foreign[0]} has subjects of {self._prefix}.c: choose another prefix")
            try:
                if len(names) == 1:
                    return self._checked(await self.api(f"STREAM.INFO.{names[0]}"))
                if names:
                    await self._keep_the_first(names)
                elif (said := await self._says_that_it_makes_it()) is not None:
                    name = f"{self._prefix}-c-{new_epoch()}"
                    info = await self.api(f"STREAM.CREATE.{name}", self._wanted(name, room))
                    await self.api(f"STREAM.MSG.DELETE.{self.presence}", {"seq": said, "no_erase": True})
                    return self._checked(info)
            except Refusal as error:
                if error.code not in {NOT_FOUND, OVERLAP, IN_USE}:  # another node was quicker
                    raise
            await asyncio.sleep(0.05)
        raise BrokerUnavailable("another node does not make the stream that it said it would")

    async def _says_that_it_makes_it(self) -> int | None:
        """Servers let two streams with the same subjects pass if they are made at once: so one node says that it will.

        If there still is none after two seconds, another one may.

        Returns: the announcement's sequence; None: another one has said so.
        """
        await self.found_presence()
        subject = f"{self._prefix}.p.making"
        (last,) = await self._link.ask([self.direct(self.presence, {"last_by_subj": subject})])
        if not last.status:
            if self._making != (number := value_of(last.head, b"Nats-Sequence")):
                self._making, self._since = number, time.monotonic()
            if time.monotonic() - self._since < MADE:
                return None
        head = header(Nats_Expected_Last_Subject_Sequence=b"0" if last.status else self._making)
        (answer,) = await self._link.ask([Question(subject.encode(), b"", head)])
        try:
            return int(answer_of(answer)["seq"])
        except Refusal:  # another node was quicker
            return None

    async def _keep_the_first(self, names: list[str]) -> None:
        """All the same two were made."""
        made = sorted([((await self.api(f"STREAM.INFO.{name}"))["created"], name) for name in names])
        for _, name in made[1:]:
            await self._delete(name)

    def _wanted(self, name: str, room: int) -> dict[str, Any]:
        prefix = self._prefix
        return {
            "name": name,
            "subjects": [f"{prefix}.c.>", f"{prefix}.v.>"],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_msgs_per_subject": room,
            "max_age": nanoseconds(max(self._address.keep, KEY_TTL)),
            "duplicate_window": nanoseconds(KEY_TTL),
            "num_replicas": self._address.replicas,
            "allow_direct": True,
            "allow_rollup_hdrs": True,
            "republish": {"src": f"{prefix}.c.>", "dest": f"{prefix}.r.>"},
        }

    def _checked(self, info: Mapping[str, Any]) -> Stream:
        """An old server ignores what it does not know: so what it made is looked at."""
        config, state = info["config"], info["state"]
        wanted = self._wanted(config["name"], 2)
        needed = ("subjects", "republish", "allow_direct", "allow_rollup_hdrs", "duplicate_window", "discard")
        wrong = [name for name in needed if config.get(name) != wanted[name]]
        if wrong:
            raise Misuse(f"the stream {config['name']} has another {', '.join(wrong)} than hubbub gives it")
        last = int(state["last_seq"])
        room, age = int(config["max_msgs_per_subject"]), int(config["max_age"])
        oldest = int(state["first_seq"]) or last + 1
        return Stream(config["name"], room if room > 0 else 1 << 31, age / 1e9 if age else 1e12, last, oldest, config)

    async def grow(self, stream: Stream, room: int, keep: float) -> Stream:
        """Let it keep at least so many of each channel, for so many seconds."""
        now = await self.found()
        if now.name != stream.name:
            return await self.grow(now, room, keep)
        if now.room >= room and now.keep >= keep:
            return now
        config = dict(now.config, max_msgs_per_subject=max(room, now.room), max_age=nanoseconds(max(keep, now.keep)))
        return self._checked(await self.api(f"STREAM.UPDATE.{now.name}", config))

    async def replace(self, stream: Stream) -> None:
        """It has lost what it had acknowledged, and would use offsets again: give it up for another epoch."""
        await self._delete(stream.name)

    async def _delete(self, name: str) -> None:
        try:
            await self.api(f"STREAM.DELETE.{name}")
        except Refusal as error:
            if error.code != NOT_FOUND:
                raise

    async def found_presence(self) -> str:
        """The stream of who is present, made if there is none. Returns when it was made, which tells it from others."""
        try:
            info = await self.api(f"STREAM.INFO.{self.presence}")
        except Refusal as error:
            if error.code != NOT_FOUND:
                raise
            wanted = {
                "name": self.presence, "subjects": [f"{self._prefix}.p.>"], "retention": "limits", "storage": "file",
                "discard": "old", "max_msgs_per_subject": 1, "num_replicas": self._address.replicas,
                "allow_direct": True, "duplicate_window": nanoseconds(1.0),
            }  # fmt: skip
            info = await self.api(f"STREAM.CREATE.{self.presence}", wanted)
        return str(info["created"])

    async def clock(self, node: bytes) -> bytes:
        """The server's time, as it writes it."""
        subject = f"{self._prefix}.p.clock.{node.hex()}"
        (stored,) = await self._link.ask([Question(subject.encode())])
        number = answer_of(stored)["seq"]
        (answer,) = await self._link.ask([self.direct(self.presence, {"seq": number})])
        await self.api(f"STREAM.MSG.DELETE.{self.presence}", {"seq": number, "no_erase": True})
        return value_of(answer.head, b"Nats-Time-Stamp")

    def direct(self, stream: str, what: object, many: bool = False) -> Question:
        return Question(b"$JS.API.DIRECT.GET." + stream.encode(), json.dumps(what).encode(), many=many)


def answer_of(answer: Answer) -> dict[str, Any]:
    """What JetStream says. Raises: Refusal, BrokerUnavailable."""
    if status_of(answer.head) == 503:
        raise BrokerUnavailable("JetStream does not answer: it is not enabled, has no leader, or the stream is gone")
    try:
        said: Any = json.loads(answer.body)
        error = said.get("error")
    except (ValueError, AttributeError):
        raise BrokerUnavailable("JetStream answered something that is not understood", "unknown") from None
    if error:
        if error.get("err_code") in PASSING or error.get("code") == 503:
            raise BrokerUnavailable(f"JetStream is not ready: {error.get('description')}")
        raise Refusal(error)
    return dict(said)


def nanoseconds(seconds: float) -> int:
    return min(int(seconds * 1e9), (1 << 63) - 1)


def version_of(info: Mapping[str, Any]) -> tuple[int, int]:
    numbers = str(info.get("version", "0.0")).split(".")
    return int(numbers[0]), int("".join(c for c in numbers[1] if c.isdigit()) or 0) if len(numbers) > 1 else 0
