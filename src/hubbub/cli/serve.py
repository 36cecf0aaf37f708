"""`hubbub serve`: a Handler, or an ASGI application, from a module."""

from __future__ import annotations

import asyncio
import inspect
import ssl as tls
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn

from hubbub import Deflate, Handler, Hub, Limits, Misuse, run
from hubbub.cli.options import Host, LogLevel, Port, load, set_up_logging, to_limits
from hubbub.server import event_loop

__all__ = ["serve"]


def serve(
    target: Annotated[
        str, typer.Argument(envvar="HUBBUB_TARGET", help="`module:name` of a Handler class or of an ASGI application.")
    ],
    host: Host = "127.0.0.1",
    port: Port = 4545,
    uds: Annotated[
        str | None, typer.Option(envvar="HUBBUB_UDS", help="Listen on this Unix socket instead of a port.")
    ] = None,
    hub: Annotated[
        str | None,
        typer.Option(envvar="HUBBUB_HUB", help="`module:name` of the hub; left out, `hub` of the same module if any."),
    ] = None,
    workers: Annotated[
        int, typer.Option(envvar="HUBBUB_WORKERS", min=1, help="Processes. A hub's channels live in one of them.")
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
    limit: Annotated[
        list[str] | None,
        typer.Option(envvar="HUBBUB_LIMIT", metavar="NAME=VALUE", help="One of hubbub.Limits; repeat it for several."),
    ] = None,
    log_level: LogLevel = "info",
) -> None:
    """Serve a Handler class or an ASGI application until Ctrl+C, then stop in good order.

    A Handler runs on the bare server, an ASGI application (FastAPI, Starlette, Django, Litestar, Quart) on uvicorn
    with hubbub as its WebSocket implementation. A second Ctrl+C exits at once.

    * `hubbub serve chat:Chat` serves the class `Chat` in chat.py.
    * `hubbub serve shop.main:app --port 8000 --workers 2` serves an application in two processes.
    * `hubbub serve chat:Chat --limit max_message_size=65536 --limit ping_interval=10` sets bounds.
    """
    set_up_logging(log_level)
    limits = to_limits(limit or [])
    event_loop(loop)  # or refuse, whatever is served
    context = _tls_context(ssl_certfile, ssl_keyfile)
    module, found = load(target)
    if inspect.isclass(found) and issubclass(found, Handler):
        run(
            found,
            host=host,
            port=None if uds else port,
            uds=uds,
            hub=_hub(hub, module, workers),
            ssl=context,
            workers=workers,
            limits=limits,
            compression=Deflate() if compression else None,
            loop=loop,
        )
    elif callable(found):
        uvicorn.run(
            target,
            host=host,
            port=port,
            uds=uds,
            ws=_protocol(limits, workers),
            ws_per_message_deflate=compression,
            workers=workers,
            loop=loop,
            ssl_certfile=ssl_certfile,
            ssl_keyfile=ssl_keyfile,
            log_level=log_level,
        )
    else:
        raise Misuse(f"{target} is neither a Handler class nor an ASGI application, but {found!r}")


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


def _protocol(limits: Limits | None, workers: int) -> type[asyncio.Protocol] | str:
    from hubbub.asgi import WebSocketProtocol  # late: it refuses to start where HUBBUB_NATIVE says so

    if limits is None:
        return "hubbub.asgi:WebSocketProtocol"
    if workers > 1:  # each is a new process, which finds classes by name only
        raise Misuse("limits of an application with several workers: set them in a subclass of WebSocketProtocol")
    return type("WebSocketProtocol", (WebSocketProtocol,), {"limits": limits})


def _hub(named: str | None, module: Any, workers: int) -> Hub | None:
    found = load(named)[1] if named else getattr(module, "hub", None)
    if named and not isinstance(found, Hub):
        raise Misuse(f"{named} is not a Hub, but {found!r}")
    if isinstance(found, Hub) and workers == 1:
        return found
    if isinstance(found, Hub):
        raise Misuse("a hub's channels live in one process: leave out --workers, or serve a Handler without a hub")
    return None
