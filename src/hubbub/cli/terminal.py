"""The terminal of `hubbub connect`: lines that are typed below, with a history, and what comes, above them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

EDITED = all(map(find_spec, ("readline", "termios")))  # else, as on Windows, lines are typed without them
if TYPE_CHECKING or EDITED:
    import readline
    import termios

__all__ = ["Screen", "lines_of"]

PROMPT = "> "
KEPT = 1000  # lines of the history
SAVE, RESTORE = "\x1b7", "\x1b8"  # where the cursor is
NO_PASTE = "\x1b[?2004l"  # readline has the terminal mark what is pasted, and has to take that back


class Screen:
    """What the user sees, with the times behind it."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._opened = time.perf_counter()
        self.sent: float = 0.0
        self.typing: bool = False
        """Whether there is a line that the user is typing."""

    def say(self, style: str, line: str) -> None:
        self._print(Text(line, style=style))

    def received(self, message: str | bytes) -> None:
        now = time.perf_counter()
        stamp = f"{now - self._opened:9.3f} s"
        after = f"  +{(now - self.sent) * 1000:.1f} ms" if self.sent else ""
        if isinstance(message, bytes):
            shown = Text(
                f"{message[:64].hex(' ')}{' ...' if len(message) > 64 else ''} ({len(message)} bytes)", "magenta"
            )
        else:
            shown = Text("".join(c if c.isprintable() else repr(c)[1:-1] for c in message), "cyan")
        self._print(Text(stamp, "dim"), shown, Text(after, "dim"))

    def _print(self, *parts: Text) -> None:
        if sys.platform == "win32" or not (self.typing and EDITED):
            self._console.print(*parts)
            return
        with self._console.capture() as captured:
            self._console.print(*parts)
        size = os.get_terminal_size(sys.stdout.fileno())
        cells = cell_len(" ".join(part.plain for part in parts))
        typed = PROMPT + readline.get_line_buffer()
        sys.stdout.write(above(captured.get().rstrip("\n"), cells, typed, size.columns, size.lines))
        sys.stdout.flush()


def above(text: str, cells: int, typed: str, columns: int, rows: int) -> str:
    """What shows a text of so many cells above the line that is being typed, and leaves the cursor in that."""
    new = max(1, -(-cells // columns))
    over = cell_len(typed) // columns  # rows of the typed line above that of the cursor
    if new + over >= rows:  # there is no room: the line is typed on below
        return f"\r\x1b[J{text}\r\n{typed}"
    return f"{SAVE}{new * chr(10)}\x1b[{new + over}A\r\x1b[{new}L{text}{RESTORE}\x1b[{new}B"


async def lines_of(screen: Screen) -> AsyncIterator[str]:
    """Lines of standard input, read in a thread: a terminal, a pipe and a file all do."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[str | None]()
    typed = sys.stdin.isatty() and sys.stdout.isatty()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: we are done
            for line in _typed(screen) if typed else sys.stdin:
                loop.call_soon_threadsafe(lines.put_nowait, line.rstrip("\n"))
            loop.call_soon_threadsafe(lines.put_nowait, None)

    with _terminal(screen) if typed else contextlib.nullcontext():
        threading.Thread(target=read, daemon=True).start()
        while (line := await lines.get()) is not None:
            yield line


def _typed(screen: Screen) -> Iterator[str]:
    while True:
        screen.typing = True
        try:
            line = input(PROMPT)
        except EOFError:
            return
        finally:
            screen.typing = False
        yield line


@contextlib.contextmanager
def _terminal(screen: Screen) -> Generator[None]:
    """The history is read and kept, and the terminal is left as it was, whatever the thread that reads it is at."""
    if sys.platform == "win32" or not EDITED:
        yield
        return
    history = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "hubbub" / "history"
    with contextlib.suppress(OSError):
        readline.read_history_file(history)
    readline.set_history_length(KEPT)
    before: list[Any] = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        if screen.typing:
            screen.typing = False
            sys.stdout.write(f"\r\x1b[J{NO_PASTE}")
            sys.stdout.flush()
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        with contextlib.suppress(OSError):
            history.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            history.touch(mode=0o600)  # what is typed may be secret
            readline.write_history_file(history)
