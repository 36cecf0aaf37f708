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


class Aging(Engine):
    """Its clock is set by hand."""

    at = 1000.0

    def now(self) -> float:
        return self.at


def test_idle_channels_let_go_of_what_has_expired_one_after_the_other() -> None:
    engine = Aging()
    engine.append([new(b"kept", key="k")])
    engine.append([new(b"keyed", None, "k")])
    engine.append([new(b"busy", History(5, 400))])
    kept, keyed, busy = (engine._logs[name] for name in (b"kept", b"keyed", b"busy"))
    engine.at += 61
    engine.append([new(b"busy", History(5, 400))])
    assert (len(kept._publications), len(kept._keys or ()), len(keyed._keys or ())) == (0, 1, 1)
    engine.at += 240
    engine.append([new(b"busy", History(5, 400))])
    assert (kept._keys, keyed._keys, len(busy._publications)) == (None, None, 3)
    engine.at += 399
    assert len(engine.page(b"busy", None, None, False).publications) == 3
    engine.at += 2
    assert engine.position(b"busy") is not None
    assert not busy._publications
    assert len(engine._expiring) <= 6
    engine.at += 86400
    engine.position(b"busy")
    assert b"keyed" not in engine._logs
    assert b"kept" in engine._logs
    engine.at += 30 * 86400
    engine.position(b"busy")
    assert not engine._logs
    assert not engine._expiring


def test_a_busy_channel_is_looked_at_seldom() -> None:
    engine = Aging()
    for n in range(1000):
        engine.at += 1.0
        engine.append([new(b"busy", key=f"{n}")])
    assert len(engine._expiring) <= 2
    assert len(engine._logs[b"busy"]._keys or ()) <= 360


def test_what_cannot_be_written_spoils_no_other_turn(tmp_path: Path) -> None:
    engine = SqliteEngine(str(tmp_path / "chat.db"))
    engine.append([new(b"a")])
    assert all(isinstance(result, Exception) for result in engine.append([new(b"a", key="\ud800"), new(b"a")]))
    (result,) = engine.append([new(b"a")])
    assert isinstance(result, Published)
    assert result.offset == 2
    engine.close()


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
