"""URLs of brokers: which broker one names, what options it carries, and how it is shown without its credentials."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from hubbub.arguments import shown
from hubbub.brokers.contract import Broker
from hubbub.errors import Misuse

__all__ = ["broker_for", "options_of", "redacted"]

KINDS = {  # by scheme: the class, and the extra that brings what it needs
    "memory": ("hubbub.brokers.memory:MemoryBroker", ""),
    "sqlite": ("hubbub.brokers.sqlite:SqliteBroker", ""),
    "local": ("hubbub.brokers.local:LocalBroker", ""),
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
        raise Misuse(f"no broker has the URL {redacted(given)!r}: it is memory:, local:, sqlite:PATH, or nats://HOST")
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
