"""A configuration file: what is in it, and in which line each key stands."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

from hubbub.arguments import shown
from hubbub.errors import Misuse

__all__ = ["Place", "Source", "read"]

Place: TypeAlias = tuple[str | int, ...]
"""Names of tables and keys, and numbers of entries of lists, from the top."""

LARGEST = 1024 * 1024  # bytes: a configuration has some hundred lines
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


class Source:
    """A file that has been read, or nothing at all."""

    def __init__(self, name: str, data: dict[str, Any], find: Callable[[Place], int]) -> None:
        self.name: str = name
        self.data: dict[str, Any] = data
        self._find = find

    def line(self, place: Place) -> int:
        """Where it stands, or what it is in; 0: nowhere."""
        while place:
            if line := self._find(place):
                return line
            place = place[:-1]
        return 0


def read(path: Path | None) -> Source:
    """What a file holds: TOML, or JSON by its name or first character.

    Raises: Misuse: it cannot be read, or is not of its form; says in which line.
    """
    if path is None:
        return Source("", {}, lambda _: 0)
    try:
        if path.stat().st_size > LARGEST:
            raise Misuse(f"{path} is larger than {LARGEST} bytes: no configuration")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise Misuse(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Misuse(f"{path}: not UTF-8") from None
    if path.suffix in (".yaml", ".yml"):
        raise Misuse(f"{path}: YAML is not read here: write it as TOML or JSON")
    if path.suffix == ".json" or text.lstrip().startswith("{"):
        return _json(path, text)
    return _toml(path, text)


def _json(path: Path, text: str) -> Source:
    twice: list[str] = []

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice.extend(name for name in set(names) if names.count(name) > 1)
        return dict(pairs)

    try:
        data: Any = json.loads(text, object_pairs_hook=table, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise Misuse(f"{path}:{error.lineno}: no JSON: {error.msg[:1].lower()}{error.msg[1:]}") from None
    except (ValueError, RecursionError) as error:
        raise Misuse(f"{path}: no JSON: {error}") from None
    if not isinstance(data, dict):
        raise Misuse(f"{path}: a configuration is an object, not {shown(data)}")
    if twice:
        lines = [text.count("\n", 0, found.start()) + 1 for found in re.finditer(re.escape(json.dumps(twice[0])), text)]
        raise Misuse(f"{path}:{lines[1] if len(lines) > 1 else 1}: {twice[0]!r} stands there twice")
    lines_of = dict(_lines_of_json(text))
    return Source(str(path), cast("dict[str, Any]", data), lambda place: lines_of.get(place, 0))


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _lines_of_json(text: str) -> Iterator[tuple[Place, int]]:
    """Every key and entry of a list. The text is JSON."""
    open_: list[list[Any]] = []  # of each object and list that is open: its kind, and the key or number that it is at
    line, seen = 1, 0
    before = ""
    for match in _TOKEN.finditer(text):
        word = match[0]
        line, seen = line + text.count("\n", seen, match.start()), match.start()
        if word in "}]":
            open_.pop()
        elif word == ",":
            if open_[-1][0] == "[":
                open_[-1][1] += 1
        elif word != ":":
            inside = open_[-1] if open_ else None
            if inside and inside[0] == "{" and before != ":":
                inside[1] = json.loads(word)
                yield tuple(at for _, at in open_), line
            elif inside and inside[0] == "[":
                yield tuple(at for _, at in open_), line
            if word in "{[":
                open_.append([word, 0])
        before = word


def _toml(path: Path, text: str) -> Source:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, where = str(error).rpartition(" (at ")
        said = re.match(r"line (\d+)", where)
        line = said[1] if said else len(text.splitlines())
        raise Misuse(f"{path}:{line}: no TOML: {what[:1].lower()}{what[1:]}") from None
    except RecursionError:
        raise Misuse(f"{path}: no TOML: it is nested too deeply") from None
    lines = text.splitlines(keepends=True)
    return Source(str(path), data, lambda place: _line_of_toml(lines, place))


def _line_of_toml(lines: Sequence[str], place: Place) -> int:
    """The line at whose end the file, read so far, has that place for the first time: the statement that ends there
    began behind the last line before at which it could be read. Slow, and right for whatever TOML allows."""
    began = 0
    for number in range(1, len(lines) + 1):
        try:
            data = tomllib.loads("".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue  # inside a statement
        if _holds(data, place):
            return _within(lines[began:number], place) + began + 1
        began = number
    return 0


def _holds(data: Any, place: Place) -> bool:
    for step in place:
        try:
            data = data[step]
        except (LookupError, TypeError):
            return False
    return True


def _within(statement: Sequence[str], place: Place) -> int:
    """The line of a statement of several that names the key."""
    if isinstance(name := place[-1], str):
        for number, line in enumerate(statement):
            if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", line):
                return number
    return next((number for number, line in enumerate(statement) if line.strip()), 0)
