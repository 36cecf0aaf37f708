"""URLs of NATS servers."""

from __future__ import annotations

import pytest

from hubbub.brokers.nats.address import Address
from hubbub.errors import Misuse


def test_several_servers_share_what_is_said_once() -> None:
    address = Address.of("nats://u%40:p%2F@a,b:4333,[::1]:5000?prefix=p-1&replicas=3&keep=60")
    assert [str(server) for server in address.servers] == ["a:4222", "b:4333", "[::1]:5000"]
    assert all(server.credentials == {"user": "u@", "pass": "p/"} for server in address.servers)
    assert (address.prefix, address.replicas, address.keep) == ("p-1", 3, 60)


def test_tls_and_a_token() -> None:
    (server,) = Address.of("tls://t0ken@host").servers
    assert server.secure
    assert server.credentials == {"auth_token": "t0ken"}


def test_servers_of_the_cluster_are_added() -> None:
    address = Address.of("nats://u:p@a")
    added = address.with_others({"connect_urls": ["10.0.0.1:4222", "[::2]:4222", "a:4222"]}, address.servers[0])
    assert [str(server) for server in added] == ["a:4222", "10.0.0.1:4222", "[::2]:4222"]
    assert all(server.credentials for server in added)


@pytest.mark.parametrize(
    "url",
    [
        "nats://", "nats://:4222", "nats://h:x", "nats://h:0", "nats://h?prefix=a.b", "nats://h?prefix=*",
        "nats://h?prefix=", "nats://h?replicas=0", "nats://h?replicas=x", "nats://h?keep=0", "nats://h?keep=nan",
        "nats://h?ca=/nowhere", "nats://h?colour=blue", "nats://u:s3cret@h:x",
    ],
)  # fmt: skip
def test_what_can_never_work_is_refused_without_the_password(url: str) -> None:
    with pytest.raises(Misuse) as raised:
        Address.of(url)
    assert "s3cret" not in str(raised.value)


def test_credentials_are_in_no_repr() -> None:
    assert "s3cret" not in repr(Address.of("nats://user:s3cret@h"))
