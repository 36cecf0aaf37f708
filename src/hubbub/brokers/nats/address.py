"""The URL of NATS servers: where they are, who we are, and our own options."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from urllib.parse import unquote

from hubbub.brokers.urls import context_of, options_of, redacted
from hubbub.errors import Misuse

__all__ = ["Address", "Server"]


@dataclass(frozen=True, slots=True)
class Server:
    """One server."""

    host: str
    port: int
    secure: bool
    credentials: Mapping[str, str] = field(repr=False)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL says.

    `nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT][,HOST...][?OPTIONS]`, or `tls://`. Options:
    - prefix: of all subjects and streams; letters, digits, hyphens and underscores. Default "hb".
    - replicas: of the streams, in a cluster, 1 to 5. Default 1.
    - keep: seconds for which a channel's position lives, and the longest ttl that is possible without a change of the
      stream. Default one day.
    - ca, cert, key: PEM files for TLS.
    - creds: a file with a user's JWT and seed, which needs the package nkeys.
    """

    servers: tuple[Server, ...]
    prefix: str = "hb"
    replicas: int = 1
    keep: float = 86400.0
    context: ssl.SSLContext | None = field(default=None, repr=False)
    creds: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str) -> Address:
        """Raises: Misuse: something in it is wrong."""
        options = options_of(url, "prefix", "replicas", "keep", "ca", "cert", "key", "creds")
        scheme, _, rest = url.partition("?")[0].partition("://")
        places = [place for place in rest.rstrip("/").split(",") if place]
        servers = tuple(_server(place, scheme.lower() == "tls", url) for place in places)
        if not servers:
            raise Misuse(f"the broker's URL {redacted(url)!r} names no server: nats://HOST:PORT")
        if len(servers) > 1 and (known := next((s.credentials for s in servers if s.credentials), None)):
            servers = tuple(Server(s.host, s.port, s.secure, s.credentials or known) for s in servers)
        prefix = options.get("prefix", "hb")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", prefix):
            raise Misuse("the option prefix has 1 to 32 letters, digits, hyphens and underscores")
        try:
            replicas, keep = int(options.get("replicas", "1")), float(options.get("keep", "86400"))
        except ValueError:
            raise Misuse("the options replicas and keep are numbers") from None
        if not 1 <= replicas <= 5 or not 1.0 <= keep <= 3e9:
            raise Misuse("the option replicas is 1 to 5, and keep is seconds from 1 on")
        return cls(servers, prefix, replicas, keep, context_of(options), options.get("creds", ""))

    def with_others(self, info: Mapping[str, Any], server: Server) -> tuple[Server, ...]:
        """Our servers, and those of the cluster that this one has told of."""
        known = {(s.host, s.port): s for s in self.servers}
        for place in info.get("connect_urls") or ():
            host, _, port = str(place).rpartition(":")
            if port.isdigit():
                known.setdefault(
                    (host.strip("[]"), int(port)),
                    Server(host.strip("[]"), int(port), server.secure, server.credentials),
                )
        return tuple(known.values())

    def signed(self, nonce: str) -> dict[str, str]:
        """What a creds file adds to CONNECT. Raises: Misuse."""
        if not self.creds:
            return {}
        try:
            nkeys: Any = import_module("nkeys")
        except ModuleNotFoundError:
            raise Misuse("the option creds needs the package nkeys: pip install nkeys") from None
        try:
            with open(self.creds, encoding="ascii") as file:
                jwt, seed = re.findall(r"-----BEGIN [^-]+-----\s*(\S+)\s*-+END", file.read())[:2]
        except (OSError, ValueError):
            raise Misuse("the option creds names no readable file with a user's JWT and seed") from None
        pair = nkeys.from_seed(seed.encode())
        return {"jwt": jwt, "sig": base64.b64encode(pair.sign(nonce.encode())).decode()}


def _server(place: str, secure: bool, url: str) -> Server:
    who, _, where = place.rpartition("@")
    host, colon, port = where.rpartition(":")
    if not colon or where.endswith("]"):
        host, port = where, "4222"
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise Misuse(f"the broker's URL {redacted(url)!r} names no server: nats://HOST:PORT")
    user, colon, password = who.partition(":")
    credentials: dict[str, str] = {}
    if colon:
        credentials = {"user": unquote(user), "pass": unquote(password)}
    elif user:
        credentials = {"auth_token": unquote(user)}
    return Server(host.strip("[]"), int(port), secure, credentials)
