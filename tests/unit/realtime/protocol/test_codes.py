"""The table of codes, against what client libraries expect of each."""

from __future__ import annotations

import pytest

from hubbub.realtime.protocol import Disconnect, Disconnects, Error, Errors, Fault, Unsubscribe, Unsubscribes

ERRORS = [value for value in vars(Errors).values() if isinstance(value, Error)]
DISCONNECTS = [value for value in vars(Disconnects).values() if isinstance(value, Disconnect)]
UNSUBSCRIBES = [value for value in vars(Unsubscribes).values() if isinstance(value, Unsubscribe)]


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        (ERRORS, range(100, 114)),
        (DISCONNECTS, [3000, 3001, 3004, 3005, 3006, *range(3008, 3015), *range(3500, 3510)]),
        (UNSUBSCRIBES, [0, 1, 2000, 2500, 2501, 2502]),
    ],
)
def test_every_code_of_the_protocol_is_there_once(table: list[Error], codes: list[int]) -> None:
    assert [entry.code for entry in table] == list(codes)


def test_those_that_are_temporary() -> None:
    assert [error.code for error in ERRORS if error.temporary] == [100, 111, 113]


@pytest.mark.parametrize("disconnect", DISCONNECTS)
def test_clients_reconnect_below_3500(disconnect: Disconnect) -> None:
    assert disconnect.reconnects == (disconnect.code < 3500)
    assert len(disconnect.reason) <= 32  # bytes: what a close frame of every transport has room for


@pytest.mark.parametrize(("code", "reconnects"), [(4000, True), (4499, True), (4500, False), (4999, False)])
def test_applications_have_codes_of_both_kinds(code: int, reconnects: bool) -> None:
    assert Disconnect(code=code, reason="").reconnects is reconnects


def test_clients_subscribe_again_from_2500() -> None:
    assert [entry.code for entry in UNSUBSCRIBES if entry.resubscribes] == [2500, 2501, 2502]


def test_a_fault_tells_its_code() -> None:
    assert str(Fault(Errors.NOT_AVAILABLE, "no history")) == "108 not available: no history"
    assert str(Fault(Disconnects.STALE)) == "3502 stale"
