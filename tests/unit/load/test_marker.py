"""What travels in a payload, and comes back."""

from __future__ import annotations

import pytest

from hubbub.load.marker import LAST_NUMBER, LAST_SEQUENCE, LAST_TIME, SIZE, Delivery, Marker

DELIVERY = Delivery(publisher=12, sequence=345, sent=678_000_000_000)


def test_a_payload_has_its_size() -> None:
    marker = Marker("abcd")
    assert len(marker.write(Delivery(LAST_NUMBER, LAST_SEQUENCE, LAST_TIME), SIZE)) == SIZE
    assert len(marker.write(DELIVERY, 1000)) == 1000


@pytest.mark.parametrize("envelope", ["{}", '{{"from": "x", "text": "{}", "at": 5}}', '42["say","{}"]', "<p>{}</p>"])
def test_it_is_found_in_any_envelope(envelope: str) -> None:
    marker = Marker("abcd")
    assert marker.find(envelope.format(marker.write(DELIVERY, 64)).encode()) == [DELIVERY]


def test_a_message_may_hold_several_and_repeat_them() -> None:
    marker, other = Marker("abcd"), DELIVERY._replace(sequence=346)
    first, second = marker.write(DELIVERY, 64), marker.write(other, 64)
    assert marker.find(f"{first}\n{second}\n{first}".encode()) == [DELIVERY, other]


@pytest.mark.parametrize("message", [b"", b"hub", b"hubabcd" + b"g" * 26, b"hubabcd" + b"0" * 25, b"\xff" * 100])
def test_all_else_is_nothing(message: bytes) -> None:
    assert Marker("abcd").find(message) == []


def test_another_run_is_not_ours() -> None:
    assert Marker("abcd").find(Marker("abce").write(DELIVERY, 64).encode()) == []
