"""The reference: everything public, with signatures as the source has them, and what the docstrings say."""

from __future__ import annotations

import ast
import builtins
import collections.abc
import enum
import functools
import importlib
import inspect
import io
import sys
import textwrap
import tokenize
import types
import typing
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import hubbub
import hubbub.api
import hubbub.asgi
import hubbub.brokers
import hubbub.realtime
import hubbub.testing.brokers

__all__ = ["DESCRIBED", "described", "documented", "reference"]

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Part(NamedTuple):
    """Some names of a module, on one page."""

    title: str
    module: types.ModuleType
    names: str
    about: str = ""


BOOK = {  # pages, and what is on them
    "hub": ("Hubs and channels", [
        Part("", hubbub, "Hub Member Overflow Statistics"),
        Part("Messages", hubbub, "text binary Frame"),
    ]),
    "handlers": ("Handlers and sockets", [
        Part("", hubbub, "Handler Socket Request Closed Cause"),
    ]),
    "serving": ("Serving", [
        Part("", hubbub, "run serve Server ServerStatistics Limits Deflate"),
    ]),
    "asgi": ("In web frameworks", [Part("", hubbub.asgi, "socket WebSocketProtocol")]),
    "sessions": ("Real-time sessions", [
        Part("", hubbub.realtime, "Realtime Client"),
        Part("What handlers return and raise", hubbub.realtime,
             "Connected Accepted Refreshed Denied Fault Error Disconnect"),
        Part("Publications", hubbub.realtime, "Published Publishing HistoryResult Publication Position ClientInfo"),
        Part("Settings", hubbub.realtime, "Tokens Namespace History Names Bounds"),
        Part("What is counted", hubbub.realtime, "RealtimeStatistics NodeInfo"),
        Part("The HTTP API", hubbub.api, "Api api_app"),
    ]),
    "brokers": ("Between processes", [
        Part("Publish", hubbub, "publish publish_async Published Ticket History BrokerStatistics"),
        Part("What a broker is", hubbub.brokers, "Broker Events Traits Outgoing Publication Position Page Check"
             " Presence Change Entry broker_for redacted", "For those who [write one](../how-to/brokers.md)."),
    ]),
    "testing": ("A suite for brokers", [
        Part("", hubbub.testing.brokers,
             "CHECKS Check Outcome Bench UrlBench MemoryBench bench_for judge Node Lacking Broken",
             "The suite that judges a broker: [how to use it](../how-to/brokers.md)."),
    ]),
    "errors": ("Errors", [
        Part("", hubbub, "HubbubError Misuse Overloaded BrokerUnavailable LimitReached Disconnected Reject"),
    ]),
}  # fmt: skip
ELSEWHERE = {
    hubbub.Limits: "Every bound, field by field: [limits](../limits.md).\n",
    hubbub.realtime.Namespace: "Every option, field by field: [sessions](../sessions.md#namespaces).\n",
    hubbub.realtime.Bounds: "Every bound, field by field: [sessions](../sessions.md#bounds).\n",
}
GIVEN = (  # classes whose objects a program gets, and never makes
    hubbub.Socket, hubbub.Request, hubbub.Server, hubbub.Ticket, hubbub.asgi.WebSocketProtocol, hubbub.realtime.Client,
    hubbub.testing.brokers.Lacking, hubbub.testing.brokers.Broken,
)  # fmt: skip
MODULES = (hubbub, hubbub.asgi, hubbub.realtime, hubbub.api, hubbub.brokers, hubbub.testing.brokers)
PUBLIC = {name for module in MODULES for name in module.__all__}
DESCRIBED = PUBLIC | set(vars(builtins)) | set(typing.__all__) | set(collections.abc.__all__) | {
    "asyncio", "datetime", "timedelta", "os", "socket", "ssl", "dataclass", "Enum", "StrEnum", "ABC", "Struct",
}  # fmt: skip


