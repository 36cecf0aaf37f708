"""What a request says by name: headers, the query, and cookies. Peers write them, so nothing here raises."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import parse_qsl

__all__ = ["Headers", "Values", "cookies_of", "query_of"]

_ESCAPED = re.compile(r"\\(?:([0-3][0-7][0-7])|(.))")  # as Python's http.cookies writes what may not be in a cookie


class Values(Mapping[str, str]):
    """Values by name, of which there may be several: `[]` and `get` give the first one, `get_all` every one."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs  # in the order of arrival

    def __getitem__(self, name: str) -> str:
        for known, value in self._pairs:
            if known == name:
                return value
        raise KeyError(name)

    def get_all(self, name: str) -> list[str]:
        """Every value of that name, in order."""
        return [value for known, value in self._pairs if known == name]

    def pairs(self) -> list[tuple[str, str]]:
        """Every name with its value, in order."""
        return list(self._pairs)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._pairs))

    def __len__(self) -> int:
        return len({name for name, _ in self._pairs})

    def __contains__(self, name: object) -> bool:
        return any(known == name for known, _ in self._pairs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._pairs!r})"


class Headers(Values):
    """Headers by name, whatever its case. `[]` and `get` join a repeated header with commas; values are Latin-1."""

    __slots__ = ()  # names in lower case

    def __getitem__(self, name: str) -> str:
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def get_all(self, name: str) -> list[str]:
        return super().get_all(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())


def query_of(text: str) -> Values:
    """What follows a question mark, decoded: UTF-8, with U+FFFD for what is none."""
    return Values(parse_qsl(text, keep_blank_values=True, errors="replace"))


def cookies_of(headers: Iterable[str]) -> Values:
    """What `Cookie` headers hold, without the quotes around values; what has no name is left out."""
    pairs: list[tuple[str, str]] = []
    for part in ";".join(headers).split(";"):
        name, equals, value = part.partition("=")
        if equals and (name := name.strip(" \t")):
            pairs.append((name, _unquoted(value.strip(" \t"))))
    return Values(pairs)


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)) if found[1] else found[2], value[1:-1])
