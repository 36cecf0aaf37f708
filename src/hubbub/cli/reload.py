"""`hubbub serve --reload`: the same command in a process of its own, started again whenever a file changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import typer

__all__ = ["changed", "serve_again_and_again", "stamps"]

Stamps = Mapping[Path, tuple[int, int]]

LOOKS = 0.25  # seconds between two looks at the files
PATIENCE = 5.0  # seconds in which the process may say goodbye to its clients
WRONG_USAGE = 2  # the status of a command whose options are wrong: no file mends that
GROUP = 0 if os.name == "posix" else None  # of processes: one of its own, as Ctrl+C would reach it a second time
PASSED_OVER = {"node_modules", "__pycache__"}


def serve_again_and_again(arguments: Sequence[str], also: Iterable[Path]) -> int:
    """Run `hubbub` with these arguments, without `--reload`, until a signal comes. Returns the status to end with.

    A process that has ended because of an error in the program is started again when that changes.

    Args:
        also: files to watch beside the Python below the current directory.
    """
    command = [sys.executable, "-m", "hubbub", *(one for one in arguments if one != "--reload")]
    environment = {name: value for name, value in os.environ.items() if name != "HUBBUB_RELOAD"}
    signals: list[int] = []
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, _: signals.append(number))
    while True:
        seen = stamps(Path.cwd(), also)
        child = subprocess.Popen(command, env=environment, process_group=GROUP)  # noqa: S603  our own command
        names, ended = list[str](), False
        while not (signals or names):
            time.sleep(LOOKS)
            if not ended and (status := child.poll()) is not None:
                if status in (0, WRONG_USAGE):
                    return status
                ended = True
                typer.echo("hubbub: the server has ended; it is started again when a file changes", err=True)
            names = changed(seen, stamps(Path.cwd(), also))
        status = _stopped(child)
        if signals:
            return max(status, 0)
        typer.echo(f"hubbub: {', '.join(names[:3])} changed: starting again", err=True)


def _stopped(child: subprocess.Popen[bytes]) -> int:
    child.terminate()
    try:
        return child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def stamps(folder: Path, also: Iterable[Path] = ()) -> Stamps:
    """When each Python file below a folder was changed, and how large it is; not those of virtual environments."""
    found: dict[Path, tuple[int, int]] = {}
    for path in (*_programs(folder), *also):
        try:
            about = path.stat()
        except OSError:  # gone meanwhile
            continue
        found[path] = about.st_mtime_ns, about.st_size
    return found


def changed(before: Stamps, now: Stamps) -> list[str]:
    """The names of those that came, went or are other ones now."""
    return sorted({path.name for path, _ in set(before.items()) ^ set(now.items())})


def _programs(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".") and name not in PASSED_OVER]
        yield from (Path(root, name) for name in names if name.endswith(".py"))
