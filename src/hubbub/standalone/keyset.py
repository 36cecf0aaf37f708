"""Key sets that are fetched: at the start, and then each hour."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from hubbub.errors import Misuse
from hubbub.logs import logger, printable

__all__ = ["fetch", "keep_fresh", "refusal"]

INTERVAL = 3600.0  # seconds
TIMEOUT = 10.0  # seconds
LARGEST = 1024 * 1024  # bytes


def refusal(url: str) -> str:
    """Why a key set may not be fetched from there; "": it may."""
    parts = urlsplit(url)
    if "{" in url:
        return "a URL with variables in it is not known here: name one endpoint"
    if not parts.hostname or parts.scheme not in ("http", "https"):
        return "the URL of a key set is https://HOST/PATH"
    if parts.scheme == "http" and not _is_here(parts.hostname):
        return "a key set comes over https, or from this machine: anybody between could change it"
    return ""


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def fetch(url: str) -> Mapping[str, Any]:
    """The key set. Blocks. Raises: Misuse: there is none."""
    if reason := refusal(url):
        raise Misuse(reason)
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        with opener.open(url, timeout=TIMEOUT) as answer:
            text = answer.read(LARGEST + 1)
        found: Any = json.loads(text) if len(text) <= LARGEST else None
    except (OSError, ValueError, RecursionError) as error:
        raise Misuse(f"no key set comes from {printable(url)}: {printable(error)}") from None
    if not isinstance(found, dict):
        raise Misuse(f"no key set comes from {printable(url)}")
    return cast("dict[str, Any]", found)


async def keep_fresh(url: str, take: Callable[[Mapping[str, Any]], None]) -> None:
    """Fetch it again and again, in a thread; what cannot be had leaves the keys as they are."""
    while True:
        await asyncio.sleep(INTERVAL)
        try:
            take(await asyncio.to_thread(fetch, url))
        except Misuse as error:
            logger.warning("the keys of tokens stay as they are: %s", error)
