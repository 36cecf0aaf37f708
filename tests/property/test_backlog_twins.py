"""The compiled backlog and its twin in Python: the same frames, policies and limits give the same outcomes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.hub.backlog import Backlog, Outcome, Overflow, TotalBacklog, Waiting
from support.compiler import CORE, compiled

LIMIT, TOTAL_LIMIT = 100, 130
CAUSES = ["", "overflow", "budget", "closed", "error"]
DIRECT, CONTROL = 0, 2**64 - 1
PONG, PING = 0x8A, 0x89

adds = st.tuples(st.just("add"), st.integers(1, 70), st.sampled_from([DIRECT, 1, 2, 3, CONTROL]))
pongs = st.tuples(st.just("pong"), st.integers(1, 20), st.just(0))
takes = st.tuples(st.just("take"), st.integers(1, 90), st.just(0))
Steps = list[tuple[str, int, int]]
steps = st.lists(st.one_of(adds, adds, adds, pongs, takes), max_size=40)


class Bounds(ctypes.Structure):
    _fields_ = [("backlog", ctypes.c_size_t), ("total_backlog", ctypes.c_size_t), ("stall_ms", ctypes.c_uint64)]


class COutcome(ctypes.Structure):
    _fields_ = [
        ("accepted", ctypes.c_bool),
        ("disconnect", ctypes.c_bool),
        ("cause", ctypes.c_int),
        ("dropped", ctypes.c_size_t),
    ]


class Piece(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class CBacklog:
    """The compiled one, as the twin's interface has it."""

    def __init__(self, core: Any, policy: Overflow) -> None:
        self._core = core
        self._policy = list(Overflow).index(policy)
        self._bounds = Bounds(LIMIT, TOTAL_LIMIT, 0)
        self._backlog = ctypes.c_void_p(core.hb_backlog_new())

    def _frame(self, data: bytes, use: Callable[[ctypes.c_void_p], Any]) -> Any:
        frame = ctypes.c_void_p(self._core.hb_frame_new(data, ctypes.c_size_t(len(data))))
        result = use(frame)
        self._core.hb_frame_drop(frame)
        return result

    def add(self, data: bytes, channel: int) -> Outcome:
        def use(frame: ctypes.c_void_p) -> COutcome:
            add = self._core.hb_backlog_add
            return add(self._backlog, frame, ctypes.c_uint64(channel), self._policy, ctypes.byref(self._bounds))

        outcome = self._frame(data, use)
        return Outcome(outcome.accepted, outcome.dropped, CAUSES[outcome.cause], outcome.disconnect)

    def put_control(self, data: bytes) -> None:
        assert self._frame(data, lambda frame: self._core.hb_backlog_put_control(self._backlog, frame))

    def waiting(self) -> bytes:
        pieces = (Piece * 64)()
        count = self._core.hb_backlog_pieces(self._backlog, pieces, 64, ctypes.c_size_t(2**62))
        return b"".join(ctypes.string_at(piece.start, piece.size) for piece in pieces[:count])

    def taken(self, size: int) -> None:
        self._core.hb_backlog_taken(self._backlog, ctypes.c_size_t(size))

    def clear(self) -> int:
        return int(self._core.hb_backlog_free(self._backlog))


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Any:
    sources = [source for source in CORE if source.stem in ("frame", "backlog")]
    library: Any = ctypes.CDLL(str(compiled(tmp_path_factory.mktemp("core") / "core.so", sources, "-shared", "-fPIC")))
    library.hb_backlog_new.restype = library.hb_frame_new.restype = ctypes.c_void_p
    library.hb_backlog_free.restype = library.hb_total_backlog.restype = ctypes.c_size_t
    library.hb_backlog_put_control.restype = ctypes.c_bool
    library.hb_backlog_add.restype = COutcome
    return library


def payload(number: int, size: int, channel: int) -> bytes:
    return bytes([PING if channel == CONTROL else 0x81, number, *bytes(size)])


@given(sequence=steps, policy=st.sampled_from(Overflow))
def test_both_come_to_the_same(core: Any, sequence: Steps, policy: Overflow) -> None:
    total = TotalBacklog()
    twin = Backlog(LIMIT, TOTAL_LIMIT, policy, total)
    backlog = CBacklog(core, policy)
    for number, (step, size, channel) in enumerate(sequence):
        if step == "add":
            data = payload(number, size, channel)
            outcome = backlog.add(data, channel)
            control = channel == CONTROL
            assert outcome == twin.add(Waiting(data, None if control else channel or None, control=control))
            if outcome.disconnect:
                break
        elif step == "pong":
            data = bytes([PONG, number, *bytes(size)])
            backlog.put_control(data)
            twin.put_control(data)
        elif len(twin):
            data = twin.take(size)
            total.add(-len(data))
            assert backlog.waiting().startswith(data)
            backlog.taken(len(data))
        assert core.hb_total_backlog() == total.used == len(backlog.waiting())
    assert backlog.waiting() == b"".join(frame.data for frame in twin._frames)
    assert backlog.clear() == twin.clear()
    assert core.hb_total_backlog() == 0


@given(sequence=steps, policy=st.sampled_from(Overflow))
def test_frames_leave_whole_whatever_the_kernel_takes_at_a_time(core: Any, sequence: Steps, policy: Overflow) -> None:
    backlog = CBacklog(core, policy)
    out, given_in, messages, dropped = b"", list[bytes](), 0, 0
    for number, (step, size, channel) in enumerate(sequence):
        if step == "take":
            data = backlog.waiting()[:size]  # in the midst of a frame, as it comes
            out += data
            backlog.taken(len(data))
        else:
            data = payload(number, size, channel)
            outcome = backlog.add(data, channel)
            given_in.append(data)
            messages += channel != CONTROL
            dropped += outcome.dropped
            assert outcome.accepted or channel != CONTROL
    out += backlog.waiting()
    count = at = 0
    for data in given_in:  # what came out is a subsequence of what went in
        if out.startswith(data, at):
            at += len(data)
            count += 1
    assert at == len(out)
    assert count == len(given_in) - dropped
    backlog.clear()
    assert core.hb_total_backlog() == 0
