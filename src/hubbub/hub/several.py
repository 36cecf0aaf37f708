"""Whether this process is one of several that serve the same: then a hub without a broker is only a part of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from hubbub.logs import logger

__all__ = ["WORKERS", "warn_if_several", "workers"]

WORKERS = "HUBBUB_WORKERS_NOW"  # what `hubbub.run` tells its workers: how many they are
SERVERS = {
    "hubbub": "HUBBUB_WORKERS",
    "uvicorn": "WEB_CONCURRENCY",
    "gunicorn": "WEB_CONCURRENCY",
    "hypercorn": "",
    "fastapi": "WEB_CONCURRENCY",
}


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


def warn_if_several() -> None:
    """Say what is missed, and which line mends it."""
    several = workers(sys.argv, os.environ)
    if several > 1:
        logger.warning(
            "this process is one of %d, and its hub has members in this one alone: what is broadcast in the others"
            ' does not reach them. Hub(broker="local:"), or HUBBUB_BROKER=local: in the environment, joins them',
            several,
        )


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 1
