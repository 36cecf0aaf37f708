"""Clients that stall, are cut, and are told of gaps, over and over: they have everything in the end, one by one."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest

import hubbub
from faults.sessions.gate import Gate, Link
from faults.sessions.members import SessionMember
from faults.sessions.worker import BACKLOG, SEND_BUFFER, _connect
from faults.worker import ROOM
from hubbub.realtime import Bounds, History, Namespace, Realtime
from hubbub.realtime.protocol import JSON, PROTOBUF
from support.certificates import contexts
from support.serving import serving, until

ROUNDS = 100
SIZE = 2000  # characters of a publication


class Trouble:
    """What happens to clients, at random."""

    def __init__(self, rt: Realtime, gate: Gate, chance: random.Random) -> None:
        self._rt, self._gate, self._chance = rt, gate, chance
        self._stalled: list[tuple[int, Link]] = []
        self.published = 0

    async def last(self) -> None:
        """And then nothing more."""
        for link in self._gate.links[:4]:  # these lack something in the end, whatever chance does
            link.stall()
            self._stalled.append((ROUNDS, link))
        for number in range(ROUNDS):
            for _ in range(self._chance.choice([1, 1, 10])):
                await self.publish()
            await asyncio.sleep(self._chance.random() * 0.01)
            for link in [link for link in self._gate.links if self._chance.random() < 0.01]:
                link.stall()
                self._stalled.append((number + self._chance.randrange(10, 60), link))
            if self._chance.random() < 0.1:
                self._lose()
            if self._gate.links and self._chance.random() < 0.03:
                self._chance.choice(self._gate.links).cut_after("down", self._chance.randrange(1, 4000))
            self._go_on(number)
        self._go_on(2 * ROUNDS)

    def _go_on(self, until: int) -> None:
        for end, link in self._stalled:
            if end <= until:
                link.stall(False)
        self._stalled = [one for one in self._stalled if one[0] > until]

    async def publish(self) -> None:
        self.published += 1
        await self._rt.publish(ROOM, str(self.published).ljust(SIZE, "."))

    def _lose(self) -> None:
        """Somebody lacks something, as when the broker has lost it."""
        channel = self._rt._service.channels.find(ROOM)
        if channel is not None and channel.members:
            session = self._chance.choice(list(channel.members))
            session.lack(channel.members[session])


def judge(member: SessionMember) -> int:
    """Everything that it was told follows. Returns how often it was told that it lacks something."""
    at, told = 0, 0
    for event in member.events:
        assert event.kind != "wrong", (member.name, event.item)
        told += event.kind == "told"
        items = [(event.offset, event.item)] if event.kind == "publication" else list(event.found)
        if event.kind == "subscribed" and event.since is None:
            at = event.offset
        elif event.kind == "subscribed":
            assert event.recovered, (member.name, event.since)
            assert event.since == (event.epoch, at)
        for offset, item in items:
            assert (offset, item) == (at + 1, str(at + 1)), member.name
            at = offset
    return told


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_they_miss_nothing(encrypted: bool) -> None:
    chance = random.Random(seed := random.randrange(1 << 30))
    trusted, trusting = contexts() if encrypted else (None, None)
    namespace = Namespace(
        history=History(5000, 60), force_recovery=True, allowed_delta_types=("fossil",), delta_publish=True
    )
    limits = hubbub.Limits(ping_interval=3600, max_backlog=BACKLOG)
    rt = Realtime(
        insecure=True, namespaces={"": namespace}, limits=limits, bounds=Bounds(max_publications=5000)
    )  # fmt: skip
    rt.on_connect(_connect)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    async with serving(rt.handler, hub=rt.hub, sockets=[listening], ssl=trusted) as server:
        gate = Gate(lambda: server.port, chance)
        await gate.open()
        members = [
            SessionMember(
                number, lambda: gate.port, chance, dialect=(JSON, PROTOBUF)[number % 2], server_side=number % 5 == 4,
                delta=number % 5 in (1, 2), tls=trusting,
            )
            for number in range(10)
        ]  # fmt: skip
        try:
            trouble = Trouble(rt, gate, chance)
            await until(lambda: all(member.here for member in members))
            await trouble.last()
            await trouble.publish()
            await until(lambda: all(member.position == (_epoch(rt), trouble.published) for member in members), 20)
            assert sum(judge(member) for member in members) > 0, seed
            assert rt.hub.statistics().drops["overflow"], seed
        finally:
            for member in members:
                member.leave()
            gate.close()
    await rt.close()


def _epoch(rt: Realtime) -> str:
    channel = rt._service.channels.find(ROOM)
    assert channel is not None
    assert channel.top is not None
    return channel.top.epoch
