"""The configuration: what a file, the environment and the command line say, and all that is wrong with it.

The command line counts more than the environment, and that more than the file. Nothing stops at the first mistake.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from hubbub.arguments import shown
from hubbub.brokers import History
from hubbub.errors import Misuse
from hubbub.realtime import Namespace
from hubbub.standalone.brokers import ENGINES
from hubbub.standalone.ignored import IGNORED, IGNORED_IN_NAMESPACES, REFUSED, REFUSED_IN_NAMESPACES, Refusal
from hubbub.standalone.kinds import Kind
from hubbub.standalone.options import NAMESPACE, NAMESPACES, OPTIONS, WITHOUT_NAMESPACE, variable
from hubbub.standalone.sources import Place, Source, read

__all__ = ["Configuration", "Mistake", "configuration"]

MOST_NAMESPACES = 10_000
_NAME = re.compile(r"[-a-zA-Z0-9_]{2,}\Z")
_KUBERNETES = re.compile(r"_(PORT|SERVICE_HOST|SERVICE_PORT\w*|PORT_\w+)$")
_SECTIONS = frozenset(key[:end] for key in OPTIONS for end in (i for i, c in enumerate(key) if c == "."))


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong, or a word of warning."""

    where: str
    """File and line, or variable."""
    key: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.text) if part)


