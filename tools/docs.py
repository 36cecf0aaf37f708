"""Writes the pages of the docs that follow from the code: reference.md, limits.md and command-line.md.

python tools/docs.py          write them
python tools/docs.py --check  exit with 1 if one of them is out of date
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

import hubbub
import hubbub.asgi
import hubbub.realtime
from hubbub.cli import app

DOCS = Path(__file__).parents[1] / "docs"
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
    "Denied",
    "Fault",
    "Published",
    "Tokens",
    "Namespace",
    "Names",
    "Bounds",
    "RealtimeStatistics",
    "NodeInfo",
    "Error",
    "Disconnect",
]
MADE = "<!-- Written by tools/docs.py from the code: change the docstrings, then run it. -->\n"


def pages() -> dict[str, str]:
    """Every page by its name."""
    return {"reference.md": reference(), "limits.md": limits(), "command-line.md": command_line()}


def reference() -> str:
    listed = {name for names in GROUPS.values() for name in names}
    assert listed == set(hubbub.__all__), (
        f"not in a group of the reference, or not public: {listed ^ set(hubbub.__all__)}"
    )
    parts = [
        MADE,
        "# Reference\n",
        "Everything public is in `hubbub`, `hubbub.asgi` and `hubbub.realtime`; all else may change.\n",
    ]
    for group, names in GROUPS.items():
        parts.append(f"## {group}\n")
        parts += [entry("hubbub", name, getattr(hubbub, name)) for name in names]
    parts.append("## In web frameworks\n")
    parts += [entry("hubbub.asgi", name, getattr(hubbub.asgi, name)) for name in ASGI]
    parts.append("## Real-time sessions\n")
    parts += [entry("hubbub.realtime", name, getattr(hubbub.realtime, name)) for name in REALTIME]
    return "\n".join(parts)


def entry(module: str, name: str, item: Any) -> str:
    """One public name."""
    lines = [f"### {module}.{name}\n"]
    made_elsewhere = item is hubbub.Frame  # and its fields may be the compiled twin's
    if inspect.isclass(item) and (
        issubclass(item, enum.Enum | tuple) or dataclasses.is_dataclass(item) or made_elsewhere
    ):
        if item is hubbub.Limits:
            return "\n".join([*lines, "Every bound, field by field: [limits](limits.md).\n"])
        lines += [doc(item), *attributes(item)]
    elif inspect.isclass(item):
        lines += [f"```python\n{name}{signature(item)}\n```\n", doc(item), *attributes(item), *methods(item)]
    else:
        lines += [f"```python\n{name}{signature(item)}\n```\n", doc(item)]
    return "\n".join(lines)


def signature(item: Any) -> str:
    try:
        shown = str(inspect.signature(item))
    except ValueError:
        return "()"
    shown = shown.replace("'", "").replace("self, ", "").replace("(self)", "()")
    return shown if len(shown) < 90 else shown.replace(", ", ",\n    ").replace("(", "(\n    ", 1)


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
    return [f"- `{name}`: {' '.join(text.split())}" for name, text, _ in described(item)] + [""]


def described(item: type) -> Iterator[tuple[str, str, str]]:
    """Name, docstring and default of each field, read from the source: Python forgets such docstrings."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(item))).body
    assert isinstance(node, ast.ClassDef)
    for field, after in zip(node.body, node.body[1:], strict=False):
        if not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)):
            continue
        target = field.targets[0] if isinstance(field, ast.Assign) else getattr(field, "target", None)
        if isinstance(target, ast.Name):
            value = getattr(field, "value", None)
            yield target.id, str(after.value.value), ast.unparse(value) if value is not None else ""


def methods(item: type) -> list[str]:
    out = []
    for name, member in vars(item).items():
        if name.startswith("_") or not inspect.getdoc(member) or name in asgi_inner(item):
            continue
        if isinstance(member, property):
            out.append(f"#### {item.__name__}.{name}\n\n{doc(member)}")
        elif callable(member):
            out.append(f"#### {item.__name__}.{name}\n\n```python\n{name}{signature(member)}\n```\n\n{doc(member)}")
    return out


def asgi_inner(item: type) -> set[str]:
    """What a public class has for this library alone."""
    if item is hubbub.asgi.WebSocketProtocol:
        return {name for name in vars(item) if name not in ("limits", "compression", "hub")}
    return {
        hubbub.Hub: {"adopt", "forget", "catch_up"},
        hubbub.Socket: {"end", "remember"},
        hubbub.Server: {"start"},
    }.get(item, set())


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


def main(check: bool = False) -> None:
    stale = []
    for name, text in pages().items():
        path = DOCS / name
        text = text.rstrip("\n") + "\n"
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if not check:
                path.write_text(text)
    if check and stale:
        sys.exit(f"out of date: {', '.join(stale)}; run python tools/docs.py")


if __name__ == "__main__":
    typer.run(main)
