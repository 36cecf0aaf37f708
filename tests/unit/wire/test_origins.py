"""Which origins are let in: compared as what they mean, and never raising at what a peer writes."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub import Misuse
from hubbub.wire import Headers, Origins


def allowed(origin: str | None, among: Any, host: str = "chat.example") -> bool:
    lines = [("host", host)] if origin is None else [("host", host), ("origin", origin)]
    return Origins(among).allow(Headers(lines))


@pytest.mark.parametrize(
    ("origin", "among"),
    [
        (None, []),
        (None, ["https://a.example"]),
        ("https://a.example", ["https://a.example"]),
        ("HTTPS://A.Example", ["https://a.example/"]),
        ("https://a.example:443", ["https://a.example"]),
        ("http://a.example", ["http://A.example:80"]),
        ("http://localhost:3000", ["https://a.example", "http://localhost:3000"]),
        ("http://[::1]:3000", ["http://[::1]:3000"]),
        ("https://x.y.a.example", ["https://*.a.example"]),
        ("chrome-extension://abcdef", ["chrome-extension://abcdef"]),
        ("null", ["null"]),
        ("null", ["*"]),
        ("whatever", ["*"]),
    ],
)
def test_is_let_in(origin: str | None, among: list[str]) -> None:
    assert allowed(origin, among)


@pytest.mark.parametrize(
    ("origin", "among"),
    [
        ("https://a.example", []),
        ("http://a.example", ["https://a.example"]),
        ("https://a.example:8443", ["https://a.example"]),
        ("https://a.example.evil", ["https://a.example"]),
        ("https://evil-a.example", ["https://*.a.example", "https://a.example"]),
        ("https://a.example", ["https://*.a.example"]),
        ("http://x.a.example", ["https://*.a.example"]),
        ("https://a.example@evil.example", ["https://a.example"]),
        ("https://evil.example#https://a.example", ["https://a.example"]),
        ("https://a.example, https://a.example", ["https://a.example"]),
        ("https://a.example/", ["https://a.example"]),
        ("https://*.a.example", ["https://a.example"]),
        ("https://[::1", ["http://[::1]"]),
        ("https://a.example:99999999999999999999", ["https://a.example"]),
        ("https://a.example:", ["https://a.example"]),
        ("https://a.example\t", ["https://a.example"]),
        ("a.example", ["https://a.example"]),
        ("", ["https://a.example", "null"]),
        ("null", ["https://a.example"]),
    ],
)
def test_is_kept_out(origin: str, among: list[str]) -> None:
    assert not allowed(origin, among)


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("https://chat.example", "chat.example", True),
        ("https://chat.example", "Chat.example:443", True),
        ("http://chat.example:8000", "chat.example:8000", True),
        ("http://chat.example", "chat.example:8000", False),
        ("https://other.example", "chat.example", False),
        ("null", "chat.example", False),
        ("https://[", "[", False),
        ("https://", "", False),
    ],
)
def test_without_a_list_it_is_the_own_host_that_counts(origin: str, host: str, expected: bool) -> None:
    assert allowed(origin, None, host) is expected


@pytest.mark.parametrize(
    "among", ["https://a.example", 3, ["a.example"], ["https://a.example/chat"], [3], ["https://a.*.example"], [""]]
)
def test_what_is_no_origin_is_refused(among: Any) -> None:
    with pytest.raises(Misuse, match="origin"):
        Origins(among)
