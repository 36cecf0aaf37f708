"""The standalone server of `hubbub serve`: from the command line, variables and a file to what uvicorn runs."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hubbub import Misuse
from hubbub.cli.applications import serve_application
from hubbub.cli.options import load, set_up_logging, to_limits, to_mode
from hubbub.logs import logger
from hubbub.server import event_loop
from hubbub.server.settings import path_of
from hubbub.system import needs_unix

if TYPE_CHECKING:
    from hubbub.realtime import Realtime
    from hubbub.standalone import Configuration, Mistake

__all__ = ["is_realtime", "serve_standalone"]

KEYS = {  # of the configuration, by the option that counts more
    "host": "http_server.address",
    "port": "http_server.port",
    "workers": "http_server.workers",
    "log_level": "log.level",
    "compression": "websocket.compression",
    "broker": "broker.url",
    "ssl_certfile": "http_server.tls.cert_pem",
    "ssl_keyfile": "http_server.tls.key_pem",
    "allowed_origin": "client.allowed_origins",
    "health": "health.handler_prefix",
}
LEVELS = {"trace": "debug", "warn": "warning", "fatal": "critical", "none": "critical"}  # as Centrifugo calls them


def is_realtime(target: str) -> bool:
    """Whether it names sessions of a program. Raises: Misuse: it names nothing."""
    found = load(target)[1]
    if "hubbub.realtime" not in sys.modules:
        return False
    from hubbub.realtime import Realtime

    return isinstance(found, Realtime)


def serve_standalone(target: str | None, chosen: Mapping[str, Any]) -> None:
    """Serve it, or judge its configuration.

    Args:
        target: `module:name` of sessions; None: those that the configuration says.
        chosen: what was said on the command line, by the option.
    """
    try:
        from hubbub.standalone import DEV, configuration, notes, parts
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "hubbub":
            raise
        raise Misuse(f"the standalone server needs {package}: pip install 'hubbub[standalone]'") from None
    options = _options(target, chosen)
    dev, checking = bool(chosen.get("dev")), bool(chosen.get("check"))
    found = configuration(chosen.get("config"), os.environ, options, DEV if dev else {})
    logging.disable(logging.NOTSET if checking else logging.WARNING)  # each process says it again when it serves
    parts(found, fetched=False)
    logging.disable(logging.NOTSET)
    if checking:
        _tell(found, [] if found.mistakes else notes(found))
    for mistake in () if checking else found.mistakes:
        typer.echo(f"hubbub: {mistake}", err=True)
    if found.mistakes:
        raise typer.Exit(1)
    if not checking:
        _serve(target, chosen, found, dev)


def _options(target: str | None, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What of the command line stands for keys of the configuration. Raises: Misuse: it goes with something else."""
    if "hub" in chosen:
        raise Misuse("--hub goes with a Handler: the standalone server has a hub of its own")
    options: dict[str, Any] = {KEYS[name]: _value(value) for name, value in chosen.items() if name in KEYS}
    if "ssl_certfile" in chosen:
        options["http_server.tls.enabled"] = True
    elif "ssl_keyfile" in chosen:
        raise Misuse("--ssl-keyfile goes with --ssl-certfile: with a key alone nothing would be encrypted")
    if options.get("health.handler_prefix") == "":
        del options["health.handler_prefix"]
        options["health.enabled"] = False
    if target is not None and "allowed_origin" in chosen:
        raise Misuse(f"the sessions of {target} have origins of their own: Realtime(allowed_origins=...)")
    return options


def _tell(found: Configuration, noted: Sequence[Mistake]) -> None:
    """What `--check` says."""
    for word, several in (("ignored", found.ignored), ("note", noted), ("mistake", found.mistakes)):
        for one in several:
            typer.echo(f"{word}: {one}")
    if not found.mistakes:
        named = len(found.namespaces) - 1
        typer.echo(f"no mistakes: {len(found.given)} keys, {named} namespace{'' if named == 1 else 's'}")


def _serve(target: str | None, chosen: Mapping[str, Any], found: Configuration, dev: bool) -> None:
    from hubbub.standalone import Plan, client_file, is_loopback, notes, uvicorn_settings

    values = found.values
    address, port, workers = (values[f"http_server.{name}"] for name in ("address", "port", "workers"))
    if dev and (workers > 1 or not is_loopback(address)):
        raise Misuse("--dev lets everybody in: it is one worker, for this machine alone, such as --host 127.0.0.1")
    if target is not None and workers > 1 and not _loaded(target).hub._spans:
        raise Misuse(
            f"the sessions of {target} live in one process: --broker local:, or Realtime(broker=...), joins several"
        )
    if workers > 1:
        needs_unix("several workers", "one serves, and --broker redis:// or nats:// joins several machines")
    level = str(LEVELS.get(values["log.level"], values["log.level"]))
    logging_settings = set_up_logging(level)
    event_loop(chosen.get("loop", "auto"))  # or refuse
    noted = [note for note in notes(found) if target is None or not note.key.startswith("client.")]
    for said in (*found.ignored, *noted):
        logger.warning("%s", said)
    limit: list[str] = chosen.get("limit") or []
    limits = to_limits(limit)
    shared = tempfile.mkdtemp(prefix="hubbub-") if workers > 1 else ""
    plan = Plan(
        found,
        limits={name: getattr(limits, name) for name in (one.partition("=")[0] for one in limit)},
        load=None if target is None else partial(_loaded, target),
        page=dev,
        client=client_file() if dev else None,
        shared=shared,
    )
    settings = uvicorn_settings(plan) | {
        "loop": chosen.get("loop", "auto"),
        "log_config": logging_settings,
        "log_level": level,
    }
    if dev:
        logger.info("everything is allowed, to this machine alone; at / there is a page that connects")
    try:
        serve_application(settings, address, port, path_of(chosen.get("uds")), to_mode(chosen.get("uds_mode", "666")))
    finally:
        if shared:
            shutil.rmtree(shared, ignore_errors=True)


def _loaded(target: str) -> Realtime:
    found: Realtime = load(target)[1]
    return found


def _value(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
