"""Whether this process is one of several that serve the same: then a hub without a broker is only a part of it."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from hubbub.logs import logger

__all__ = ["WORKERS", "sharing", "warn_if_several", "workers"]

WORKERS = "HUBBUB_WORKERS_NOW"  # what `hubbub.run` tells its workers: how many they are
SERVERS = {
    "hubbub": "HUBBUB_WORKERS",
    "uvicorn": "WEB_CONCURRENCY",
    "gunicorn": "WEB_CONCURRENCY",
    "hypercorn": "",
    "fastapi": "WEB_CONCURRENCY",
}
DESCRIPTORS = range(64)  # among these are the listening sockets, which are made before there are connections


def workers(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """How many processes were asked for, as far as the command line and the environment tell.

    Args:
        arguments: `sys.argv`, which workers have of their parent.
    """
    if WORKERS in environment:
        return _number(environment[WORKERS])
    command = PurePath(arguments[0]) if arguments else PurePath()
    server = command.parent.name if command.name == "__main__.py" else command.stem
    if server not in SERVERS:
        return 1
    told = environment.get(SERVERS[server], "1")
    for at, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name in ("--workers", "-w"):
            told = value or (arguments[at + 1] if at + 1 < len(arguments) else "1")
    return _number(told)


def sharing() -> int:
    """How many children of this process's parent, itself included, have a listening socket of it open, however they
    were told to: in a file, or by a program. 1 where the system does not say."""
    own = {held for number, held in _descriptors(os.getpid()) if _listens(number)}
    children: list[str] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{os.getppid()}/task").iterdir():
            children += (thread / "children").read_text().split()
    return max(1, sum(any(held in own for _, held in _descriptors(int(child))) for child in children))


def _descriptors(process: int) -> Iterator[tuple[int, str]]:
    for number in DESCRIPTORS:
        with suppress(OSError):
            yield number, os.readlink(f"/proc/{process}/fd/{number}")


def _listens(descriptor: int) -> bool:
    with suppress(OSError):
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            with socket.socket(fileno=os.dup(descriptor)) as one:
                return bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    return False


def warn_if_several() -> bool:
    """Say what a hub without a broker misses, and which line mends it. Returns True: it need not be said again."""
    several = max(workers(sys.argv, os.environ), sharing())
    if several > 1:
        logger.warning(
            "this process is one of %d, and its hub has members in this one alone: what is broadcast in the others"
            ' does not reach them. Hub(broker="local:"), or HUBBUB_BROKER=local: in the environment, joins them',
            several,
        )
    return True


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 1
