"""What Centrifugo's engines and brokers say becomes the URL of a broker of ours."""

# ruff: noqa: E501 (what is told is told in one line)

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hubbub.brokers.nats.address import Address as Nats
from hubbub.brokers.redis.address import Address as Redis
from hubbub.standalone.brokers import Told, broker_url


def url_of(said: dict[str, Any]) -> tuple[str, list[str], list[str]]:
    mistakes, ignored = list[str](), list[str]()
    told = Told(lambda key, text: mistakes.append(f"{key}: {text}"), lambda key, _: ignored.append(key))
    return broker_url(said, told), mistakes, ignored


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ({}, ""),
        ({"engine": {}}, ""),
        ({"engine": {"type": "memory"}}, "memory:"),
        ({"engine": {"type": "redis"}}, "redis://127.0.0.1:6379"),
        ({"engine": {"type": "redis", "redis": {"address": ["redis:6380"]}}}, "redis://redis:6380"),
        ({"engine": {"type": "redis", "redis": {"address": "rediss://u:p@h:1/3"}}}, "rediss://u:p@h:1/3"),
        (
            {"engine": {"type": "redis", "redis": {"user": "u/", "password": "p@:", "db": 2, "prefix": "app"}}},
            "redis://u%2F:p%40%3A@127.0.0.1:6379/2?prefix=app",
        ),
        (
            {"engine": {"type": "redis", "redis": {"cluster_address": ["a:1", "b:2"], "tls": {"enabled": True}}}},
            "rediss://a:1,b:2",
        ),
        (
            {
                "engine": {
                    "type": "redis",
                    "redis": {
                        "sentinel_address": ["a:1", "b:2"],
                        "sentinel_master_name": "main",
                        "sentinel_password": "&=",
                        "db": 1,
                    },
                }
            },
            "redis://a:1,b:2/1?sentinel=main&sentinel_password=%26%3D",
        ),
        (
            {"engine": {"type": "redis", "redis": {"address": "unix:///run/redis.sock", "db": 1}}},
            "unix:///run/redis.sock?db=1",
        ),
        ({"broker": {"type": "nats"}}, ""),
        ({"broker": {"enabled": True, "type": "nats"}}, "nats://localhost:4222"),
        (
            {"broker": {"enabled": True, "type": "nats", "nats": {"url": "nats://u:p@h:4222", "prefix": "app"}}},
            "nats://u:p@h:4222?prefix=app",
        ),
        (
            {"broker": {"enabled": True, "type": "nats", "nats": {"url": "nats://h", "tls": {"enabled": True}}}},
            "tls://h",
        ),
        (
            {
                "engine": {"type": "redis"},
                "broker": {"enabled": True, "type": "redis", "redis": {"address": "other:1"}},
            },
            "redis://other:1",
        ),
    ],
)
def test_engines_become_urls_that_brokers_read(said: dict[str, Any], url: str) -> None:
    assert url_of(said) == (url, [], [])
    if url.startswith(("redis", "unix")):
        Redis.of(url)
    elif url.startswith(("nats", "tls")):
        Nats.of(url)


def test_credentials_come_through_whole() -> None:
    found = Redis.of(url_of({"engine": {"type": "redis", "redis": {"user": "u/:@", "password": "?&#%p"}}})[0])
    assert (found.user, found.password) == ("u/:@", "?&#%p")


def test_files_for_tls_are_named_in_the_url(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----")
    said = {"type": "redis", "redis": {"tls": {"enabled": True, "server_ca_pem": str(ca)}}}
    assert url_of({"engine": said})[0] == f"rediss://127.0.0.1:6379?ca={str(ca).replace('/', '%2F')}"


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"engine": {"type": "nats"}}, "engine.type: it is memory or redis; for others set broker.url"),
        ({"broker": {"enabled": True, "type": "postgres"}}, "broker.type: it is memory, redis or nats; for others set broker.url"),
        ({"engine": {"type": "redis", "redis": {"addres": "x"}}}, "engine.redis.addres: there is no such key"),
        ({"engine": {"type": "redis", "redis": {"db": "x"}}}, "engine.redis.db: it is a whole number from 0 to 99999, without quotes"),
        ({"engine": {"type": "redis", "redis": {"address": ["a:1", "b:1"]}}}, "engine.redis.address: channels are not spread over several servers: name one, or a cluster"),
        ({"engine": {"type": "redis", "redis": {"tls": {"enabled": True, "server_ca_pem": "/nowhere"}}}}, "engine.redis.tls.server_ca_pem: it is the path of a file, and there is none of this name"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_a_mistake(said: dict[str, Any], complaint: str) -> None:
    assert url_of(said)[1] == [complaint]


def test_what_the_url_has_no_word_for_is_ignored() -> None:
    redis = {"io_timeout": "4s", "replica_client": {"enabled": True}, "tls": {"server_name": "x"}}
    _, mistakes, ignored = url_of({"engine": {"type": "redis", "redis": redis}})
    assert not mistakes
    assert ignored == ["engine.redis.io_timeout", "engine.redis.replica_client", "engine.redis.tls.server_name"]
