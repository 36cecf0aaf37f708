"""Channel ids as names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.node import channel_of, name_of

IDS: Any = st.recursive(
    st.text() | st.binary() | st.integers() | st.booleans(), lambda parts: st.lists(parts, max_size=4).map(tuple)
)


@given(IDS)
def test_a_name_stands_for_its_channel(channel: Any) -> None:
    assert channel_of(name_of(channel)) == channel


@given(IDS, IDS)
def test_names_are_equal_when_channels_are(one: Any, other: Any) -> None:
    assert (name_of(one) == name_of(other)) is (one == other)


@pytest.mark.parametrize("channel", [None, 1.5, frozenset("a"), ("a", None), object()])
def test_what_no_other_process_knows_is_refused(channel: Any) -> None:
    with pytest.raises(TypeError, match="a str, bytes, an int, or a tuple"):
        name_of(channel)


@pytest.mark.parametrize("name", [b"", b"x:1", b"i:x", b"t:9", b"t:3,s"])
def test_what_is_no_name_is_refused(name: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        channel_of(name)
