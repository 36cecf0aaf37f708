"""`hubbub doctor`: what this installation and this machine are, and what to change."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from hubbub import Misuse, __version__, native
from hubbub.cli.broker import examine
from hubbub.hub import cores
from hubbub.hub.statistics import fanout
from hubbub.server import event_loop
from hubbub.system import descriptors

__all__ = ["Finding", "doctor", "findings"]

COMPILE = (
    "broadcasts cost several times as much, on one core: install a C compiler and Python's headers (Debian: gcc"
    " python3-dev), then hubbub once more, with"
    " pip install --force-reinstall --no-cache-dir --no-deps --no-binary hubbub hubbub"
)
ENOUGH_DESCRIPTORS = 65_536  # each connection takes one; what NATS allows by default
UNWRAPPED = 1000  # columns: a finding is one line where there is no terminal
ENOUGH_BACKLOG = 4096  # what the listener asks for


class Finding(NamedTuple):
    """One line of the report; advice only where something should change."""

    name: str
    value: str
    advice: str = ""


def findings() -> Iterator[Finding]:
    """Everything that doctor looks at."""
    yield Finding("hubbub", __version__)
    yield Finding("Python", f"{platform.python_implementation()} {platform.python_version()}")
    yield _event_loop()
    yield from _native()
    yield _writers()
    for package, what in (
        ("uvicorn", "serving ASGI applications"),
        ("websockets", "hubbub connect"),
        ("msgspec", "JSON"),
    ):
        yield _package(package, what)
    yield Finding("machine", f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} CPUs")
    yield _descriptors()
    yield from _kernel()


def doctor(
    as_json: Annotated[bool, typer.Option("--json", envvar="HUBBUB_JSON", help="Print JSON, for programs.")] = False,
    broker: Annotated[
        str, typer.Option(envvar="HUBBUB_BROKER", metavar="URL", help="Connect to this broker as well, and look at it.")
    ] = "",
) -> None:
    """Show versions, the event loop, the compiled part and the machine's limits, with advice; and a broker's state.

    Ends with status 1 if there is a broker and it cannot be used.
    """
    found = list(findings())
    checks = examine(broker) if broker else []
    found += [Finding(check.name, check.value, check.advice) for check in checks]
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in found], indent=2))
    else:
        table = Table(box=None, pad_edge=False, show_header=False)
        for finding in found:
            mark = "[yellow]![/]" if finding.advice else "[green]✓[/]"
            table.add_row(mark, f"[bold]{finding.name}[/]", finding.value)
            if finding.advice:
                table.add_row("", "", f"[yellow]{finding.advice}[/]")
        Console(highlight=False, width=None if sys.stdout.isatty() else UNWRAPPED).print(table)
    if any(check.fatal for check in checks):
        raise typer.Exit(1)


def _event_loop() -> Finding:
    try:
        event_loop("uvloop")
    except Misuse:
        advice = "pip install uvloop: writing costs about half as much with it"
        return Finding("event loop", "asyncio", "" if fanout is not None else advice)
    return Finding("event loop", f"uvloop {metadata.version('uvloop')}")


def _native() -> Iterator[Finding]:
    try:
        parts = native.parts()
    except Misuse as error:
        yield Finding("compiled core", "refused", str(error))
        return
    wanting = not native.active() and os.environ.get("HUBBUB_NATIVE") != "0" and sys.platform != "win32"
    for part, shown in parts.items():
        yield Finding(part, shown, COMPILE if wanting and part == "fan-out" else "")


def _writers() -> Finding:
    if fanout is None:
        return Finding("writers", "the event loop alone, on one core")
    return Finding("writers", f"at most {cores()} for a hub: one for each core that this process may use")


def _package(name: str, what: str) -> Finding:
    try:
        return Finding(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, "not installed", f"pip install 'hubbub[serve]', for {what}")


def _descriptors() -> Finding:
    soft, hard = descriptors()
    if soft >= ENOUGH_DESCRIPTORS:
        return Finding("connections", f"{_count(soft)} descriptors a process (at most {_count(hard)})")
    shown = f"{_count(soft)} descriptors a process; hubbub.run and hubbub serve allow themselves {_count(hard)}"
    more = f"`ulimit -n {ENOUGH_DESCRIPTORS}`, or LimitNOFILE={ENOUGH_DESCRIPTORS} for systemd"
    if hard >= ENOUGH_DESCRIPTORS:
        return Finding("connections", shown, f"each connection takes one: where another program serves, {more}")
    return Finding("connections", shown, f"each connection takes one: {more}")


def _kernel() -> Iterator[Finding]:
    waiting = _sysctl("net/core/somaxconn")
    if waiting is not None:
        low = int(waiting) < ENOUGH_BACKLOG
        yield Finding(
            "accept queue",
            f"{waiting} connections",
            f"a rush of clients overflows it: sysctl -w net.core.somaxconn={ENOUGH_BACKLOG}" if low else "",
        )
    ports = _sysctl("net/ipv4/ip_local_port_range")
    if ports is not None:
        first, last = map(int, ports.split())
        yield Finding("local ports", f"{first} to {last}, so many connections from one proxy or load generator")


def _sysctl(name: str) -> str | None:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return None


def _count(number: float) -> str:
    return "unlimited" if number == math.inf else f"{number:,}"
