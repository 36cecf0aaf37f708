"""The TLS of a Python server: with the key and certificate in the file that CERTIFICATE names, if it does."""

from __future__ import annotations

import os
import ssl


def context() -> ssl.SSLContext | None:
    """Python's own settings: None without CERTIFICATE."""
    path = os.environ.get("CERTIFICATE")
    if not path:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(path)
    return made
