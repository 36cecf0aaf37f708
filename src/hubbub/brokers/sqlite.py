"""The broker whose histories survive a restart: the processes of one machine share a SQLite file through a relay."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from hubbub.brokers.contract import Traits
from hubbub.brokers.local import LocalBroker
from hubbub.brokers.places import place_beside
from hubbub.brokers.urls import options_of
from hubbub.errors import Misuse

__all__ = ["SqliteBroker"]

SYNCHRONOUS = ("full", "normal", "off")


class SqliteBroker(LocalBroker):
    """One process among those of this machine that share the file.

    Args:
        path: of the file, made if need be. Not on a network's file system.
        synchronous: "full": what is acknowledged survives a loss of power. "normal": it survives that processes are
            killed; after a loss of power the last publications may be gone, and every channel has a new epoch. "off":
            as "normal", but such a loss may damage the file.

    Raises: Misuse: there cannot be such a file.
    """

    traits: ClassVar[Traits] = Traits(name="sqlite", survives="process")

    def __init__(self, path: str, synchronous: str = "normal") -> None:
        if synchronous not in SYNCHRONOUS:
            raise Misuse(f"synchronous is one of {', '.join(SYNCHRONOUS)}, not {synchronous!r}")
        file = Path(path).absolute()
        if not path or file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
            raise Misuse(f"sqlite: takes the path of a file that can be written, as in sqlite:chat.db, not {path!r}")
        super().__init__(str(place_beside(path)))
        self._arguments = ("--sqlite", str(file), "--synchronous", synchronous)

    @classmethod
    def from_url(cls, url: str) -> SqliteBroker:
        """The broker of `sqlite:PATH`, with `?synchronous=full|normal|off`."""
        options = options_of(url, "synchronous")
        return cls(url.partition(":")[2].partition("?")[0], **options)
