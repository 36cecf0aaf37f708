"""Negotiation: RFC 7692, section 7.1."""

from __future__ import annotations

import pytest

import hubbub
from hubbub.wire import Agreed, Deflate, negotiate

PLAIN = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def answer(*headers: str, **settings: object) -> str | None:
    negotiated = negotiate(headers, Deflate(**settings))  # type: ignore[arg-type]
    return None if negotiated is None else negotiated[0]


@pytest.mark.parametrize(
    ("offer", "expected"),
    [
        ("permessage-deflate", PLAIN),
        ("permessage-deflate; client_max_window_bits", PLAIN),
        ("PerMessage-Deflate;server_no_context_takeover", PLAIN),
        ("permessage-deflate; server_max_window_bits=10", f"{PLAIN}; server_max_window_bits=10"),
        ("permessage-deflate; server_max_window_bits=15", f"{PLAIN}; server_max_window_bits=15"),  # asked
        ('permessage-deflate; server_max_window_bits="10"', f"{PLAIN}; server_max_window_bits=10"),
        ("permessage-deflate; client_max_window_bits=9", f"{PLAIN}; client_max_window_bits=9"),
        ("x-webkit-deflate-frame, permessage-deflate", PLAIN),
        ("permessage-deflate; unknown, permessage-deflate", PLAIN),
        ("permessage-deflate; server_max_window_bits=7, permessage-deflate; client_max_window_bits", PLAIN),
        # what cannot be met, or is not in the standard's form
        ("permessage-deflate; unknown", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=8", None),  # zlib makes no such window
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits=010", None),
        ("permessage-deflate; client_max_window_bits=7", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
        ("permessage-deflate; a b", None),
        ("x-webkit-deflate-frame", None),
        ("", None),
    ],
)
def test_offers_are_met_or_declined(offer: str, expected: str | None) -> None:
    assert answer(offer) == expected


def test_the_first_offer_that_can_be_met_wins_over_several_headers() -> None:
    assert answer("foo", "permessage-deflate; bar", "permessage-deflate; server_max_window_bits=12") == (
        f"{PLAIN}; server_max_window_bits=12"
    )


def test_settings_bound_what_is_agreed() -> None:
    assert (
        answer("permessage-deflate", client_context_takeover=True) == "permessage-deflate; server_no_context_takeover"
    )
    assert answer("permessage-deflate; client_no_context_takeover", client_context_takeover=True) == PLAIN
    small = answer("permessage-deflate; client_max_window_bits", client_window_bits=11, server_window_bits=12)
    assert small == f"{PLAIN}; server_max_window_bits=12; client_max_window_bits=11"
    # one that did not say that it can be told keeps its own window
    negotiated = negotiate(["permessage-deflate"], Deflate(client_window_bits=9))
    assert negotiated is not None
    assert negotiated[1] == Agreed(15, 15, client_context_takeover=False)


@pytest.mark.parametrize("bits", [8, 16])
def test_windows_that_do_not_exist_are_refused(bits: int) -> None:
    with pytest.raises(hubbub.Misuse, match="9 to 15"):
        Deflate(server_window_bits=bits)
    with pytest.raises(hubbub.Misuse, match="9 to 15"):
        Deflate(client_window_bits=bits)


def test_a_hostile_offer_takes_linear_time() -> None:
    assert answer("permessage-deflate; " + "a=" * 4000) is None
    assert answer('permessage-deflate; a="' + "\\" * 8000) is None
    assert answer("permessage-deflate;" + " " * 8000 + "x") is None
    assert answer(", ".join(["permessage-deflate; x"] * 300)) is None
