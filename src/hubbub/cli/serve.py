"""`hubbub serve`: a Handler, or an ASGI application, from a module."""

from __future__ import annotations

import asyncio
import inspect
import signal
import ssl as tls
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn

from hubbub import Deflate, Handler, Hub, Limits, Misuse, native, run
from hubbub.cli.options import Host, LogLevel, Port, load, set_up_logging, to_limits, to_mode
from hubbub.logs import logger
from hubbub.server import event_loop
from hubbub.server.listener import SocketFile, bind_tcp, bind_unix
from hubbub.server.settings import hosts_of, path_of

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
    logging_settings = set_up_logging(log_level)
    mode = to_mode(uds_mode)
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
            uds_mode=mode,
            hub=_hub(hub, module),
            ssl=context,
            workers=workers,
            limits=limits,
            compression=Deflate() if compression else None,
            loop=loop,
        )
    elif callable(found):
        settings: dict[str, Any] = {
            "app": target,
            "ws": _protocol(limits, workers),
            "ws_per_message_deflate": compression,
            "workers": workers,
            "loop": loop,
            "ssl_certfile": ssl_certfile,
            "ssl_keyfile": ssl_keyfile,
            "log_config": logging_settings,
            "log_level": log_level,
        }
        _serve_application(settings, host, port, path_of(uds), mode)
    else:
        raise Misuse(f"{target} is neither a Handler class nor an ASGI application, but {found!r}")


def _serve_application(settings: dict[str, Any], host: str, port: int, path: str | None, mode: int) -> None:
    """What `uvicorn.run` does, on sockets of our own: with our errors, and permissions that one chooses."""
    if path is None:
        sockets, file = [bound for name in hosts_of(host) for bound in bind_tcp(name, port)], None
        where = f"http{'s' if settings['ssl_certfile'] else ''}://{host}:{sockets[0].getsockname()[1]}"
    else:
        sockets, file = [bind_unix(path, mode)], SocketFile(path)
        where = f"unix:{path}"
    for number in (signal.SIGTERM, signal.SIGINT):  # at the end uvicorn raises the one that it got
        signal.signal(number, _end)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, as it may be inherited, it tells of no worker's end
    try:
        if settings["workers"] == 1:
            server = _Server(uvicorn.Config(**settings), where)
            server.run(sockets=sockets)
            if not server.started:
                sys.exit(3)  # as uvicorn does: the application did not start
        elif path is not None:
            uvicorn.run(**settings, fd=sockets[0].fileno())
        else:
            for bound in sockets:  # it was only to be seen that they can be had
                bound.close()
            uvicorn.run(**settings, host=host, port=port)
    finally:
        if file is not None:
            file.remove()


def _end(_number: int, _frame: object) -> None:
    """The server has stopped in good order, as it was told to."""
    raise SystemExit(0)


class _Server(uvicorn.Server):
    """uvicorn that says when it listens, and with what."""

    def __init__(self, config: uvicorn.Config, where: str) -> None:
        super().__init__(config)
        self._where = where

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
            logger.info("listening on %s (uvicorn, %s, %s)", self._where, loop, native.describe())


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


def _hub(named: str | None, module: Any) -> Hub | None:
    found = load(named)[1] if named else getattr(module, "hub", None)
    if named and not isinstance(found, Hub):
        raise Misuse(f"{named} is not a Hub, but {found!r}")
    return found if isinstance(found, Hub) else None
