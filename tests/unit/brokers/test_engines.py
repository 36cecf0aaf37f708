"""The embedded engine and the one in a file, as far as no broker shows it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest

from hubbub.brokers import History, Outgoing, Publication, Published, store
from hubbub.brokers.memory import Engine, MemoryBroker
from hubbub.brokers.store import SqliteEngine

_ids = count(1)
KEPT = History(100, 60)


def new(channel: bytes, history: History | None = KEPT, key: str = "") -> Outgoing:
    return Outgoing(channel, b"x", b"nobody" + next(_ids).to_bytes(6, "big"), history, key)


class Told:
    def publications(self, channel: bytes, batch: Sequence[Publication]) -> None: ...
    def control(self, node: bytes, data: bytes) -> None: ...
    def gone(self, node: bytes) -> None: ...
    def gap(self, channels: Sequence[bytes] | None) -> None: ...
    def state(self, up: bool, reason: str) -> None: ...


async def test_a_node_that_is_back_already_leaves_no_subscription_of_its_first_link() -> None:
    engine = Engine()
    first, second = MemoryBroker(engine), MemoryBroker(engine)
    await first.start(b"node00", Told())
    await first.subscribe([b"a"])
    await second.start(b"node00", Told())
    await second.subscribe([b"b"])
    await first.close()
    assert list(engine._interest) == [b"b"]
    assert engine.brokers == {b"node00": second}


def test_a_turn_may_have_more_channels_than_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "REMEMBERED", 3)
    engine = SqliteEngine(str(tmp_path / "chat.db"))
    channels = [b"%d" % n for n in range(10)]
    for turn in range(1, 4):
        results = engine.append([new(channel) for channel in channels])
        assert all(isinstance(result, Published) and result.offset == turn for result in results)
        engine.close()
        engine = SqliteEngine(str(tmp_path / "chat.db"))
    for channel in channels:
        assert [p.offset for p in engine.page(channel, None, None, False).publications] == [1, 2, 3]
    assert len(engine._stored) <= 3 + 1
    engine.close()
