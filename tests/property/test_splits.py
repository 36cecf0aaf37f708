"""Any split of any byte stream gives the same events: the property that one of hubbub's ancestors did not have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.wire import Agreed, Failure, Protocol
from support.client import encode
from support.streams import AGREED, corrupted, heads, keys, split, upgrade

pytestmark = pytest.mark.usefixtures("twin")


def events(chunks: list[bytes], agreed: Agreed | None) -> list[object]:
    protocol = Protocol(max_message_size=400, max_fragments=3, agreed=agreed)
    out: list[object] = []
    for chunk in chunks:
        for event in protocol.receive(chunk):
            if isinstance(event, Failure):
                out.append((type(event.error), str(event.error), event.reply))
            else:
                out.append(event)
    return out


@given(corrupted(), AGREED, st.lists(st.integers(0, 5000), max_size=8))
def test_any_split_of_any_stream_gives_the_same_events(data: bytes, agreed: Agreed | None, cuts: list[int]) -> None:
    whole = events([data], agreed)
    assert events(split(data, cuts), agreed) == whole
    assert events([data[index : index + 1] for index in range(len(data))], agreed) == whole


@given(st.binary(max_size=500), AGREED)
def test_no_bytes_raise(data: bytes, agreed: Agreed | None) -> None:
    events([data], agreed)


@given(st.lists(st.text(max_size=200) | st.binary(max_size=200), max_size=8), keys)
def test_what_is_sent_is_what_is_received(sent: list[str | bytes], key: bytes) -> None:
    data = b"".join(
        encode(1, item.encode(), key=key) if isinstance(item, str) else encode(2, item, key=key) for item in sent
    )
    protocol = Protocol(max_message_size=1000, max_fragments=3)
    assert protocol.receive(data) == sent


@given(heads(), st.lists(st.integers(0, 500), max_size=6))
def test_any_split_of_a_handshake_gives_the_same_result(data: bytes, cuts: list[int]) -> None:
    whole = upgrade([data])
    assert upgrade(split(data, cuts)) == whole
    assert upgrade([data[index : index + 1] for index in range(len(data))]) == whole
