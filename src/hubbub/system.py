"""What not every system has, asked for in one place: Linux and macOS have all of this, and Windows nothing.

`make check` has the types judged as on Windows and on macOS, too, which finds what is asked for anywhere else.
"""

from __future__ import annotations

import math
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from hubbub.errors import Misuse

__all__ = ["AF_UNIX", "allow_descriptors", "descriptors", "lock_file", "needs_unix", "unsent"]

MANY_DESCRIPTORS = 1 << 20  # some programs go through all that they may have, and containers may allow 2**30

if sys.platform == "win32":
    AF_UNIX: int | None = None

    def needs_unix(what: str, advice: str) -> NoReturn:
        raise Misuse(f"{what}: not on Windows, where Python has neither forks nor Unix sockets: {advice}")

    def descriptors() -> tuple[float, float]:
        return math.inf, math.inf

    def allow_descriptors() -> float:
        return math.inf

    def unsent(descriptor: int) -> int:
        return 0

    def lock_file(path: Path, *, waits: bool = False) -> int | None:
        needs_unix(f"the lock {path}", "use what needs none")
else:
    import resource
    import socket
    from fcntl import LOCK_EX, LOCK_NB, flock, ioctl
    from termios import TIOCOUTQ

    AF_UNIX: int | None = socket.AF_UNIX

    def needs_unix(what: str, advice: str) -> None:
        """Called by what is not without forks or Unix sockets, before all else.

        Args: advice: what to do instead.
        Raises: Misuse: this is Windows.
        """

    def descriptors() -> tuple[float, float]:
        """How many descriptors this process may have open now, and how many it may allow itself; inf: no bound."""
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        soft, hard = (math.inf if limit == resource.RLIM_INFINITY else limit for limit in limits)
        return soft, hard

    def allow_descriptors() -> float:
        """Raise the first of `descriptors` to the second, or to a million. Returns it."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY or soft >= MANY_DESCRIPTORS:
            return descriptors()[0]
        wanted = MANY_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MANY_DESCRIPTORS)
        with suppress(ValueError, OSError):  # macOS has a lower limit that it does not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return descriptors()[0]

    def unsent(descriptor: int) -> int:
        """Bytes that the kernel keeps until the peer of that socket has them; 0 where it does not tell.

        Raises: OSError: the socket is gone.
        """
        return int.from_bytes(ioctl(descriptor, TIOCOUTQ, bytes(4)), sys.byteorder)

    def lock_file(path: Path, *, waits: bool = False) -> int | None:
        """The lock that this file stands for, as a descriptor that is to stay open; None: another process has it, and
        it is not waited for.

        Raises: OSError: the file cannot be opened.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            flock(descriptor, LOCK_EX if waits else LOCK_EX | LOCK_NB)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return None
            raise
        return descriptor
