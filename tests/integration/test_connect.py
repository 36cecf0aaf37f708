"""`hubbub connect` on a terminal, whose screen another program's emulator draws, and with what hubbub prints."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import io
import os
import ssl
import struct
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from hubbub.cli.connect import _address, _talk
from hubbub.cli.terminal import above
from support.processes import running
from support.serving import Echo, Recorder, serving, until

pyte: Any = pytest.importorskip("pyte")

CONNECT = [sys.executable, "-m", "hubbub", "connect"]
COLUMNS, ROWS = 60, 12
UP, LEFT, CTRL_C, CTRL_D = b"\x1b[A", b"\x1b[D", b"\x03", b"\x04"


class Terminal:
    """A person at a terminal."""

    def __init__(self, screen: int) -> None:
        self._screen = screen
        self.display = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self.display)

    def look(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            while data := os.read(self._screen, 65536):
                self._stream.feed(data)

    def type(self, keys: str | bytes) -> None:
        os.write(self._screen, keys.encode() if isinstance(keys, str) else keys)

    @property
    def lines(self) -> list[str]:
        """What is on the screen, without empty lines."""
        self.look()
        return [line.rstrip() for line in self.display.display if line.strip()]

    @property
    def before_cursor(self) -> str:
        return str(self.display.display[self.display.cursor.y])[: self.display.cursor.x]

    async def shows(self, condition: Callable[[list[str]], object]) -> list[str]:
        try:
            await until(lambda: condition(self.lines), 20)
        except TimeoutError:
            raise AssertionError("\n".join(self.lines)) from None
        return self.lines


@contextlib.asynccontextmanager
async def at_a_terminal(url: str, home: Path) -> AsyncIterator[tuple[Terminal, asyncio.subprocess.Process]]:
    screen, keyboard = os.openpty()
    fcntl.ioctl(keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    os.set_blocking(screen, False)
    settings: dict[str, Any] = {"stdin": keyboard, "stdout": keyboard, "stderr": keyboard, "start_new_session": True}
    settings["preexec_fn"] = lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # or Ctrl+C would be a key like others
    environment = {"XDG_STATE_HOME": str(home), "TERM": "xterm", "NO_COLOR": "1", "INPUTRC": "/dev/null"}
    before = termios.tcgetattr(keyboard)
    try:
        async with running([*CONNECT, url], env=environment, **settings) as process:
            terminal = Terminal(screen)
            await terminal.shows(lambda lines: lines and lines[-1] == ">")
            yield terminal, process
        assert termios.tcgetattr(keyboard) == before, "it leaves the terminal as it was"
    finally:
        os.close(screen)
        os.close(keyboard)


async def test_what_comes_leaves_the_line_alone_that_is_being_typed(tmp_path: Path) -> None:
    handler = Recorder.fresh()
    async with serving(handler) as server, at_a_terminal(server.urls[0], tmp_path) as (terminal, process):
        (peer,) = handler.everyone
        terminal.type("half a sen")
        await terminal.shows(lambda lines: lines[-1] == "> half a sen")
        for number in range(20):  # until the screen is full, and beyond
            peer.write(f"message {number}")
            lines = await terminal.shows(lambda lines, number=number: f"message {number}" in lines[-2])
            assert lines[-1] == "> half a sen"
            assert terminal.before_cursor == "> half a sen"
        assert [f"message {n}" in line for n, line in zip(range(9, 20), lines[:-1], strict=True)] == [True] * 11
        terminal.type(LEFT * 3 + b"X")
        await terminal.shows(lambda lines: lines[-1] == "> half a Xsen")
        peer.write("wide " * 20)  # takes two rows
        await terminal.shows(lambda lines: lines[-1] == "> half a Xsen" and "wide" in lines[-2])
        assert terminal.before_cursor == "> half a X"
        terminal.type("tence\r")
        await until(lambda: peer.messages == ["half a Xtencesen"])
        peer.close(4001, "bye")
        await terminal.shows(lambda lines: "closed with 4001: bye" in lines[-1])
        assert await asyncio.wait_for(process.wait(), 10) == 1


async def test_a_line_of_several_rows_stays_whole(tmp_path: Path) -> None:
    handler = Recorder.fresh()
    async with serving(handler) as server, at_a_terminal(server.urls[0], tmp_path) as (terminal, _):
        typed = "".join(f"{number:04}" for number in range(40))  # 160 cells, on 60
        terminal.type(typed)
        await terminal.shows(lambda lines: lines[-1].endswith("0039"))
        for number in range(12):
            handler.everyone[0].write(f"message {number}")
            await terminal.shows(lambda lines, number=number: f"message {number}" in "".join(lines))
            assert "".join(terminal.lines[-3:]) == f"> {typed}"
        handler.everyone[0].write("x" * COLUMNS * ROWS)  # more than the screen holds
        await terminal.shows(lambda lines: "".join(lines[-3:]) == f"> {typed}")


async def test_what_was_typed_is_found_again_and_the_end_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    handler = Recorder.fresh()
    async with serving(handler) as server:
        for end, code in ((CTRL_D, 0), (CTRL_C, None), (b"/close\r", 0)):
            async with at_a_terminal(server.urls[0], tmp_path) as (terminal, process):
                peer = handler.everyone[-1]
                if len(handler.everyone) == 1:
                    terminal.type("first\rsecond\r")
                else:  # of the time before
                    terminal.type(UP + UP + b"\r" + UP + UP + b"\r")
                await until(lambda peer=peer: len(peer.messages) == 2)
                assert set(peer.messages) == {"first", "second"}
                terminal.type(b"half" + CTRL_C if end == CTRL_C else end)
                ended = await asyncio.wait_for(process.wait(), 10)
                assert code in (None, ended)
    history = tmp_path / "hubbub" / "history"
    assert history.stat().st_mode & 0o777 == 0o600
    assert "first\nsecond\n" in history.read_text()


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_no_row_of_the_typed_line_is_lost_where_there_is_no_room(rows: int) -> None:
    assert above("text", 4, "> typed", 80, rows).endswith("> typed") == (rows == 1)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://localhost:1", "ws://localhost:1"),
        ("localhost:1/a", "ws://localhost:1/a"),
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000"),
        ("https://[::1]:8000/a", "wss://[::1]:8000/a"),
        ("unix:/run/chat.sock", "unix:/run/chat.sock"),
    ],
)
def test_what_hubbub_prints_can_be_connected_to(url: str, shown: str) -> None:
    assert _address(url)[0] == shown


Connect = Callable[..., Awaitable[str]]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Connect:
    """Connects with these lines to say, and gives what is shown."""

    async def connect(url: str, lines: str = "", **settings: Any) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        shown, dial = _address(url)
        await _talk(shown, functools.partial(dial, proxy=None, **settings), 0.05)
        return capsys.readouterr().out

    return connect


async def test_a_unix_socket_is_connected_to_by_what_the_server_says(connect: Connect, tmp_path: Path) -> None:
    class Place(Echo):
        def opened(self) -> None:
            self.write(f"at {self.events[0][1].target}")

    async with serving(Place.fresh(), uds=tmp_path / "x.sock") as server:
        out = await connect(server.urls[0], "hello\n")
        assert f"connected to unix:{tmp_path}/x.sock in" in out
        assert "at /" in out
        assert "hello" in out
        assert "at /rooms/a?b" in await connect(f"{server.urls[0]}:/rooms/a?b")


async def test_a_certificate_that_is_not_trusted_is_told_with_the_option_that_accepts_it(connect: Connect) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with serving(Echo.fresh(), ssl=context) as server:
        out = await connect(server.urls[0], ssl=ssl.create_default_context())
        assert "its certificate is not trusted" in out
        assert "With --insecure any is accepted" in out