@dataclass(slots=True)
class Configuration:
    """What a server is to be."""

    values: dict[str, Any]
    """By the key, of every option."""
    namespaces: dict[str, Namespace]
    """By name; "" is that of channels without one."""
    given: set[str] = field(default_factory=set[str])
    """The keys that somebody has set."""
    mistakes: list[Mistake] = field(default_factory=list[Mistake])
    """Why it cannot be served."""
    ignored: list[Mistake] = field(default_factory=list[Mistake])
    """What is Centrifugo's, and is passed over."""
    engines: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What `engine` and `broker` say, as it stands there."""
    wheres: dict[str, str] = field(default_factory=dict[str, str])
    """File and line, or variable, by the key of what is set, and of the tables that it is in."""

    def where(self, key: str) -> str:
        """Where it is set, or what it is in; "": nowhere."""
        while key:
            if where := self.wheres.get(key):
                return where
            key = key.rpartition(".")[0]
        return ""


def configuration(
    path: Path | None, environment: Mapping[str, str], options: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Configuration:
    """All of it, judged.

    Args:
        options: of the command line: values by the key.
        defaults: by the key, instead of those that options have.

    Raises: Misuse: the file cannot be read at all.
    """
    return _Judge(read(path), environment, defaults).judge(options)


class _Judge:
    def __init__(self, source: Source, environment: Mapping[str, str], defaults: Mapping[str, Any]) -> None:
        self._source = source
        self._environment = environment
        self._found = Configuration({key: option.default for key, option in OPTIONS.items()} | dict(defaults), {})
        self._wheres = self._found.wheres
        self._known = {variable(key): key for key in OPTIONS if key != WITHOUT_NAMESPACE}  # of variables

    def judge(self, options: Mapping[str, Any]) -> Configuration:
        found, data = self._found, dict(self._source.data)
        found.engines = {name: data[name] for name in ("engine", "broker") if isinstance(data.get(name), dict)}
        self._tables(data, ())
        self._variables()
        for key, value in options.items():
            self._set(key, value, "command line")
        self._namespaces()
        self._unknown_variables()
        return found

    # -- the file

    def _tables(self, data: Mapping[str, Any], place: Place) -> None:
        for name, value in data.items():
            here = (*place, name)
            key = ".".join(map(str, here))
            self._wheres[key] = self._where(here)
            if key in OPTIONS:
                self._value(key, value, self._where(here))
            elif key in REFUSED:
                self._refuse(key, value, REFUSED[key], self._where(here))
            elif key in IGNORED:
                if IGNORED[key]:
                    self._found.ignored.append(Mistake(self._where(here), key, IGNORED[key]))
            elif key in _SECTIONS:
                if isinstance(value, dict):
                    self._tables(cast("dict[str, Any]", value), here)
                else:
                    self._mistake(self._where(here), key, "it is a table of options")
            elif key in ENGINES:
                self._remember(value, here)
            else:
                self._mistake(self._where(here), key, f"there is no such key{_instead(key)}")

    def _remember(self, value: Any, place: Place) -> None:
        """Where it stands; what it means, `brokers.py` knows."""
        self._wheres[".".join(map(str, place))] = self._where(place)
        for name, inner in cast("dict[str, Any]", value).items() if isinstance(value, dict) else ():
            self._remember(inner, (*place, name))

    def _value(self, key: str, value: Any, where: str) -> None:
        kind = OPTIONS[key].kind
        try:
            self._set(key, kind.read(value) if key != WITHOUT_NAMESPACE else _table(value), where)
        except ValueError as error:
            self._mistake(where, key, _wrong(kind, error, value))

    def _set(self, key: str, value: Any, where: str) -> None:
        self._found.values[key] = value
        self._found.given.add(key)
        self._wheres[key] = where

    def _where(self, place: Place) -> str:
        line = self._source.line(place)
        return f"{self._source.name}:{line}" if line else self._source.name

    def _refuse(self, key: str, value: Any, refusal: Refusal, where: str) -> None:
        if isinstance(value, (list, dict)) or value not in refusal.harmless:
            self._mistake(where, key, refusal.reason)

    def _mistake(self, where: str, key: str, text: str) -> None:
        self._found.mistakes.append(Mistake(where, key, text))

    # -- the environment

    def _variables(self) -> None:
        for name, key in self._known.items():
            text = self._environment.get(name)
            if text is None or (_KUBERNETES.search(name) and "://" in text):  # of a service beside it, not for us
                continue
            try:
                self._value(key, OPTIONS[key].kind.parse(text), name)
            except ValueError as error:
                self._mistake(name, "", _wrong(OPTIONS[key].kind, error, text))

    def _unknown_variables(self) -> None:
        heads = tuple(f"{variable(section)}_" for section in _SECTIONS if "." not in section)
        for name in sorted(self._environment):
            if name.startswith(heads) and name not in self._known and not _KUBERNETES.search(name):
                close = difflib.get_close_matches(name, self._known, 1, 0.8)
                self._mistake(name, "", f"there is no such variable{f': did you mean {close[0]}?' if close else ''}")

    # -- namespaces

    def _namespaces(self) -> None:
        values = self._found.values
        place: Place = (*WITHOUT_NAMESPACE.split("."),)
        self._known |= {f"{variable(WITHOUT_NAMESPACE)}_{option.upper()}": option for option in NAMESPACE}
        self._found.namespaces[""] = self._namespace("", values[WITHOUT_NAMESPACE], place, variable(WITHOUT_NAMESPACE))
        listed: Sequence[Mapping[str, Any]] = values[NAMESPACES]
        if len(listed) > MOST_NAMESPACES:
            self._mistake(self._wheres[NAMESPACES], NAMESPACES, f"more than {MOST_NAMESPACES} namespaces")
            return
        for number, table in enumerate(listed):
            place = (*NAMESPACES.split("."), number)
            name = table.get("name")
            if not isinstance(name, str) or not _NAME.match(name):
                text = "a namespace has a name of at least two letters, digits, hyphens and underscores"
                self._mistake(self._within(place, "name"), f"{NAMESPACES}[{number}].name", f"{text}, not {shown(name)}")
            elif name in self._found.namespaces:
                self._mistake(self._within(place, "name"), f"{NAMESPACES}[{number}].name", f"a second {name!r}")
            else:
                self._add(name, table, place)

    def _add(self, name: str, table: Mapping[str, Any], place: Place) -> None:
        head = f"{variable(NAMESPACES)}_{name.upper().replace('-', '_')}"
        self._known |= {f"{head}_{option.upper()}": option for option in NAMESPACE}
        if table.get("subscription_type") in (None, "", "stream"):
            self._found.namespaces[name] = self._namespace(name, table, place, head)
        else:  # none of its channels exists, so nothing is allowed that is not meant
            where = self._within(place, "subscription_type")
            self._found.ignored.append(Mistake(where, name, "channels are streams: this namespace is left out"))

    def _within(self, place: Place, name: str) -> str:
        where = self._wheres.get(".".join(str(step) for step in place[:2]), "")
        return self._where((*place, name)) if where.startswith(self._source.name) and self._source.name else where

    def _namespace(self, name: str, table: Mapping[str, Any], place: Place, head: str) -> Namespace:
        """What it says; without what is wrong in it."""
        about = f"namespace {name!r}" if name else "channels without a namespace"
        chosen: dict[str, Any] = {}
        wheres: dict[str, str] = {}
        for option, value in table.items():
            where, key = self._within(place, option), f"{name or WITHOUT_NAMESPACE}.{option}"
            if option in NAMESPACE:
                self._option(option, value, where, key, chosen, wheres)
            elif name and option in ("name", "subscription_type"):
                continue
            elif option in REFUSED_IN_NAMESPACES:
                self._refuse(key, value, REFUSED_IN_NAMESPACES[option], where)
            elif option in IGNORED_IN_NAMESPACES:
                self._found.ignored.append(Mistake(where, key, IGNORED_IN_NAMESPACES[option]))
            else:
                close = difflib.get_close_matches(option, NAMESPACE, 1, 0.7)
                instead = f": did you mean {close[0]}?" if close else ""
                self._mistake(where, key, f"there is no such option of a namespace{instead}")
        for option, said in NAMESPACE.items():
            named = f"{head}_{option.upper()}"
            if (text := self._environment.get(named)) is not None:
                try:
                    self._option(option, said.kind.parse(text), named, "", chosen, wheres)
                except ValueError as error:
                    self._mistake(named, "", _wrong(said.kind, error, text))
        return self._made(about, chosen, wheres, self._within(place, "name"))

    def _option(
        self, option: str, value: Any, where: str, key: str, chosen: dict[str, Any], wheres: dict[str, str]
    ) -> None:
        kind = NAMESPACE[option].kind
        try:
            chosen[option] = kind.read(value)
            wheres[option] = where
        except ValueError as error:
            self._mistake(where, key, _wrong(kind, error, value))

    def _made(self, about: str, chosen: dict[str, Any], wheres: Mapping[str, str], where: str) -> Namespace:
        size, ttl = chosen.pop("history_size", 0), chosen.pop("history_ttl", 0.0)
        if (size > 0) != (ttl > 0):
            where = wheres.get("history_size", wheres.get("history_ttl", where))
            self._mistake(where, about, "history needs both history_size and history_ttl")
        mode = chosen.get("force_recovery_mode")
        if mode == "":
            del chosen["force_recovery_mode"]
        chosen.setdefault("publication_data_format", self._found.values["channel.publication_data_format"])
        try:
            return Namespace(history=History(size, ttl) if size and ttl else None, **chosen)
        except Misuse as error:
            named = re.match(r"Namespace\.(\w+)", str(error))
            where = wheres.get(named[1], where) if named else where
            self._mistake(where, about, str(error).removeprefix("Namespace."))
            return Namespace()


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("a table of options")  # noqa: TRY004
    return cast("dict[str, Any]", value)


def _wrong(kind: Kind, error: ValueError, value: Any) -> str:
    return f"it is {error}" + ("" if kind.secret else f", not {shown(value)}")


def _instead(key: str) -> str:
    """What may be meant: a key that differs little, or one of the same name elsewhere."""
    flat = {known.replace(".", "_"): known for known in OPTIONS}
    name = key.rpartition(".")[2]
    elsewhere = [known for known in OPTIONS if known.rpartition(".")[2] == name]
    close = difflib.get_close_matches(key, [*OPTIONS, *IGNORED, *_SECTIONS], 1, 0.8)
    if not close and elsewhere:
        close = elsewhere
    if not close:
        tails = [known for spelt, known in flat.items() if spelt.endswith(key.replace(".", "_"))]
        close = tails or [flat[one] for one in difflib.get_close_matches(key.replace(".", "_"), flat, 1, 0.7)]
    if not close and name in NAMESPACE:
        close = [f"{WITHOUT_NAMESPACE}.{name}"]
    return f": did you mean {close[0]}?" if close else ""
