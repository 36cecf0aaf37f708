"""Writes the pages of the docs that follow from the code: the reference, the command line, the configuration.

python tools/docs.py          write them
python tools/docs.py --check  exit with 1 if one of them is out of date
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import typer
from typer.main import get_command

import hubbub
import hubbub.api
import hubbub.asgi
import hubbub.realtime
from hubbub.cli import app
from hubbub.realtime import conversation
from hubbub.realtime.protocol import Disconnect, Disconnects, Error, Errors, Unsubscribe, Unsubscribes
from hubbub.standalone.ignored import IGNORED, IGNORED_IN_NAMESPACES, REFUSED, REFUSED_IN_NAMESPACES
from hubbub.standalone.kinds import Choice
from hubbub.standalone.options import NAMESPACE, OPTIONS, OWN, variable

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
AT_HOME = {  # pages of the repository that the site has as well
    "README.md": "index.md",
    "CHANGELOG.md": "about/changelog.md",
    "ARCHITECTURE.md": "about/architecture.md",
    "CONTRIBUTING.md": "about/contributing.md",
    "SECURITY.md": "about/reporting.md",
}
GROUPS = {
    "Channels": ["Hub", "Member", "Overflow", "Statistics"],
    "Handlers and sockets": ["Handler", "Socket", "Request", "Closed", "Cause", "Reject"],
    "Messages": ["text", "binary", "Frame"],
    "Serving": ["run", "serve", "Server", "ServerStatistics", "Limits", "Deflate"],
    "Between processes": ["publish", "publish_async", "History", "Ticket", "Published", "BrokerStatistics"],
    "Errors": ["HubbubError", "Misuse", "Overloaded", "BrokerUnavailable", "LimitReached", "Disconnected"],
}
ASGI = ["WebSocketProtocol", "socket"]
REALTIME = [
    "Realtime",
    "Client",
    "Connected",
    "Accepted",
    "Refreshed",
    "Denied",
    "Fault",
    "Published",
    "Publishing",
    "HistoryResult",
    "Publication",
    "Position",
    "ClientInfo",
    "Tokens",
    "Namespace",
    "History",
    "Names",
    "Bounds",
    "RealtimeStatistics",
    "NodeInfo",
    "Error",
    "Disconnect",
]
ON_ITS_OWN_PAGE = {
    hubbub.Limits: "Every bound, field by field: [limits](limits.md).\n",
    hubbub.realtime.Namespace: "Every option, field by field: [sessions](sessions.md#namespaces).\n",
    hubbub.realtime.Bounds: "Every bound, field by field: [sessions](sessions.md#bounds).\n",
}
MADE = "<!-- Written by tools/docs.py from the code: change the docstrings, then run it. -->\n"


def pages() -> dict[str, str]:
    """Every page by its name."""
    return {
        "reference.md": reference(),
        "sessions.md": sessions(),
        "limits.md": limits(),
        "command-line.md": command_line(),
        "configuration.md": configuration(),
        **{page: on_the_site(file, page) for file, page in AT_HOME.items() if (ROOT / file).exists()},
    }


def on_the_site(file: str, page: str) -> str:
    """A page of the repository, with its links turned; what is not on the site they find in the repository."""
    home = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]

    def turned(link: re.Match[str]) -> str:
        target, hash, anchor = link[2].partition("#")
        target = AT_HOME.get(target, target.removeprefix("docs/") if target.startswith("docs/") else "")
        there = f"{'../' * page.count('/')}{target}{hash}{anchor}" if target else f"{home}/blob/main/{link[2]}"
        return f"{link[1]}({there})"

    text = re.sub(r"(\[[^\[\]]*\])\((?!\w+:|#)([^)\s]+)\)", turned, (ROOT / file).read_text())
    return f"<!-- Written by tools/docs.py from {file}: change that. -->\n\n{text}"


def reference() -> str:
    listed = {name for names in GROUPS.values() for name in names}
    assert listed == set(hubbub.__all__), (
        f"not in a group of the reference, or not public: {listed ^ set(hubbub.__all__)}"
    )
    parts = [
        MADE,
        "# Reference\n",
        "Everything public is in `hubbub`, `hubbub.asgi`, `hubbub.realtime` and `hubbub.api`; all else may change.\n",
    ]
    for group, names in GROUPS.items():
        parts.append(f"## {group}\n")
        parts += [entry("hubbub", name, getattr(hubbub, name)) for name in names]
    parts.append("## In web frameworks\n")
    parts += [entry("hubbub.asgi", name, getattr(hubbub.asgi, name)) for name in ASGI]
    assert set(REALTIME) == set(hubbub.realtime.__all__), "not in the reference, or not public"
    parts.append("## Real-time sessions\n")
    parts += [entry("hubbub.realtime", name, getattr(hubbub.realtime, name)) for name in REALTIME]
    parts.append("## The HTTP API\n")
    parts += [entry("hubbub.api", name, getattr(hubbub.api, name)) for name in hubbub.api.__all__]
    return "\n".join(parts)


def entry(module: str, name: str, item: Any) -> str:
    """One public name."""
    lines = [f"### {module}.{name}\n"]
    made_elsewhere = item is hubbub.Frame  # and its fields may be the compiled twin's
    if inspect.isclass(item) and (
        issubclass(item, enum.Enum | tuple | msgspec.Struct) or dataclasses.is_dataclass(item) or made_elsewhere
    ):
        if item in ON_ITS_OWN_PAGE:
            return "\n".join([*lines, doc(item), ON_ITS_OWN_PAGE[item]])
        if not any(described(item)) and "Args:" not in (item.__doc__ or "") and not made_elsewhere:
            lines.append(f"```python\n{name}{signature(item)}\n```\n")
        lines += [doc(item), *attributes(item)]
    elif inspect.isclass(item):
        lines += [f"```python\n{name}{signature(item)}\n```\n", doc(item), *attributes(item), *methods(item)]
    else:
        lines += [f"```python\n{name}{signature(item)}\n```\n", doc(item)]
    return "\n".join(lines)


def signature(item: Any) -> str:
    try:
        found = inspect.signature(item)
    except ValueError:
        return "()"
    shown, named = list[str](), False
    for parameter in found.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not named:
            shown.append("*")
            named = True
        shown.append(argument(parameter))
        named = named or parameter.kind is parameter.VAR_POSITIONAL
    returned = "" if found.return_annotation is found.empty else f" -> {annotated(found.return_annotation)}"
    line = f"({', '.join(shown)}){returned}"
    return line if len(line) < 90 else "(\n    " + ",\n    ".join(shown) + f"\n){returned}"


def argument(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = f"{stars}{parameter.name}"
    if parameter.annotation is not parameter.empty:
        text += f": {annotated(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return text
    default = parameter.default
    value = getattr(default, "__qualname__", "") if callable(default) else repr(default)
    return f"{text} = {value}" if ":" in text else f"{text}={value}"


def annotated(annotation: Any) -> str:
    named = getattr(annotation, "__forward_arg__", annotation)  # as named tuples keep theirs
    return named if isinstance(named, str) else inspect.formatannotation(named)


def doc(item: Any) -> str:
    """A docstring as Markdown."""
    text = inspect.getdoc(item) or ""
    out = []
    for line in text.splitlines():
        word = line.partition(":")[0].strip()
        if word in ("Args", "Returns", "Raises", "Source") and not line.startswith(" "):
            rest = line.partition(":")[2].strip()
            out += ["", f"**{word}:** {rest}", ""]
        elif line.startswith("    ") and not line.startswith("        ") and ":" in line:
            name, _, rest = line.strip().partition(":")
            out.append(f"- `{name}`:{rest}")
        else:
            out.append(line.strip())
    return "\n".join(out) + "\n"


def attributes(item: type) -> list[str]:
    """Fields and members that have a docstring of their own."""
    shown = [(name, " ".join(text.split())) for name, text, _ in described(item) if name not in inner(item)]
    return [f"- `{name}`: {text}" for name, text in shown] + [""]


def described(item: type) -> Iterator[tuple[str, str, str]]:
    """Name, docstring and default of each field, read from the source: Python forgets such docstrings."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(item))).body
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


