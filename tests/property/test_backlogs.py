"""A backlog under any sequence of frames: nothing is reordered, nothing vanishes uncounted, no limit is passed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hubbub.hub.backlog import Backlog, Overflow, TotalBacklog, Waiting

LIMIT = 100
steps = st.lists(
    st.tuples(st.integers(1, 60), st.sampled_from([None, "a", "b"]), st.booleans(), st.integers(0, 80)), max_size=40
)


@given(steps, st.sampled_from(Overflow))
def test_every_frame_is_taken_or_counted_and_in_order(
    sequence: list[tuple[int, str | None, bool, int]], policy: Overflow
) -> None:
    total = TotalBacklog()
    backlog = Backlog(LIMIT, 10_000, policy, total)
    given_in, taken, dropped, messages = [], [], 0, 0
    for number, (size, channel, control, take) in enumerate(sequence):
        data = number.to_bytes(2, "big") + bytes(size)
        given_in.append(data)
        outcome = backlog.add(Waiting(data, channel, control=control))
        messages += not control
        dropped += outcome.dropped
        assert control <= outcome.accepted  # a control frame is never dropped
        kept = sum(len(frame.data) for frame in backlog._frames if not frame.control)
        assert kept <= LIMIT or len([f for f in backlog._frames if not f.control]) == 1
        assert backlog.size == sum(len(frame.data) for frame in backlog._frames) == total.used
        if take and len(backlog):
            taken.append(backlog.take(take))
            total.add(-len(taken[-1]))
    while len(backlog):
        taken.append(backlog.take(50))
        total.add(-len(taken[-1]))
    out = b"".join(taken)
    assert total.used == 0
    remaining = iter(given_in)
    at = count = 0
    while at < len(out):  # what came out is a subsequence of what went in
        frame = next(frame for frame in remaining if out.startswith(frame, at) and out[at : at + 2] == frame[:2])
        at += len(frame)
        count += 1
    controls = sum(control for _, _, control, _ in sequence)
    assert count == controls + messages - dropped
