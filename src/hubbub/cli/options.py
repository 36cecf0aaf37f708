"""Options that several commands share, and how their values become settings."""

from __future__ import annotations

import importlib
import logging
import logging.config
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from hubbub import Limits, Misuse
from hubbub.logs import PLAIN, printable

__all__ = [
    "Host",
    "LogLevel",
    "Port",
    "by_line",
    "load",
    "pass_over_kubernetes",
    "set_up_logging",
    "to_headers",
    "to_limits",
    "to_mode",
    "was_given",
]

Host = Annotated[str, typer.Option(envvar="HUBBUB_HOST", help="Address to listen on; 0.0.0.0 for all of IPv4.")]
Port = Annotated[int, typer.Option(envvar="HUBBUB_PORT", min=0, max=65535, help="TCP port; 0 for any free one.")]
LogLevel = Annotated[
    str, typer.Option(envvar="HUBBUB_LOG_LEVEL", help="debug, info, warning or error.", metavar="LEVEL")
]


def by_line(context: typer.Context, option: typer.CallbackParam, values: list[str] | None) -> list[str] | None:
    """Callback of options that are repeated and may hold spaces: each line of their variable is one value."""
    source = context.get_parameter_source(str(option.name))
    if source is None or source.name != "ENVIRONMENT":
        return values
    return [line for line in os.environ[str(option.envvar)].splitlines() if line.strip()]


def was_given(context: typer.Context, option: str) -> bool:
    """Whether somebody has chosen it, on the command line or by its variable."""
    source = context.get_parameter_source(option)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def set_up_logging(level: str) -> dict[str, Any]:
    """Log to stdout: in colours on a terminal, else a plain line for each record, with date and time.

    Returns: the settings, for processes that set theirs up anew. Raises: typer.BadParameter: no such level.
    """
    if level.upper() not in logging.getLevelNamesMapping():
        raise typer.BadParameter(f"no log level {level!r}: choose debug, info, warning or error")
    handler: dict[str, Any] = {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}
    shape = PLAIN
    if sys.stdout.isatty():
        handler = {"class": "rich.logging.RichHandler", "show_path": False, "omit_repeated_times": False}
        handler["log_time_format"], shape = "[%X]", "%(message)s"
    settings: dict[str, Any] = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"format": shape}},
        "handlers": {"screen": {"formatter": "lines", **handler}},
        "root": {"level": level.upper(), "handlers": ["screen"]},
    }
    logging.config.dictConfig(settings)
    logging.getLogger("uvicorn.error").name = "uvicorn"  # most of what it says is no error
    return settings


def pass_over_kubernetes() -> None:
    """Forget the variable that Kubernetes sets in every pod beside a service named "hubbub", and say so.

    Of those that it sets (HUBBUB_PORT, HUBBUB_SERVICE_HOST, HUBBUB_PORT_4545_TCP ...) only this one has the name of an
    option.
    """
    if "://" in (address := os.environ.get("HUBBUB_PORT", "")):
        del os.environ["HUBBUB_PORT"]
        typer.echo(
            f"hubbub: HUBBUB_PORT={printable(address)} is no port, but what Kubernetes sets: passed over", err=True
        )


def to_mode(octal: str) -> int:
    """Permissions of a file. Raises: typer.BadParameter."""
    try:
        mode = int(octal, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise typer.BadParameter(f"permissions are three octal digits, such as 660, not {octal!r}")
    return mode


def load(target: str) -> tuple[Any, Any]:
    """The module and the object that `module:name` means, looked for in the current directory first.

    Raises: Misuse: there is no such thing; its text says what is there.
    """
    module_name, colon, name = target.partition(":")
    if not (module_name and colon and name):
        raise Misuse(f"{target!r} is not of the form module:name, such as chat:Chat for the class Chat in chat.py")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # it is there, and imports what is not
        raise Misuse(f"no module {module_name!r} in {here} or among the installed packages") from None
    try:
        return module, getattr(module, name)
    except AttributeError:
        public = ", ".join(sorted(n for n in vars(module) if not n.startswith("_"))) or "nothing"
        raise Misuse(f"module {module_name!r} has no {name!r}; it has {public}") from None


def to_limits(settings: list[str]) -> Limits | None:
    """Limits from `name=value` settings; None if there are none. Raises: typer.BadParameter."""
    if not settings:
        return None
    known = {field.name: str(field.type) for field in fields(Limits)}
    chosen: dict[str, Any] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in known:
            raise typer.BadParameter(f"no limit {name!r}: choose among {', '.join(known)}")
        try:
            if value == "none" and "None" in known[name]:
                chosen[name] = None
            else:
                chosen[name] = float(value) if "float" in known[name] else int(value)
        except ValueError:
            raise typer.BadParameter(f"limit {name} is a number ({known[name]}), not {value!r}") from None
    return Limits(**chosen)


def to_headers(lines: list[str]) -> list[tuple[str, str]]:
    """Names and values. Raises: typer.BadParameter."""
    headers: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise typer.BadParameter(f"a header is 'Name: value', not {line!r}")
        headers.append((name.strip(), value.strip()))
    return headers
