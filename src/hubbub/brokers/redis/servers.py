"""Finding the servers: by address, through sentinels, or in a cluster; and having the library in each."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from hubbub.brokers.redis.address import Address, Place
from hubbub.brokers.redis.link import Link, Refusal, command, opened
from hubbub.brokers.redis.records import PARTITIONS, SLOTS, partition_of, slot_of, tag_of
from hubbub.errors import BrokerUnavailable

__all__ = ["Servers", "Shard", "connected", "library"]

Deliver = Callable[[Sequence[tuple[bytes, bytes]]], None]


@dataclass(slots=True)
class Shard:
    """One server, and our two connections to it: for a subscribed one takes no commands."""

    link: Link
    ears: Link
    info: dict[str, str]
    prefixes: list[bytes]
    durable: bool = False
    """Whether what it has acknowledged is there after it was killed, as far as one can ask it."""

    def __str__(self) -> str:
        return f"{' '.join(self.version)} at {self.link.place}"

    @property
    def version(self) -> tuple[str, str]:
        """ "redis" or "valkey", and its version."""
        valkey = self.info.get("valkey_version")
        return ("valkey", valkey) if valkey else ("redis", self.info.get("redis_version", "?"))


@dataclass(slots=True)
class Servers:
    """All that hold a part of the channels."""

    shards: list[Shard]
    prefix: bytes
    clustered: bool
    _of: dict[bytes, Shard] = field(default_factory=dict[bytes, Shard])

    def __post_init__(self) -> None:
        self._of = {prefix: shard for shard in self.shards for prefix in shard.prefixes}

    def prefix_of(self, name: bytes) -> bytes:
        """What the keys of that channel, or node, begin with."""
        return b"%b{%b}" % (self.prefix, tags()[partition_of(name)]) if self.clustered else self.prefix

    def shard_of(self, prefix: bytes) -> Shard:
        return self._of[prefix]

    def __str__(self) -> str:
        return ", ".join(str(shard) for shard in self.shards)

    @property
    def links(self) -> list[Link]:
        return [link for shard in self.shards for link in (shard.link, shard.ears)]

    def give_up(self, why: str) -> None:
        for link in self.links:
            link.give_up(why)

    async def end(self) -> None:
        await asyncio.gather(*(link.end() for link in self.links))

    async def call(self, name: bytes, prefix: bytes, *arguments: bytes) -> Any:
        """The reply of one of the library's functions. Raises: BrokerUnavailable, Refusal."""
        (reply,) = await self.calls(name, [(prefix, arguments)])
        if isinstance(reply, Refusal):
            raise self.judged(reply)
        return reply

    async def calls(self, name: bytes, each: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[Any]:
        """The replies to calls of the same function with other prefixes and arguments, all at once; a Refusal for one
        that was refused. Raises: BrokerUnavailable: a link broke."""
        if len(self.shards) == 1:
            return await self.shards[0].link.ask([fcall(name, prefix, arguments) for prefix, arguments in each])
        asked: dict[int, list[int]] = {}
        for at, (prefix, _) in enumerate(each):
            asked.setdefault(self.shards.index(self._of[prefix]), []).append(at)
        answers = await asyncio.gather(*(
            self.shards[number].link.ask([fcall(name, *each[at]) for at in places]) for number, places in asked.items()
        ))  # fmt: skip
        replies: list[Any] = [None] * len(each)
        for places, answer in zip(asked.values(), answers, strict=True):
            for at, reply in zip(places, answer, strict=True):
                replies[at] = reply
        return replies

    def judged(self, refusal: Refusal) -> Exception:
        """What to raise for it: where the server is no longer one that we can use, links are made again."""
        if refusal.code in PASSING or "Function not found" in str(refusal):
            self.give_up(f"the server refuses: {refusal}")
            return BrokerUnavailable(str(refusal))
        return refusal


PASSING = {"READONLY", "LOADING", "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "CROSSSLOT", "NOAUTH"}


def fcall(name: bytes, prefix: bytes, arguments: Sequence[bytes]) -> bytes:
    return command(b"FCALL", b"hubbub1_" + name, b"1", prefix, *arguments)


@cache
def tags() -> list[bytes]:
    return [tag_of(partition) for partition in range(PARTITIONS)]


@cache
def library() -> str:
    """The library that our servers get."""
    return files("hubbub.brokers.redis").joinpath("library.lua").read_text("utf-8")


@cache
def revision() -> int:
    found = re.search(r"^local REVISION = (\d+)$", library(), re.MULTILINE)
    assert found is not None
    return int(found[1])


async def connected(address: Address, deliver: Deliver) -> Servers:
    """Links to all servers, each with the library.

    Raises: OSError, BrokerUnavailable, TimeoutError, ssl.SSLError: not all can be had.
    """
    made: list[Link] = []
    try:
        place, first = await _first_of(address, made)
        info = await _info(first)
        if info.get("cluster_enabled") == "1":
            shards = await _shards_of_the_cluster(address, place, first, info, deliver, made)
            servers = Servers(shards, address.prefix.encode(), clustered=True)
        else:
            ears = await _opened(address, place, made, deliver)
            servers = Servers(
                [Shard(first, ears, info, [address.prefix.encode()])], address.prefix.encode(), clustered=False
            )
        for shard in servers.shards:
            await _settle(shard)
        return servers
    except BaseException:
        for link in made:
            link.give_up("it was not wanted any more")
        raise


async def _opened(address: Address, place: Place, made: list[Link], deliver: Deliver | None = None) -> Link:
    link = await opened(address, place, deliver)
    made.append(link)
    return link


async def _first_of(address: Address, made: list[Link]) -> tuple[Place, Link]:
    """The first that answers, or the master that a sentinel knows."""
    failures: list[str] = []
    for place in address.places:
        try:
            if address.sentinel:
                place = await _master_of(address, place)
            return place, await _opened(address, place, made)
        except (OSError, BrokerUnavailable, TimeoutError) as error:
            failures.append(f"{place}: {str(error) or 'it does not answer'}")
    raise BrokerUnavailable("; ".join(failures))


async def _master_of(address: Address, sentinel: Place) -> Place:
    link = await opened(address, sentinel, sentinel=True)
    try:
        found = await link.demand(b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", address.sentinel.encode())
    except Refusal as error:
        raise BrokerUnavailable(f"it is no sentinel: {error}") from None
    finally:
        link.give_up("it has told")
    if not found:
        raise BrokerUnavailable(f"the sentinel knows no master {address.sentinel!r}")
    return Place(found[0].decode(), int(found[1]))


async def _info(link: Link) -> dict[str, str]:
    """What INFO says. Raises: BrokerUnavailable: the server cannot be used."""
    lines: Iterable[str] = str(await link.demand(b"INFO"), "utf-8", "replace").splitlines()
    info = dict(line.split(":", 1) for line in lines if ":" in line)
    version = info.get("redis_version", "0")
    if int(version.partition(".")[0]) < 7:
        raise BrokerUnavailable(f"the server has version {version}, and 7.0 is the first that has functions")
    if info.get("role") != "master":
        raise BrokerUnavailable("the server is a replica")
    if info.get("loading") == "1":
        raise BrokerUnavailable("the server is still reading its data")
    return info


async def _shards_of_the_cluster(
    address: Address, place: Place, first: Link, info: dict[str, str], deliver: Deliver, made: list[Link]
) -> list[Shard]:
    slots: dict[Place, list[tuple[int, int]]] = {}
    for begin, end, master, *_ in await first.demand(b"CLUSTER", b"SLOTS"):
        host = (master[0] or b"").decode() or place.host
        slots.setdefault(Place(host, int(master[1])), []).append((begin, end))
    step = SLOTS // PARTITIONS
    prefixes: dict[Place, list[bytes]] = {}
    for partition, tag in enumerate(tags()):
        slot = slot_of(tag)
        assert slot // step == partition
        holder = next((at for at, parts in slots.items() if any(a <= slot <= b for a, b in parts)), None)
        if holder is None:
            raise BrokerUnavailable(f"nobody in the cluster has slot {slot}")
        prefixes.setdefault(holder, []).append(b"%b{%b}" % (address.prefix.encode(), tag))
    shards: list[Shard] = []
    for at, theirs in prefixes.items():
        link = first if at == place else await _opened(address, at, made)
        its_info = info if at == place else await _info(link)
        shards.append(Shard(link, await _opened(address, at, made, deliver), its_info, theirs))
    if first not in [shard.link for shard in shards]:
        first.give_up("it has told")
    return shards


async def _settle(shard: Shard) -> None:
    """Have the library there, and know whether it is durable."""
    (known, said) = await shard.link.ask([
        command(b"FCALL", b"hubbub1_revision", b"0"), command(b"CONFIG", b"GET", b"append*"),
    ])  # fmt: skip
    if isinstance(known, Refusal) or int(known) < revision():
        try:
            await shard.link.demand(b"FUNCTION", b"LOAD", b"REPLACE", library().encode())
        except Refusal as error:
            raise BrokerUnavailable(
                f"the server does not take the library of functions: {error}; as a user who may, run"
                " `hubbub doctor --broker`, or give library.lua of hubbub.brokers.redis to `redis-cli -x FUNCTION LOAD`"
            ) from None
    settings = {} if isinstance(said, Refusal) else dict(zip(said[::2], said[1::2], strict=False))
    always = settings.get(b"appendonly") == b"yes" and settings.get(b"appendfsync") == b"always"
    shard.durable = always and shard.info.get("second_repl_offset", "-1") == "-1"
