"""What a server counts goes up and down by the same connections, however they were answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

import hubbub
from hubbub import native
from hubbub.server import Context
from hubbub.server.context import _say_that_it_is_slow


class Loop(SimpleNamespace):
    """As much of an event loop as a Context needs to count."""

    __hash__ = object.__hash__


class Peer:
    """A connection that forgets its address when it is over, as transports of TLS do."""

    def __init__(self, address: str) -> None:
        self.known = address

    def address(self) -> str:
        return self.known


def context(**limits: Any) -> Any:
    loop: Any = Loop(time=lambda: 0.0)  # one second for all
    return Context(hub=None, limits=hubbub.Limits(**limits), compression=None, loop=loop)


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from(["come", "go", "stop"]), st.sampled_from("abc"), st.integers(0, 9))),
    rate=st.none() | st.integers(1, 9),
    most=st.none() | st.integers(1, 9),
)
def test_an_address_never_has_more_connections_than_its_limit(steps: Any, rate: Any, most: Any) -> None:
    shared = context(max_connections_per_address=2, max_accept_rate=rate, max_connections=most)
    here: list[tuple[Peer, str, bool]] = []
    for step, address, number in steps:
        if step == "come":
            peer = Peer(address)
            here.append((peer, address, not shared.admit(peer)))
            assert sum(let_in for _, whose, let_in in here if whose == address) <= 2
        elif step == "go" and here:
            peer, _, _ = here.pop(number % len(here))
            peer.known = ""
            shared.release(peer)
            shared.release(peer)  # once more changes nothing
        elif step == "stop":
            shared.stopping = True
        assert len(shared.connections) == len(here)
        assert shared._per_address == Counter(address for _, address, _ in here)


async def test_only_the_first_of_several_exits_is_let_out() -> None:
    raised: list[Any] = []
    loop: Any = Loop(time=lambda: 0.0, call_soon=lambda *call: raised.append(call))
    shared = Context(hub=None, limits=hubbub.Limits(), compression=None, loop=loop)
    for error in (ValueError(), asyncio.CancelledError(), SystemExit(3), KeyboardInterrupt()):
        shared.let_out(error)
    assert [type(error) for _, error in raised] == [SystemExit]


@pytest.mark.parametrize(("wish", "lines"), [("", 1), ("0", 0)])
def test_pure_python_that_was_not_wished_for_is_a_warning_once(
    wish: str, lines: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HUBBUB_NATIVE", wish)
    monkeypatch.setattr(native, "_missing", lambda: "the compiled part was not built")
    _say_that_it_is_slow.cache_clear()
    for _ in range(3):
        context()
    assert len(caplog.records) == lines
    assert all("pure Python: the compiled part was not built" in record.getMessage() for record in caplog.records)
    _say_that_it_is_slow.cache_clear()