def reference() -> dict[str, str]:
    """Every page of it by its name."""
    listed = [(part.module, name) for _, parts in BOOK.values() for part in parts for name in part.names.split()]
    for module in MODULES:
        missing = set(module.__all__) - {name for one, name in listed if one is module}
        missing -= {name for name in missing for one, other in listed if getattr(one, other) is getattr(module, name)}
        assert not missing, f"not in a part of the reference: {missing} of {module.__name__}"
    pages = {f"reference/{name}.md": page(title, parts) for name, (title, parts) in BOOK.items()}
    return {"reference.md": contents(), **pages}


def contents() -> str:
    """What is where, in a line each."""
    lines = ["# The interface\n", "Everything public is on these pages; all else may change.\n"]
    for name, (title, parts) in BOOK.items():
        lines.append(f"## {title}\n")
        for part in parts:
            for one in part.names.split():
                full = f"{part.module.__name__}.{one}"
                told = about(getattr(part.module, one)).partition("\n\n")[0].replace("\n", " ").split(". ")[0]
                link = f"[`{full}`](reference/{name}.md#{full.lower().replace('.', '')})"
                lines.append(f"- {link}: {told.rstrip('.')}.")
        lines.append("")
    return "\n".join(lines)


def page(title: str, parts: list[Part]) -> str:
    lines = [f"# {title}\n"]
    for part in parts:
        if part.title:
            lines.append(f"## {part.title}\n")
        if part.about:
            lines.append(f"{part.about}\n")
        heading = "###" if part.title else "##"
        lines += [
            entry(heading, f"{part.module.__name__}.{name}", getattr(part.module, name)) for name in part.names.split()
        ]
    text = "\n".join(lines)
    return text + kinds([getattr(part.module, name) for part in parts for name in part.names.split()], text)


def entry(heading: str, full: str, item: Any) -> str:
    """One public name."""
    name = full.rpartition(".")[2]
    lines = [f"{heading} {full}\n"]
    if inspect.isclass(item):
        lines += [fenced(declared(name, item)), documented(item)]
        if item in ELSEWHERE:
            return "\n".join([*lines, ELSEWHERE[item]])
        lines += [*attributes(item), *methods(heading + "#", item)]
    elif inspect.isroutine(item):
        lines += [fenced(call(source_of(item))), documented(item)]  # type: ignore[arg-type]
    else:
        lines += [fenced(f"{name}: tuple[Check, ...]"), about(item) + "\n"]
    return "\n".join(lines)


def about(item: Any) -> str:
    """Its docstring; of a value the one that stands below it."""
    if inspect.isclass(item) or inspect.isroutine(item):
        return inspect.getdoc(item) or ""
    return "Every check of the suite."


def fenced(code: str) -> str:
    return f"```python\n{code}\n```\n"


@functools.cache
def source_of(item: Any) -> ast.stmt:
    text = textwrap.dedent(inspect.getsource(item))
    (node,) = ast.parse(text).body
    for one in ast.walk(node):
        if isinstance(one, ast.arguments):
            one.defaults, one.kw_defaults = ([octal(default, text) for default in many]
                                             for many in (one.defaults, one.kw_defaults))  # fmt: skip
        elif isinstance(one, ast.Name) and one.id == "tls":
            one.id = "ssl"  # as one imports it who has no argument of that name
    return node


def octal(default: ast.expr | None, text: str) -> Any:
    """A default as it was written, where that is lost in reading."""
    said = default and ast.get_source_segment(text, default)
    return ast.Name(said) if said and said.startswith("0o") else default


def written(node: ast.expr) -> str:
    """An expression as one would write it: with double quotes."""
    text = ast.unparse(node)
    tokens = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        prefix, quote, rest = token.string.partition("'")
        plain = token.type == tokenize.STRING and len(prefix) < 2 and quote and '"' not in rest
        tokens.append(token._replace(string=f'{prefix}"{rest[:-1]}"') if plain else token)
    return tokenize.untokenize(tokens).strip()


