"""Who may use the HTTP API: who knows its key."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from hubbub.arguments import shown
from hubbub.errors import Misuse

__all__ = ["Gate"]

MOST_QUERY = 4096  # bytes of a query in which a key is looked for


class Gate:
    """Compares keys in a time that says nothing of how much of one was right.

    Args:
        key: "": nobody is let in.
        insecure: everybody is, but for pages in browsers, which any site could have opened.

    Raises: Misuse: a key that is no text.
    """

    def __init__(self, key: str, *, insecure: bool = False) -> None:
        given: Any = key
        if not isinstance(given, str):
            raise Misuse(f"the API's key is a text, not {shown(type(given))}")
        self._key = key.encode()
        self._insecure = insecure

    def admits(self, headers: Mapping[bytes, bytes], query: bytes) -> bool:
        """Whether one who sends this is let in.

        Args:
            headers: x-api-key, authorization and origin, as far as they are sent.
        """
        if self._insecure:
            return b"origin" not in headers
        if not self._key:
            return False
        if said := headers.get(b"x-api-key"):
            right = hmac.compare_digest(self._key, said)
        else:
            scheme, _, said = headers.get(b"authorization", b"").strip().partition(b" ")
            right = scheme.lower() == b"apikey" and hmac.compare_digest(self._key, said.strip())
        return right or (bool(query) and self._in_query(query))

    def _in_query(self, query: bytes) -> bool:
        if len(query) > MOST_QUERY:
            return False
        for name, value in parse_qsl(query.decode("latin-1"), encoding="utf-8"):
            if name == "api_key":
                return hmac.compare_digest(self._key, value.encode("utf-8", "surrogateescape"))
        return False
