"""What values of the configuration are: how each kind is read, from a file or from a variable's text.

Reading raises ValueError, whose text completes "it is ...": what a right value looks like.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

from hubbub import wire
from hubbub.errors import Misuse

__all__ = [
    "Choice",
    "Duration",
    "Flag",
    "Kind",
    "Mappings",
    "Number",
    "Origins",
    "Pem",
    "PemFile",
    "Prefix",
    "Secret",
    "Text",
    "Texts",
]

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
LONGEST = 10 * 365 * 86400.0  # seconds


class Kind:
    """One kind of value."""

    called: ClassVar[str] = ""
    secret: ClassVar[bool] = False

    def read(self, value: Any) -> Any:
        """That value, as the program uses it. Raises: ValueError."""
        raise NotImplementedError

    def parse(self, text: str) -> Any:
        """A variable's text as what a file would hold. Raises: ValueError."""
        return text


@dataclass(frozen=True, slots=True)
class Flag(Kind):
    called: ClassVar[str] = "true or false"

    def read(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError("true or false, without quotes")  # noqa: TRY004
        return value

    def parse(self, text: str) -> bool:
        known = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}
        if text.strip().lower() not in known:
            raise ValueError("true or false")
        return known[text.strip().lower()]


@dataclass(frozen=True, slots=True)
class Number(Kind):
    least: int = 0
    most: int = 2**31 - 1
    called: ClassVar[str] = "number"

    def read(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise ValueError(f"a whole number from {self.least} to {self.most}, without quotes")
        return value

    def parse(self, text: str) -> int:
        if not re.fullmatch(r"-?\d{1,18}", text.strip()):
            raise ValueError(f"a whole number from {self.least} to {self.most}")
        return int(text)


@dataclass(frozen=True, slots=True)
class Text(Kind):
    called: ClassVar[str] = "text"

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("a text, in quotes")  # noqa: TRY004
        return value


@dataclass(frozen=True, slots=True)
class Secret(Text):
    called: ClassVar[str] = "secret text"
    secret: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Pem(Text):
    """A public key, or the path of a file with one."""

    called: ClassVar[str] = "PEM, or the path of a file with it"

    def read(self, value: Any) -> str:
        text = Text.read(self, value)
        if not text or "-----BEGIN" in text:
            return text
        try:
            return Path(text).read_text()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ValueError(
                f"a key in PEM, or the path of a file with one, and that cannot be read: {reason}"
            ) from None


@dataclass(frozen=True, slots=True)
class PemFile(Text):
    """The path of a file that exists."""

    called: ClassVar[str] = "path of a file"

    def read(self, value: Any) -> str:
        text = Text.read(self, value)
        if "-----BEGIN" in text:
            raise ValueError("the path of a file in PEM: write what it holds into one")
        if text and not Path(text).is_file():
            raise ValueError("the path of a file, and there is none of this name")
        return text


@dataclass(frozen=True, slots=True)
class Prefix(Text):
    """The path of a URL."""

    called: ClassVar[str] = "path of a URL"

    def read(self, value: Any) -> str:
        text = Text.read(self, value)
        if not re.fullmatch(r"(/[\w.~-]+)+/?", text):
            raise ValueError('the path of a URL that begins with a slash, such as "/connection/websocket"')
        return text.rstrip("/")


@dataclass(frozen=True, slots=True)
class Choice(Text):
    among: tuple[str, ...] = ()

    def read(self, value: Any) -> str:
        text = Text.read(self, value)
        if text not in self.among:
            raise ValueError(f"one of {', '.join(json.dumps(name) for name in self.among)}")
        return text


@dataclass(frozen=True, slots=True)
class Texts(Kind):
    called: ClassVar[str] = "list of texts"

    def read(self, value: Any) -> tuple[str, ...]:
        found: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [None]
        if not all(isinstance(one, str) for one in found):
            raise ValueError('a list of texts: ["one", "another"]')
        return tuple(found)

    def parse(self, text: str) -> list[str]:
        return re.split(r"[\s,]+", text.strip()) if text.strip() else []


@dataclass(frozen=True, slots=True)
class Origins(Texts):
    called: ClassVar[str] = "list of origins"

    def read(self, value: Any) -> tuple[str, ...]:
        found = Texts.read(self, value)
        for one in found:
            try:
                wire.Origins([one])
            except Misuse:
                raise ValueError('a list of origins such as "https://example.com", without a path, or "*"') from None
        return found


@dataclass(frozen=True, slots=True)
class Duration(Kind):
    """Seconds, written with a unit."""

    least: float = 0.0
    called: ClassVar[str] = "duration"

    def read(self, value: Any) -> float:
        if isinstance(value, int) and not isinstance(value, bool) and value == 0:
            return 0.0
        parts = _PART.findall(value) if isinstance(value, str) else []
        if not parts or "".join(number + unit for number, unit in parts) != value:
            if value != "0":
                raise ValueError('a duration in quotes with its unit, such as "300s", "5m" or "1h30m"')
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
        if not self.least <= seconds <= LONGEST:
            raise ValueError(f"a duration from {self.least:g} s to ten years")
        return seconds


@dataclass(frozen=True, slots=True)
class Mappings(Kind):
    """A list of tables, whose fields have kinds of their own."""

    called: ClassVar[str] = "list of tables"

    def read(self, value: Any) -> list[Mapping[str, Any]]:
        found: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [None]
        if not all(isinstance(one, dict) for one in found):
            raise ValueError("a list of tables")
        return found

    def parse(self, text: str) -> Any:
        """JSON, or names alone, with spaces between."""
        if not text.lstrip().startswith(("[", "{")):
            return [{"name": name} for name in text.split()]
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("a list of objects in JSON, or of names with spaces between") from None
