"""The part of the package that needs other packages says so when they are needed, and not before."""

from __future__ import annotations

import subprocess
import sys


def test_sessions_can_be_imported_without_the_packages_that_some_of_them_need() -> None:
    script = """
import sys
for name in ("jwt", "cryptography", "google", "google.protobuf"):
    sys.modules[name] = None
import hubbub.realtime, hubbub.realtime.permissions, hubbub.realtime.publications
from hubbub.realtime.protocol import JSON, PROTOBUF
assert [command.id for command in JSON.commands('{"id":1,"connect":{}}')] == [1]
try:
    list(PROTOBUF.commands(b"\\0"))
except hubbub.Misuse as error:
    assert "hubbub[realtime]" in str(error)
else:
    raise SystemExit("it was not needed?")
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