def declared(name: str, item: type) -> str:
    """A class: its header, and what one gives to make one, or its fields."""
    node = source_of(item)
    assert isinstance(node, ast.ClassDef)
    decorators = [f"@{written(one)}\n" for one in node.decorator_list if "dataclass" in ast.unparse(one)]
    bases = ", ".join(written(base) for base in node.bases if shows(base))
    header = f"{''.join(decorators)}class {name}{f'({bases})' if bases else ''}:"
    if item in ELSEWHERE or item in GIVEN:
        return f"{header} ..."
    body = [f"    {line}" for line in fields(node, item)]
    made = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    for one in made:
        body += [*([""] if body else []), textwrap.indent(call(one), "    ")]
    return "\n".join([header, *body]) if body else f"{header} ..."


def shows(base: ast.expr) -> bool:
    """Whether a base says something to a reader, and is not a part that the class is made of."""
    name = ast.unparse(base).partition("[")[0].rpartition(".")[2]
    return name in DESCRIBED and name not in ("Struct", "ABC") and not name.startswith("_")


def fields(node: ast.ClassDef, item: type) -> Iterator[str]:
    """Those of a dataclass and the like, and the members of an enum."""
    record = bool(node.decorator_list) or issubclass(item, tuple) or hasattr(item, "__struct_fields__")
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and record and isinstance(one.target, ast.Name):
            if not one.target.id.startswith("_") and "ClassVar" not in ast.unparse(one.annotation):
                yield f"{one.target.id}: {written(one.annotation)}" + (f" = {written(one.value)}" if one.value else "")
        elif isinstance(one, ast.Assign) and issubclass(item, enum.Enum):
            yield f"{ast.unparse(one.targets[0])} = {written(one.value)}"


def call(node: Function) -> str:
    """A function's header, with three dots for what it does."""
    kept = ("property", "classmethod", "staticmethod", "overload")
    decorators = [f"@{ast.unparse(one)}\n" for one in node.decorator_list if ast.unparse(one) in kept]
    word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returned = f" -> {written(node.returns)}" if node.returns else ""
    given = list(arguments(node.args))
    line = f"{word} {node.name}({', '.join(given)}){returned}: ..."
    if len(line) > 88:
        line = f"{word} {node.name}(\n    " + ",\n    ".join(given) + f",\n){returned}: ..."
    return "".join(decorators) + line


def arguments(args: ast.arguments) -> Iterator[str]:
    plain = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(plain) - len(args.defaults)) + list(args.defaults)
    for number, (one, default) in enumerate(zip(plain, defaults, strict=True)):
        yield argument(one, default)
        if args.posonlyargs and number + 1 == len(args.posonlyargs):
            yield "/"
    if args.vararg or args.kwonlyargs:
        yield f"*{argument(args.vararg, None)}" if args.vararg else "*"
    for one, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        yield argument(one, default)
    if args.kwarg:
        yield f"**{argument(args.kwarg, None)}"


def argument(one: ast.arg, default: ast.expr | None) -> str:
    text = f"{one.arg}: {written(one.annotation)}" if one.annotation else one.arg
    if default is None:
        return text
    return f"{text} = {written(default)}" if one.annotation else f"{text}={written(default)}"


def documented(item: Any) -> str:
    """A docstring as Markdown."""
    out: list[str] = []
    for line in (inspect.getdoc(item) or "").splitlines():
        word, _, rest = line.partition(":")
        if word in ("Args", "Returns", "Raises", "Source"):
            out += ["", f"**{word}:** {rest.strip()}".rstrip(), *([] if rest.strip() else [""])]
        elif line.startswith("    ") and not line.startswith("        ") and ":" in line:
            name, _, rest = line.strip().partition(":")
            out.append(f"- `{name}`:{rest}")
        else:
            out.append(line.strip())
    text = "\n".join(out)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.strip() + "\n"


def attributes(item: type) -> list[str]:
    """Fields and members that have a docstring of their own."""
    shown = [(name, " ".join(text.split())) for name, text, _ in described(item) if name not in inner(item)]
    return [f"- `{name}`: {text}" for name, text in shown] + [""]


