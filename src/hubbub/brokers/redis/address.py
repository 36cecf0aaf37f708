"""The URL of Redis servers: where they are, who we are, and our own options."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

from hubbub.brokers.urls import context_of, options_of, redacted
from hubbub.errors import Misuse

__all__ = ["Address", "Place"]


class Place(NamedTuple):
    """Where one server listens: a host and port, or the path of a Unix socket and 0."""

    host: str
    port: int

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL says.

    `redis://[[USER]:PASSWORD@]HOST[:PORT][,HOST[:PORT]...][/DB][?OPTIONS]`, `rediss://` for TLS, or
    `unix://[[USER]:PASSWORD@]/PATH[?OPTIONS]`. Several hosts are tried in turn. Whether it is a cluster is seen by
    asking. Options:
    - prefix: of all keys and pub/sub channels; letters, digits, hyphens and underscores. Default "hb", and the number
      of the database behind it where that is not 0, for pub/sub knows no databases.
    - db: the database, as behind the host.
    - sentinel: the hosts are sentinels, and this is the name of the master that they watch;
      sentinel_user, sentinel_password: who we are to them.
    - ca, cert, key: PEM files for TLS.
    """

    places: tuple[Place, ...]
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    db: int = 0
    prefix: str = "hb"
    secure: bool = False
    context: ssl.SSLContext | None = field(default=None, repr=False)
    sentinel: str = ""
    sentinel_user: str = field(default="", repr=False)
    sentinel_password: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str) -> Address:
        """Raises: Misuse: something in it is wrong."""
        options = options_of(
            url, "prefix", "db", "sentinel", "sentinel_user", "sentinel_password", "ca", "cert", "key"
        )  # fmt: skip
        scheme, _, rest = url.partition("?")[0].partition("://")
        who, _, where = rest.rpartition("@")
        user, _, password = who.partition(":")
        db = options.get("db", "")
        if scheme.lower() == "unix":
            found = [Place(unquote(where), 0) if where.startswith("/") else None]
        else:
            where, _, path = where.partition("/")
            db = db or path
            found = [_place(part, 26379 if "sentinel" in options else 6379) for part in where.split(",")]
        places = tuple(place for place in found if place is not None)
        if len(places) < len(found):
            raise Misuse(
                f"the broker's URL {redacted(url)!r} names no server: redis://HOST:PORT, or unix:///PATH of its socket"
            )
        if not re.fullmatch(r"\d{0,5}", db):
            raise Misuse(f"the broker's URL {redacted(url)!r} ends in no number of a database")
        prefix = options.get("prefix", f"hb{int(db)}" if int(db or 0) else "hb")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", prefix):
            raise Misuse("the option prefix has 1 to 32 letters, digits, hyphens and underscores")
        if options.get("sentinel", "name") == "":
            raise Misuse("the option sentinel is the name of the master that the sentinels watch")
        return cls(
            places, unquote(user), unquote(password), int(db or 0), prefix, scheme.lower() == "rediss",
            context_of(options), options.get("sentinel", ""), options.get("sentinel_user", ""),
            options.get("sentinel_password", ""),
        )  # fmt: skip


def _place(part: str, default: int) -> Place | None:
    host, colon, port = part.rpartition(":")
    if not colon or part.endswith("]"):
        host, port = part, str(default)
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        return None
    return Place(host.strip("[]"), int(port))
