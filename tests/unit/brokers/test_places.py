"""Where relays have their sockets."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubbub.brokers.local import LocalBroker
from hubbub.brokers.places import place_of
from hubbub.errors import Misuse


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "hubbub").mkdir(mode=0o777)
    (tmp_path / "hubbub").chmod(0o777)
    with pytest.raises(Misuse, match="0700"):
        place_of("")


def test_a_link_in_its_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "hubbub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Misuse, match="0700"):
        place_of("")


@pytest.mark.parametrize("name", ["x" * 107, "/" + "x" * 106, "a/b", "/no/such/folder/x.sock"])
def test_what_cannot_be_a_socket_is_refused_at_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(Misuse):
        LocalBroker(name)
