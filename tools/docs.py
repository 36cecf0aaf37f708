"""Writes the pages of the docs that follow from the code: the reference, the command line, the configuration.

python tools/docs.py          write them
python tools/docs.py --check  exit with 1 if one of them is out of date
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from reference import described, documented, reference
from typer.main import get_command

import hubbub
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
MADE = "<!-- Written by tools/docs.py from the code: change the docstrings, then run it. -->\n"


def pages() -> dict[str, str]:
    """Every page by its name."""
    return {
        **{name: f"{MADE}\n{text}" for name, text in reference().items()},
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
    parts = [MADE, "# The command line\n", documented(root.callback)]
    for name, command in sorted(root.commands.items()):  # type: ignore[attr-defined]
        arguments = [param for param in command.params if param.param_type_name == "argument"]
        usage = " ".join([f"hubbub {name}", "[OPTIONS]", *(param.name.upper() for param in arguments)])
        parts += [f"## hubbub {name}\n", f"```\n{usage}\n```\n", documented(command.callback)]
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
