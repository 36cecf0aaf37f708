"""An authority of the tests' own, and what a server and a client of it need for TLS."""

from __future__ import annotations

import ssl
from functools import cache

import trustme


@cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's settings for 127.0.0.1 and localhost, and those of a client that trusts it."""
    authority = trustme.CA()
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return serving, trusting
