"""`hubbub serve`: a Handler, an ASGI application or real-time sessions from a module; or the standalone server."""

from __future__ import annotations

import asyncio
import inspect
import os
import ssl as tls
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from hubbub import Deflate, Handler, Hub, Limits, Misuse, run
from hubbub.cli.applications import judge_application, serve_application
from hubbub.cli.options import Host, LogLevel, Port, load, set_up_logging, to_limits, to_mode, was_given
from hubbub.cli.reload import serve_again_and_again
from hubbub.cli.standalone import is_realtime, serve_standalone
from hubbub.server import Loop, event_loop
from hubbub.server.settings import path_of
from hubbub.system import allow_descriptors
from hubbub.wire import Origins

__all__ = ["serve"]


def serve(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(
            envvar="HUBBUB_TARGET",
            show_default=False,
            help="`module:name` of a Handler class, of an ASGI application, or of a Realtime. Left out: the standalone"
            " server.",
        ),
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 4545,
    uds: Annotated[
        str | None, typer.Option(envvar="HUBBUB_UDS", help="Listen on this Unix socket instead of a port.")
    ] = None,
    uds_mode: Annotated[
        str,
        typer.Option(envvar="HUBBUB_UDS_MODE", metavar="OCTAL", help="Who may connect to it, as a file's permissions."),
    ] = "666",
    hub: Annotated[
        str | None,
        typer.Option(envvar="HUBBUB_HUB", help="`module:name` of the hub; left out, `hub` of the same module if any."),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(envvar="HUBBUB_WORKERS", min=1, help="Processes. A hub with members in several needs a broker."),
    ] = 1,
    loop: Annotated[str, typer.Option(envvar="HUBBUB_LOOP", help="Event loop: auto, uvloop or asyncio.")] = "auto",
    ssl_certfile: Annotated[
        Path | None, typer.Option(envvar="HUBBUB_SSL_CERTFILE", exists=True, help="Certificate chain (PEM), for TLS.")
    ] = None,
    ssl_keyfile: Annotated[
        Path | None, typer.Option(envvar="HUBBUB_SSL_KEYFILE", exists=True, help="Its private key, if not in there.")
    ] = None,
    compression: Annotated[
        bool, typer.Option(envvar="HUBBUB_COMPRESSION", help="Accept permessage-deflate. Costs memory and CPU.")
    ] = False,
    allowed_origin: Annotated[
        list[str] | None,
        typer.Option(
            envvar="HUBBUB_ALLOWED_ORIGIN",
            metavar="ORIGIN",
            help="Sites whose pages may connect, such as https://example.com; repeat it for several. Left out: all,"
            " and with the standalone server those of its own host.",
        ),
    ] = None,
    health: Annotated[
        str,
        typer.Option(
            envvar="HUBBUB_HEALTH",
            metavar="PATH",
            help='Where plain HTTP requests are told that the server works; "" for nowhere.',
        ),
    ] = "/health",
    limit: Annotated[
        list[str] | None,
        typer.Option(envvar="HUBBUB_LIMIT", metavar="NAME=VALUE", help="One of hubbub.Limits; repeat it for several."),
    ] = None,
    log_level: LogLevel = "info",
    config: Annotated[
        Path | None,
        typer.Option(envvar="HUBBUB_CONFIG", exists=True, dir_okay=False, help="Standalone: its file, TOML or JSON."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", envvar="HUBBUB_CHECK", help="Standalone: judge the configuration, and stop.")
    ] = False,
    dev: Annotated[
        bool,
        typer.Option("--dev", envvar="HUBBUB_DEV", help="Standalone: all is allowed, to this machine; with a page."),
    ] = False,
    broker: Annotated[
        str | None,
        typer.Option(envvar="HUBBUB_BROKER", metavar="URL", help="What joins processes: of hubs that have none."),
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", envvar="HUBBUB_RELOAD", help="Start again whenever a Python file here changes.")
    ] = False,
) -> None:
    """Serve real-time sessions, a Handler class or an ASGI application until Ctrl+C, then stop in good order.

    Without a target it is the standalone server, for Centrifuge clients, with an HTTP API. A Handler runs on the bare
    server, an ASGI application (FastAPI, Starlette, Django, Litestar, Quart) on uvicorn with hubbub as its WebSocket
    implementation. A second Ctrl+C exits at once.

    * `hubbub serve --dev` is a server to try things with, on this machine alone.
    * `hubbub serve --config hubbub.toml --check` says what is wrong with a configuration.
    * `hubbub serve chat:Chat` serves the class `Chat` in chat.py; with `--reload` as it is after each change.
    * `hubbub serve shop.main:app --port 8000 --workers 2` serves an application in two processes.
    * `hubbub serve chat:Chat --limit max_message_size=65536 --limit ping_interval=10` sets bounds.
    """
    if reload:
        raise typer.Exit(serve_again_and_again(sys.argv[1:], [config] if config else []))
    allow_descriptors()
    os.environ |= {"HUBBUB_BROKER": broker} if target and broker else {}  # for the hubs of the module
    if target is None or is_realtime(target):
        chosen = {name: value for name, value in context.params.items() if was_given(context, name)}
        return serve_standalone(target, chosen)
    if config or check or dev:
        raise Misuse(f"--config, --check and --dev are for the standalone server: leave out {target}")
    logging_settings = set_up_logging(log_level)
    mode = to_mode(uds_mode)
    limits = to_limits(limit or [])
    chosen_loop = cast("Loop", loop)
    event_loop(chosen_loop)  # or refuse, whatever is served
    certificate = _tls_context(ssl_certfile, ssl_keyfile)
    module, found = load(target)
    if inspect.isclass(found) and issubclass(found, Handler):
        run(
            found,
            host=host,
            port=None if uds else port,
            uds=uds,
            uds_mode=mode,
            hub=_hub(hub, module),
            ssl=certificate,
            workers=workers,
            limits=limits,
            compression=Deflate() if compression else None,
            allowed_origins=allowed_origin,
            health=health or None,
            loop=chosen_loop,
        )
    else:
        judge_application(target, found)
        if was_given(context, "health"):
            raise Misuse(f"--health is for a Handler: {target} answers at paths of its own")
        settings: dict[str, Any] = {
            "app": target,
            "ws": _protocol(limits, allowed_origin, workers),
            "ws_per_message_deflate": compression,
            "workers": workers,
            "loop": loop,
            "ssl_certfile": ssl_certfile,
            "ssl_keyfile": ssl_keyfile,
            "log_config": logging_settings,
            "log_level": log_level,
        }
        serve_application(settings, host, port, path_of(uds), mode)


def _tls_context(certificate: Path | None, key: Path | None) -> tls.SSLContext | None:
    if certificate is None:
        if key is not None:
            raise Misuse("--ssl-keyfile goes with --ssl-certfile: with a key alone nothing would be encrypted")
        return None
    context = tls.create_default_context(tls.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except tls.SSLError as error:
        files = f"{certificate} and {key}" if key else f"{certificate} alone"
        raise Misuse(f"{files}: no certificate with its private key ({error})") from None
    return context


def _protocol(limits: Limits | None, origins: list[str] | None, workers: int) -> type[asyncio.Protocol] | str:
    from hubbub.asgi import WebSocketProtocol  # late: it refuses to start where HUBBUB_NATIVE says so

    if limits is None and origins is None:
        return "hubbub.asgi:WebSocketProtocol"
    if workers > 1:  # each is a new process, which finds classes by name only
        raise Misuse(
            "limits and allowed origins of an application with several workers: set them in a subclass of"
            " WebSocketProtocol"
        )
    if origins is not None:
        Origins(origins)  # or refuse
    return type("WebSocketProtocol", (WebSocketProtocol,), {"limits": limits, "allowed_origins": origins})


def _hub(named: str | None, module: Any) -> Hub | None:
    found: Any = load(named)[1] if named else getattr(module, "hub", None)
    if named and not isinstance(found, Hub):
        raise Misuse(f"{named} is not a Hub, but {found!r}")
    return cast("Hub", found) if isinstance(found, Hub) else None
