"""ASGI applications on uvicorn, in one process or several."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import signal
import sys
from typing import Any

import uvicorn

from hubbub import Handler, Hub, Misuse, native
from hubbub.logs import logger
from hubbub.server.listener import SocketFile, bind_tcp, bind_unix
from hubbub.server.settings import hosts_of

__all__ = ["serve_application"]


def judge_application(target: str, found: Any) -> None:
    """Raises: Misuse: it is no ASGI application, as far as one can see; it says what it is."""
    arguments = 3
    if inspect.isclass(found):
        what = f"the class {found.__name__}, which is not derived from hubbub.Handler"
        arguments = 1 if any("__call__" in vars(base) for base in found.__mro__) else 3  # as of ASGI 2
    elif inspect.isroutine(found):
        what = "a function"
    elif isinstance(found, Handler):
        raise Misuse(f"{target} is a handler, and each connection needs its own: name the class {type(found).__name__}")
    elif isinstance(found, Hub):
        raise Misuse(f"{target} is a Hub: name the Handler class that is to be served, and the hub with --hub {target}")
    else:
        what = "a module" if inspect.ismodule(found) else f"an object of type {type(found).__name__}"
    if callable(found):
        try:
            inspect.signature(found).bind(*range(arguments))
            return
        except TypeError:  # it takes other arguments
            with contextlib.suppress(TypeError):
                inspect.signature(found).bind()
                what += ". If it makes an application, name what it makes"
        except ValueError:  # nobody knows which
            return
    raise Misuse(f"{target} is neither a Handler class nor an ASGI application, but {what}")


def serve_application(settings: dict[str, Any], host: str, port: int, path: str | None, mode: int) -> None:
    """What `uvicorn.run` does, on sockets of our own: with our errors, and permissions that one chooses."""
    if path is None:
        sockets, file = [bound for name in hosts_of(host) for bound in bind_tcp(name, port)], None
        where = f"http{'s' if settings['ssl_certfile'] else ''}://{host}:{sockets[0].getsockname()[1]}"
    else:
        sockets, file = [bind_unix(path, mode)], SocketFile(path)
        where = f"unix:{path}"
    for number in (signal.SIGTERM, signal.SIGINT):  # at the end uvicorn raises the one that it got
        signal.signal(number, _end)
    if sys.platform != "win32":
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
