"""What Centrifugo's `engine` and `broker` say, as the URL of one of hubbub's brokers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import quote, urlencode, urlsplit

from hubbub.standalone.kinds import Flag, Kind, Number, PemFile, Secret, Text, Texts

__all__ = ["ENGINES", "Told", "broker_url"]

ENGINES: frozenset[str] = frozenset(
    {"engine", *(f"broker.{name}" for name in ("enabled", "type", "redis", "nats", "redisnats", "postgres"))}
)
"""The keys that are judged here."""

_REDIS: dict[str, Kind] = {
    "address": Texts(),
    "cluster_address": Texts(),
    "sentinel_address": Texts(),
    "sentinel_master_name": Text(),
    "sentinel_user": Text(),
    "sentinel_password": Secret(),
    "user": Text(),
    "password": Secret(),
    "db": Number(0, 99999),
    "prefix": Text(),
    "tls": Text(),
}
_NATS: dict[str, Kind] = {"url": Secret(), "prefix": Text(), "tls": Text()}
_TLS: dict[str, Kind] = {
    "enabled": Flag(),
    "cert_pem": PemFile(),
    "key_pem": PemFile(),
    "server_ca_pem": PemFile(),
}
_IGNORED = {
    "redis": {
        "connect_timeout", "io_timeout", "client_name", "force_resp2", "replica_client", "history_use_lists",
        "presence_ttl", "presence_hash_field_ttl", "presence_user_mapping", "sentinel_client_name", "sentinel_tls",
    },
    "nats": {"dial_timeout", "write_timeout", "allow_wildcards", "raw_mode"},
    "tls": {"server_name", "client_ca_pem", "insecure_skip_verify"},
}  # fmt: skip


class Told(NamedTuple):
    """Who is told of what is found, each by its key and a text."""

    mistake: Callable[[str, str], None]
    ignored: Callable[[str, str], None]


def broker_url(said: Mapping[str, Any], told: Told) -> str:
    """The URL, with credentials; "" if nothing is said.

    Args:
        said: the tables `engine` and `broker`, as far as they are there.
    """
    broker, engine = _table(said, "broker"), _table(said, "engine")
    for name in engine.keys() - {"type", "redis"}:
        told.mistake(f"engine.{name}", "there is no such key: an engine has type and redis")
    if broker.get("enabled") is True:
        section, table = "broker", broker
    elif engine:
        section, table = "engine", engine
    else:
        return ""
    kind = table.get("type", "memory")
    match kind:
        case "memory":
            return "memory:"
        case "redis":
            return _redis(_read(table, section, "redis", _REDIS, told), section, told)
        case "nats" if section == "broker":
            return _nats(_read(table, section, "nats", _NATS, told))
        case _:
            known = "memory or redis" if section == "engine" else "memory, redis or nats"
            told.mistake(f"{section}.type", f"it is {known}; for others set broker.url")
            return ""


def _table(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = said.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _read(table: Mapping[str, Any], section: str, name: str, kinds: Mapping[str, Kind], told: Told) -> dict[str, Any]:
    """Its options, those that are wrong left out."""
    found: dict[str, Any] = {}
    for option, value in _table(table, name).items():
        key = f"{section}.{name}.{option}"
        if option in _IGNORED[name]:
            told.ignored(key, "the broker's URL has what hubbub knows of this")
        elif option not in kinds:
            told.mistake(key, "there is no such key")
        elif option == "tls" and isinstance(value, dict):
            found["tls"] = _read(_table(table, name), f"{section}.{name}", "tls", _TLS, told)
        else:
            listed = [value] if isinstance(value, str) and isinstance(kinds[option], Texts) else value
            try:
                found[option] = kinds[option].read(listed)
            except ValueError as error:
                told.mistake(key, f"it is {error}")
    return found


def _redis(options: dict[str, Any], section: str, told: Told) -> str:
    sentinels, cluster = options.get("sentinel_address", ()), options.get("cluster_address", ())
    plain = options.get("address", ("redis://127.0.0.1:6379",))
    if len(plain) > 1 and not (sentinels or cluster):
        told.mistake(f"{section}.redis.address", "channels are not spread over several servers: name one, or a cluster")
        plain = plain[:1]
    first = urlsplit(plain[0] if "://" in plain[0] else f"redis://{plain[0]}")
    places = ",".join(urlsplit(one if "://" in one else f"redis://{one}").netloc for one in sentinels or cluster)
    tls, query = _tls(options)
    if sentinels:
        query["sentinel"] = options.get("sentinel_master_name", "")
        query |= {name: options[name] for name in ("sentinel_user", "sentinel_password") if name in options}
    if "prefix" in options:
        query["prefix"] = options["prefix"]
    user, password = options.get("user", first.username or ""), options.get("password", first.password or "")
    who = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    where = places or first.netloc.rpartition("@")[2]
    db = options.get("db") or (first.path.strip("/") if not places else "")
    scheme = "rediss" if tls or first.scheme == "rediss" else "redis"
    if first.scheme == "unix" and not places:
        scheme, where, db = "unix", first.path, ""
        query |= {"db": options["db"]} if options.get("db") else {}
    return f"{scheme}://{who}{where}{f'/{db}' if db else ''}{_query(query)}"


def _nats(options: dict[str, Any]) -> str:
    tls, query = _tls(options)
    if "prefix" in options:
        query["prefix"] = options["prefix"]
    url: str = options.get("url", "nats://localhost:4222")
    if tls and url.startswith("nats://"):
        url = f"tls://{url.removeprefix('nats://')}"
    return f"{url}{_query(query)}"


def _tls(options: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    tls: dict[str, Any] = options.get("tls") or {}
    if not tls.get("enabled"):
        return False, {}
    named = (("ca", "server_ca_pem"), ("cert", "cert_pem"), ("key", "key_pem"))
    return True, {ours: tls[theirs] for ours, theirs in named if tls.get(theirs)}


def _query(query: Mapping[str, Any]) -> str:
    return f"?{urlencode(query)}" if query else ""
