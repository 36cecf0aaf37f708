"""The server that Autobahn tests: every message comes back. Prints its port.

Arguments: the event loop (auto, uvloop or asyncio), and `tls` for TLS with a certificate of its own.
"""

from __future__ import annotations

import ssl
import sys

import trustme

import hubbub

MIB = 1024 * 1024
LIMITS = hubbub.Limits(  # section 9 sends messages of 16 MiB in 65,536 fragments, section 2 ten pings at once
    max_message_size=64 * MIB,
    max_fragments=1 << 20,
    max_control_rate=None,
    max_backlog=64 * MIB,
    max_inbox_size=64 * MIB,
)


class Echo(hubbub.Handler):
    def message(self, data: str | bytes) -> None:
        self.write(data)


def certified() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


if __name__ == "__main__":
    hubbub.run(
        Echo,
        port=0,
        loop=sys.argv[1] if len(sys.argv) > 1 else "auto",
        limits=LIMITS,
        ssl=certified() if "tls" in sys.argv[2:] else None,
        compression=hubbub.Deflate(client_context_takeover=True),
        started=lambda server: print(server.port, flush=True),
    )