def methods(item: type) -> list[str]:
    """Its own, and those of the parts that it is made of."""
    out = []
    public = {getattr(module, name) for module in (hubbub, hubbub.asgi, hubbub.realtime) for name in module.__all__}
    parts = [base for base in item.__mro__ if base is item or (base not in public and "hubbub" in base.__module__)]
    for name, member in ((name, member) for part in parts for name, member in vars(part).items()):
        if name.startswith("_") or not inspect.getdoc(member) or name in inner(item):
            continue
        if isinstance(member, property):
            out.append(f"#### {item.__name__}.{name}\n\n{doc(member)}")
        elif callable(member):
            kind = "async " if inspect.iscoroutinefunction(member) else ""
            call = f"```python\n{kind}{name}{signature(member)}\n```"
            out.append(f"#### {item.__name__}.{name}\n\n{call}\n\n{doc(member)}")
    return out


def inner(item: type) -> set[str]:
    """What a public class has for this library alone."""
    if item is hubbub.asgi.WebSocketProtocol:
        everything = {name for base in item.__mro__ for name in vars(base)}
        return everything - {"limits", "compression", "hub"}
    return {
        hubbub.Server: {"start"},
        hubbub.realtime.Client: {"become", "be_called", "tell", "writable", "write"},
    }.get(item, set())


