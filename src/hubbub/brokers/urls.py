"""URLs of brokers: which broker one names, what options it carries, and how it is shown without its credentials."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from hubbub.arguments import shown
from hubbub.brokers.contract import Broker
from hubbub.errors import Misuse
from hubbub.system import needs_unix

__all__ = ["broker_for", "context_of", "options_of", "redacted"]

KINDS = {  # by scheme: the class, and the extra that brings what it needs
    "memory": ("hubbub.brokers.memory:MemoryBroker", ""),
    "sqlite": ("hubbub.brokers.sqlite:SqliteBroker", "local"),
    "local": ("hubbub.brokers.local:LocalBroker", "local"),
    "redis": ("hubbub.brokers.redis:RedisBroker", "redis"),
    "rediss": ("hubbub.brokers.redis:RedisBroker", "redis"),
    "unix": ("hubbub.brokers.redis:RedisBroker", "redis"),
    "nats": ("hubbub.brokers.nats:NatsBroker", "nats"),
    "tls": ("hubbub.brokers.nats:NatsBroker", "nats"),
}


def broker_for(given: str | Broker) -> Broker:
    """The broker that a URL names, not started yet; a Broker is taken as it is.

    Raises: Misuse: no URL of a broker, or what it needs is not installed.
    """
    if isinstance(given, Broker):
        return given
    if not isinstance(cast("Any", given), str):
        raise Misuse(f"a broker is a URL or a hubbub.brokers.Broker, not {shown(given)}")
    scheme = given.partition(":")[0].lower()
    if ":" not in given or scheme not in KINDS:
        raise Misuse(
            f"no broker has the URL {redacted(given)!r}: it is memory:, local:, sqlite:PATH, redis://HOST,"
            " rediss://HOST, unix:///PATH of Redis, or nats://HOST"
        )
    if scheme == "unix":
        needs_unix("unix:", "redis://HOST reaches the same server by TCP")
    place, extra = KINDS[scheme]
    module, _, name = place.partition(":")
    try:
        kind: Any = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if not extra or (error.name or "").partition(".")[0] == "hubbub":
            raise
        raise Misuse(f"{scheme}: needs {error.name}, which is not installed: pip install 'hubbub[{extra}]'") from None
    return cast("Broker", kind.from_url(given))


def options_of(url: str, *known: str) -> dict[str, str]:
    """What stands behind the question mark. Raises: Misuse: an option that is not known, or that stands there twice."""
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    options = dict(pairs)
    unknown = sorted(set(options) - set(known))
    if unknown or len(pairs) > len(options):
        about = f"has no option {unknown[0]!r}" if unknown else "has an option twice"
        names = ", ".join(known) or "none"
        raise Misuse(f"the broker's URL {redacted(url)!r} {about}: its options are {names}")
    return options


def context_of(options: Mapping[str, str]) -> ssl.SSLContext | None:
    """What the options ca, cert and key say of TLS; None: nothing. Raises: Misuse: one of them names no file."""
    files = {name: options[name] for name in ("ca", "cert", "key") if name in options}
    if not files:
        return None
    missing = [name for name, file in files.items() if not os.path.isfile(file)]
    if missing or ("key" in files and "cert" not in files):
        raise Misuse(f"the option {missing[0] if missing else 'key'} of the broker's URL names no file, or lacks cert")
    context = ssl.create_default_context(cafile=files.get("ca"))
    if "cert" in files:
        context.load_cert_chain(files["cert"], files.get("key"))
    return context


def redacted(url: str) -> str:
    """The URL without its credentials, and without the values of its options, for logs and errors."""
    head, _, query = url.partition("?")
    scheme, separator, rest = head.partition("//")
    place = rest.rpartition("@")[2]
    hidden = "&".join(f"{part.partition('=')[0]}=..." for part in query.split("&")) if query else ""
    return (
        f"{scheme}{separator}{place}{'?' if hidden else ''}{hidden}"
        if separator
        else f"{head}{'?' if hidden else ''}{hidden}"
    )
