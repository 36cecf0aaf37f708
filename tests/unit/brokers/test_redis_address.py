"""URLs of Redis servers."""

from __future__ import annotations

import pytest

from hubbub.brokers.redis.address import Address, Place
from hubbub.errors import Misuse


def test_everything_that_a_url_can_say() -> None:
    address = Address.of("rediss://u%40:p%2F%3A@a:7000,b,[::1]:5000/3?prefix=p-1")
    assert address.places == (Place("a", 7000), Place("b", 6379), Place("::1", 5000))
    assert (address.user, address.password, address.db, address.prefix) == ("u@", "p/:", 3, "p-1")
    assert address.secure


def test_a_password_alone() -> None:
    address = Address.of("redis://:secret@host")
    assert (address.user, address.password) == ("", "secret")


def test_a_unix_socket() -> None:
    address = Address.of("unix://:secret@/run/my%20redis.sock?db=2")
    assert address.places == (Place("/run/my redis.sock", 0),)
    assert (address.password, address.db) == ("secret", 2)


def test_databases_do_not_hear_each_other() -> None:
    assert [Address.of(f"redis://h{end}").prefix for end in ("", "/", "/0", "/1", "?db=2")] == [
        "hb", "hb", "hb", "hb1", "hb2",
    ]  # fmt: skip


def test_sentinels() -> None:
    address = Address.of("redis://:secret@a,b:7/1?sentinel=main&sentinel_password=other")
    assert address.places == (Place("a", 26379), Place("b", 7))
    assert (address.sentinel, address.password, address.sentinel_password) == ("main", "secret", "other")


@pytest.mark.parametrize(
    "url",
    [
        "redis://", "redis://:6379", "redis://h:x", "redis://h:0", "redis://h:65536", "redis://a,", "redis://h/x",
        "redis://h/-1", "redis://h/1/2", "redis://h?db=x", "redis://h?prefix=", "redis://h?prefix=a:b",
        "redis://h?prefix={a}", "redis://h?sentinel=", "redis://h?ca=/nowhere", "redis://h?colour=blue",
        "unix://path", "unix://", "redis://u:s3cret@h:x",
    ],
)  # fmt: skip
def test_what_can_never_work_is_refused_without_the_password(url: str) -> None:
    with pytest.raises(Misuse) as raised:
        Address.of(url)
    assert "s3cret" not in str(raised.value)


def test_credentials_are_in_no_repr() -> None:
    shown = repr(Address.of("redis://user:s3cret@h?sentinel=m&sentinel_user=other&sentinel_password=s4cret"))
    assert not any(word in shown for word in ("s3cret", "s4cret", "user:", "other"))