def sessions() -> str:
    intro = """\
# Sessions: options, bounds and codes

## Namespaces

The options of `hubbub.realtime.Namespace`. What each is for: [permissions](how-to/permissions.md),
[recovery](how-to/recovery.md), [presence](how-to/presence.md).

"""
    bounds = """

## Bounds

The fields of `hubbub.realtime.Bounds`. Sizes are in bytes, times in seconds. The [limits](limits.md) of every
connection hold as well; `Realtime(bounds=..., limits=...)` takes both.

"""
    states = f"""

## A session's states

After the upgrade, as `realtime/conversation.py` has it. What is not in it ends the connection with 3501.

```mermaid
{conversation.diagram()}
```
"""
    return "\n".join([MADE, intro + options(), bounds + bounded(), states, *codes()])


def options() -> str:
    rows = ["| option | default | what it does |", "|---|---|---|"]
    for name, text, _ in described(hubbub.realtime.Namespace):
        default = getattr(hubbub.realtime.Namespace(), name)
        rows.append(f"| `{name}` | `{default!r}` | {' '.join(text.split())} |")
    return "\n".join(rows)


def bounded() -> str:
    rows = ["| field | default | what it bounds, and what happens there |", "|---|---|---|"]
    for name, text, _ in described(hubbub.realtime.Bounds):
        rows.append(f"| `{name}` | {getattr(hubbub.realtime.Bounds(), name):,g} | {' '.join(text.split())} |")
    return "\n".join(rows)


def codes() -> Iterator[str]:
    yield """\
## Errors

An error answers one command. Handlers answer with codes of their own, from 400 to 1999 (`Denied`).

| code | message | client libraries then | when |
|---|---|---|---|"""
    yield from coded(Errors, Error)
    yield """
A client library that leaves it is disconnected, where the error answers its connect; ends the subscription, where it
answers a subscribe; and tells whoever asked, where it answers anything else.

## Disconnects

A disconnect ends the connection: its code and reason are those of the close frame. Programs have codes of their own,
from 4000 to 4999, and clients come back after those below 4500.

| code | reason | client libraries then | when |
|---|---|---|---|"""
    yield from coded(Disconnects, Disconnect)
    yield """
A frame over `Bounds.max_command` ends the connection with 1009, and a stop of the server in good order with 1001,
or 1012 under uvicorn. A client that takes no byte is cut without a code, with 1006.

## Unsubscribes

An unsubscribe ends one subscription. What the server has subscribed a client to is then gone, whatever the code.

| code | reason | client libraries then | when |
|---|---|---|---|"""
    yield from coded(Unsubscribes, Unsubscribe)


def coded(table: type, kind: type[Error | Disconnect | Unsubscribe]) -> Iterator[str]:
    """What is sent, row by row, and then the codes that never are."""
    never = []
    for name, text, _ in described(table):
        one = getattr(table, name)
        assert isinstance(one, kind)
        if text.startswith("Never sent"):
            never.append(str(one.code))
            continue
        if isinstance(one, Error):
            again, words = one.temporary, one.message
        else:
            again = one.reconnects if isinstance(one, Disconnect) else one.resubscribes
            words = one.reason
        does = {Error: "try again", Disconnect: "come back", Unsubscribe: "subscribe again"}[kind]
        does = does if again else "leave it"
        if one is Errors.TOKEN_EXPIRED:
            does = "get a token and try again"
        yield f"| {one.code} | {words} | {does} | {' '.join(text.split())} |"
    yield f"\nThe protocol has {', '.join(never)} as well, which hubbub never sends."


def limits() -> str:
    rows = []
    for name, text, _ in described(hubbub.Limits):
        default = getattr(hubbub.Limits(), name)
        rows.append(f"| `{name}` | {shown(name, default)} | {' '.join(text.split())} |")
    intro = """\
# Limits

Every bound of a server and of a hub is a field of `hubbub.Limits`. Sizes are in bytes, times in seconds.

```python
import hubbub

limits = hubbub.Limits(max_message_size=64 * 1024, ping_interval=10)
hub = hubbub.Hub(limits=limits)  # a server that is given the hub uses its limits too
```

What happens at a limit is in the table; what was dropped or refused is counted in `hub.statistics()` and
`server.statistics()`. On the command line: `hubbub serve chat:Chat --limit max_message_size=65536`.

| field | default | what it bounds, and what happens there |
|---|---|---|
"""
    outro = """

## Choosing

- Behind a proxy on the same machine, leave `max_connections_per_address` off: all clients have the proxy's address.
- `max_backlog` times the number of slow clients is what `max_total_backlog` has to hold; a broadcast that 1,000 clients
  wait for is one frame in memory, but counts in each of their backlogs.
- `ping_interval` plus `pong_timeout` is how long a dead connection stays. Proxies cut silent ones, often after 60 s.
- `max_message_rate` is off because what is honest depends on the program: 50 a second is much for a chat.
- `Hub(limits=...)` bounds channels and mailboxes, `serve(limits=...)` connections; left out, a server takes its hub's.
"""
    return MADE + "\n" + intro + "\n".join(rows) + outro