def described(item: type) -> Iterator[tuple[str, str, str]]:
    """Name, docstring and default of each field, read from the source: Python forgets such docstrings."""
    node = source_of(item)
    assert isinstance(node, ast.ClassDef)
    made = [inner for inner in node.body if isinstance(inner, ast.FunctionDef) and inner.name == "__init__"]
    for body in (node.body, *(inner.body for inner in made)):
        for field, after in pairwise(body):
            if not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)):
                continue
            target = field.targets[0] if isinstance(field, ast.Assign) else getattr(field, "target", None)
            name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "_")
            if not name.startswith("_"):
                value = getattr(field, "value", None)
                yield name, str(after.value.value), ast.unparse(value) if value is not None else ""


def methods(heading: str, item: type) -> Iterator[str]:
    """Its own, and those of the parts that it is made of."""
    for part in made_of(item):
        found: dict[str, list[Function]] = {}
        for node in source_of(part).body:  # type: ignore[attr-defined]
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(node)
        for name, nodes in found.items():
            member = inspect.getattr_static(part, name)
            member = member.__func__ if isinstance(member, classmethod | staticmethod) else member
            if not inspect.getdoc(member) or name in inner(item):
                continue
            shown = nodes[-1 if "@overload" in ast.unparse(nodes[0]) else 0]  # what all overloads are of; a getter
            lines = [f"{heading} {item.__name__}.{name}\n", fenced(call(shown)), documented(member)]
            yield "\n".join(lines)


def made_of(item: type) -> list[type]:
    """A class and those of its bases that are not public, as far as they are Python."""
    known = {getattr(module, name) for module in MODULES for name in module.__all__ if name != "CHECKS"}
    bases = [base for base in item.__mro__[1:] if base not in known and base.__module__.startswith("hubbub.")]
    return [item, *(base for base in bases if not base.__module__.startswith("hubbub.native"))]


def inner(item: type) -> set[str]:
    """What a public class has for this library alone."""
    if item is hubbub.asgi.WebSocketProtocol:
        everything = {name for base in item.__mro__ for name in vars(base)}
        return everything - {"limits", "compression", "hub", "allowed_origins"}
    return set()


def kinds(items: list[Any], text: str) -> str:
    """The names in signatures that are neither public nor Python's: what they mean."""
    names: dict[str, types.ModuleType] = {}
    for item in items:
        for base in made_of(item) if inspect.isclass(item) else [item] if inspect.isroutine(item) else []:
            for name in used(base, text):
                names.setdefault(name, sys.modules[base.__module__])
    lines = [f"- `{name}`: {meaning(name, module)}" for name, module in sorted(names.items())]
    return "\n## Types in these signatures\n\n" + "\n".join(lines) + "\n" if lines else ""


def used(item: Any, text: str) -> set[str]:
    """Names in annotations of an item that a reader cannot know, where they are shown."""
    found = set()
    for node in ast.walk(source_of(item)):
        places = (getattr(node, "annotation", None), getattr(node, "returns", None), *getattr(node, "bases", ()))
        for annotation in places:
            if annotation is not None:
                found |= {one.id for one in ast.walk(annotation) if isinstance(one, ast.Name)}
    shown = set()
    for block in text.split("```python\n")[1:]:
        tree = ast.parse(block.partition("\n```")[0])
        shown |= {one.id for one in ast.walk(tree) if isinstance(one, ast.Name)}
    return (found & shown) - DESCRIBED


def meaning(name: str, module: types.ModuleType) -> str:
    """What an alias stands for, or what a class is."""
    tree = ast.parse(inspect.getsource(module))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and name in {alias.asname or alias.name for alias in node.names}:
            (original,) = (alias.name for alias in node.names if name == (alias.asname or alias.name))
            return meaning(original, importlib.import_module(str(node.module)))
        if isinstance(node, ast.AnnAssign | ast.Assign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if ast.unparse(target) == name and node.value is not None:
                said = written(node.value)
                return "a type variable" if said.startswith("TypeVar") else f"`{said}`"
        if isinstance(node, ast.ClassDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n\n")[0].replace("\n", " ")
    return f"of `{module.__name__}`"
