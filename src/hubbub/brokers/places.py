"""Where the relays of a machine have their sockets, and who may be there: the user alone."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import struct
import sys
import tempfile
from pathlib import Path

from hubbub.errors import Misuse
from hubbub.system import needs_unix

__all__ = ["INSTEAD", "folder", "is_own", "place_beside", "place_of"]

INSTEAD = "memory: is for one process, redis:// and nats:// join several"
LONGEST = 106  # bytes of a socket's path: the kernel takes 107, and one is added while it is made


def folder() -> Path:
    """The user's own folder for sockets, made if need be.

    Raises: Misuse: somebody else's stands there, or others may enter it.
    """
    needs_unix("local: and sqlite:", INSTEAD)
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    place = Path(runtime, "hubbub") if runtime else Path(tempfile.gettempdir(), f"hubbub-{os.getuid()}")
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
    except OSError as error:
        raise Misuse(f"no folder for the sockets of local: {error}; name a path: local:/some/where.sock") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Misuse(
            f"{place} is not this user's own folder with mode 0700, and whoever may enter it could listen:"
            " remove it, or name a path: local:/some/where.sock"
        )
    return place


def place_of(name: str) -> Path:
    """The path of a relay's socket: an absolute one as it is; else a name within the user's own folder."""
    needs_unix("local: and sqlite:", INSTEAD)
    if name.startswith("/"):
        path = Path(name)
        if not path.parent.is_dir():
            raise Misuse(f"there is no folder {path.parent} for the socket {path.name}")
    elif "/" in name:
        raise Misuse(f"local: takes an absolute path, or a name without slashes, not {name!r}")
    else:
        path = folder() / f"{name or 'default'}.sock"
    if len(os.fsencode(path)) > LONGEST:
        raise Misuse(f"the path of a socket has at most {LONGEST} bytes, for the kernel takes no more: {path}")
    return path


def place_beside(path: str) -> Path:
    """Where the relay that owns that file has its socket."""
    real = os.path.realpath(path)
    return folder() / f"{hashlib.sha256(os.fsencode(real)).hexdigest()[:24]}.sock"


def is_own(connection: socket.socket) -> bool:
    """Whether the process at the other end is the user's own, or root's."""
    if sys.platform == "win32" or not hasattr(socket, "SO_PEERCRED"):
        return True  # there the folder's mode has to do
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return user in (os.getuid(), 0)
