"""Which sites' pages may connect. A browser tells the page's origin with each upgrade, and lets no page change it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from hubbub.arguments import shown
from hubbub.errors import Misuse

__all__ = ["Origins"]

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([^\s/?#@:,\[\]\\]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_PORTS = {"http": 80, "https": 443}
NOWHERE = "null"  # what a browser says of a page in a file, or in a sandbox
ALL = "*"


class Origin(NamedTuple):
    """Equal ones are the same site: RFC 6454, section 5."""

    scheme: str
    host: str
    port: int | None


class Origins:
    """The origins that are let in, and every client that names none: such is no browser.

    Args:
        allowed: such as "https://example.com", "http://localhost:3000", "https://*.example.com" for all below that
            name, "null" for pages in files, or "*" for all. None: that of the request's own host alone.

    Raises: Misuse: something that is no origin.
    """

    __slots__ = ("_all", "_below", "_exact", "_nowhere", "_own")

    def __init__(self, allowed: Iterable[str] | None) -> None:
        given: Any = allowed
        if given is not None and (isinstance(given, str) or not isinstance(given, Iterable)):
            raise Misuse(f"allowed_origins is a list of origins, not {shown(given)}")
        listed: list[Any] = [] if given is None else list(cast("Iterable[Any]", given))
        self._own = given is None
        self._all = ALL in listed
        self._nowhere = NOWHERE in listed
        named = [_judged(one) for one in listed if one not in (ALL, NOWHERE)]
        self._exact = {one for one in named if not one.host.startswith("*.")}
        self._below = {one for one in named if one.host.startswith("*.")}

    def allow(self, headers: Mapping[str, str]) -> bool:
        """Whether the page that sends these may connect."""
        if self._all or (said := headers.get("origin")) is None:
            return True
        origin = _parsed(said)
        if origin is None:
            return self._nowhere and said == NOWHERE
        if self._own:
            return origin == _parsed(f"{origin.scheme}://{headers.get('host', '')}")
        return origin in self._exact or any(
            (origin.scheme, origin.port) == (one.scheme, one.port) and origin.host.endswith(one.host[1:])
            for one in self._below
        )


def _parsed(text: str) -> Origin | None:
    found = _ORIGIN.fullmatch(text.lower())
    if found is None:
        return None
    return Origin(found[1], found[2], int(found[3]) if found[3] else _PORTS.get(found[1]))


def _judged(text: Any) -> Origin:
    origin = _parsed(text.removesuffix("/")) if isinstance(text, str) else None
    if origin is None or "*" in origin.host.removeprefix("*."):
        raise Misuse(f'an origin is such as "https://example.com", without a path, or "*" for all, not {shown(text)}')
    return origin