def shown(name: str, default: Any) -> str:
    if default is None:
        return "none"
    if name.endswith(("size", "backlog")):
        return f"{default // 1024**2:,} MiB" if default % 1024**2 == 0 else f"{default // 1024:,} KiB"
    return f"{default:,}" if isinstance(default, int) else f"{default:g} s"


def command_line() -> str:
    root = get_command(app)
    parts = [MADE, "# The command line\n", doc(root.callback)]
    for name, command in sorted(root.commands.items()):  # type: ignore[attr-defined]
        arguments = [param for param in command.params if param.param_type_name == "argument"]
        usage = " ".join([f"hubbub {name}", "[OPTIONS]", *(param.name.upper() for param in arguments)])
        parts += [f"## hubbub {name}\n", f"```\n{usage}\n```\n", doc(command.callback)]
        parts += ["| option | variable | default | what it does |", "|---|---|---|---|"]
        for param in command.params:
            flags = (
                ", ".join(f"`{flag}`" for flag in param.opts) if param.opts[0].startswith("-") else param.name.upper()
            )
            default = "" if param.default is None or callable(param.default) else str(param.default)
            parts.append(f"| {flags} | `{param.envvar}` | {default} | {getattr(param, 'help', '') or ''} |")
        parts.append("")
    return "\n".join(parts)


def configuration() -> str:
    """Every key of the standalone server's file."""
    said = {name: text for name, text, _ in described(hubbub.realtime.Namespace)}
    intro = """\
# The configuration

What `hubbub serve` without a module takes from a file (`--config`, TOML or JSON), from variables, which count more, and
from options, which count most: [how to run it](how-to/standalone.md). Keys are nested as their dots say. Those with a
star are hubbub's own, all others are called as in Centrifugo 6.
"""
    of_namespaces = """
## Options of namespaces

In `channel.without_namespace`, and in each entry of `channel.namespaces`. The variable of an option is that of
`channel.without_namespace`, or of `channel.namespaces` and the namespace's name, with the option behind it:
`HUBBUB_CHANNEL_NAMESPACES_CHAT_PRESENCE`.
"""
    passed_over = """
## What of Centrifugo's is passed over

`hubbub serve --check` lists what a file has of it.
"""
    keys = [
        (f"`{key}`{'*' if key in OWN else ''}", f"`{variable(key)}`", taken(of.kind), default_of(of), of.about)
        for key, of in OPTIONS.items()
    ]
    options = [
        (f"`{name}`", taken(of.kind), default_of(of), " ".join((of.about or said.get(name, "")).split()))
        for name, of in NAMESPACE.items()
    ]
    ignored = [(f"`{key}`", reason) for key, reason in IGNORED.items()]
    ignored += [(f"`{key}` of a namespace", reason) for key, reason in IGNORED_IN_NAMESPACES.items()]
    refused = [(f"`{key}`", refusal.reason) for key, refusal in REFUSED.items()]
    refused += [(f"`{key}` of a namespace", refusal.reason) for key, refusal in REFUSED_IN_NAMESPACES.items()]
    return "\n".join(
        [MADE, intro, *table(("key", "variable", "takes", "default", ""), keys),
         of_namespaces, *table(("option", "takes", "default", ""), options),
         passed_over, *table(("key", "why"), ignored),
         "\n## What is refused\n\nPassing these over would allow more than is meant.\n",
         *table(("key", "what to do"), refused)]
    )  # fmt: skip


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def taken(kind: Any) -> str:
    return ", ".join(f'`"{name}"`' for name in kind.among) if isinstance(kind, Choice) else kind.called


def default_of(option: Any) -> str:
    default = option.default
    if isinstance(default, bool):
        return "true" if default else "false"
    if default in ("", (), {}, 0) or default is None:
        return "0" if isinstance(default, int) else ""
    return f"`{default:g}s`" if isinstance(default, float) else f"`{default}`"


def main(check: bool = False) -> None:
    stale = []
    for name, text in pages().items():
        path = DOCS / name
        text = text.rstrip("\n") + "\n"
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
    if check and stale:
        sys.exit(f"out of date: {', '.join(stale)}; run python tools/docs.py")


if __name__ == "__main__":
    typer.run(main)
