"""Key sets are fetched from where nobody between can change them, and bounded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from hubbub import Misuse
from hubbub.standalone import keyset

SET = {"keys": [{"kty": "RSA", "kid": "one"}]}


@contextlib.contextmanager
def endpoint(status: int, body: bytes, **headers: str) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        asked: ClassVar[int] = 0

        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/keys"
        finally:
            server.shutdown()
            thread.join()


def test_a_key_set_is_fetched() -> None:
    with endpoint(200, json.dumps(SET).encode()) as url:
        assert keyset.fetch(url) == SET


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (404, b"", {}),
        (500, json.dumps(SET).encode(), {}),
        (302, b"", {"Location": "http://127.0.0.1:9/"}),
        (200, b"x", {}),
        (200, b"[]", {}),
        (200, b"\xff", {}),
        (200, b"[" * 100_000, {}),
        (200, b" " * (keyset.LARGEST + 1), {}),
    ],
)
def test_what_is_no_key_set_is_told(status: int, body: bytes, headers: dict[str, str]) -> None:
    with endpoint(status, body, **headers) as url, pytest.raises(Misuse, match="no key set comes from http://127"):
        keyset.fetch(url)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://example.com/keys", True),
        ("http://localhost:8080/keys", True),
        ("http://[::1]/keys", True),
        ("http://example.com/keys", False),
        ("http://127.0.0.1.example.com/keys", False),
        ("file:///etc/passwd", False),
        ("ftp://127.0.0.1/", False),
        ("https://", False),
        ("https://example.com/{{realm}}/keys", False),
    ],
)
def test_from_where_key_sets_may_come(url: str, allowed: bool) -> None:
    assert (keyset.refusal(url) == "") is allowed
    if not allowed:
        with pytest.raises(Misuse):
            keyset.fetch(url)


async def test_keys_are_kept_fresh_and_stay_where_they_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[Any] = [SET, Misuse("gone"), {"keys": [1]}]
    taken: list[Any] = []

    def fetch(_: str) -> Any:
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(found, Misuse):
            raise found
        return found

    monkeypatch.setattr(keyset, "INTERVAL", 0.001)
    monkeypatch.setattr(keyset, "fetch", fetch)
    task = asyncio.create_task(keyset.keep_fresh("https://example.com", taken.append))
    async with asyncio.timeout(5):
        while len(taken) < 2:
            await asyncio.sleep(0.002)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert taken[0] == SET
    assert "stay as they are: gone" in caplog.text
