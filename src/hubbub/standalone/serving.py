"""The standalone server: what it serves at which path, and how uvicorn runs it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import pickle
import signal
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from starlette.applications import Starlette
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from hubbub.api import Api
from hubbub.api.application import Front, health
from hubbub.api.metrics import CONTENT_TYPE
from hubbub.asgi import WebSocketProtocol
from hubbub.errors import BrokerUnavailable, HubbubError, Misuse
from hubbub.hub import Hub
from hubbub.limits import Limits
from hubbub.logs import logger
from hubbub.realtime import Realtime, Tokens
from hubbub.standalone.building import LOCAL, Parts, parts, realtime
from hubbub.standalone.configuration import Configuration
from hubbub.standalone.keyset import keep_fresh
from hubbub.standalone.page import routes as of_page
from hubbub.standalone.siblings import Siblings
from hubbub.supervision import supervise

__all__ = ["Plan", "Protocol", "application", "uvicorn_settings", "worker"]

PLAN = "HUBBUB_STANDALONE_PLAN"  # the variable with the path of what workers are made from
KEEP_ALIVE = 75  # seconds that a program's connection to the API may be idle: longer than most keep it
FAILED = 3  # the status by which uvicorn knows that other workers would fail as well
GARBAGE = 50_000  # objects until the collector looks: with its usual 700, it takes half the time that batches take
HERE = ["localhost", "127.0.0.1"]  # whom a page may take this machine for: other names could lead here by DNS


@dataclass(frozen=True, slots=True)
class Plan:
    """What each process makes its application from. Travels between processes."""

    found: Configuration
    limits: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Of hubbub's `Limits`: those that differ from what the configuration says."""
    load: Callable[[], Realtime] | None = None
    """Where the sessions are a program's own."""
    page: bool = False
    """There is a page at / that connects."""
    client: Path | None = None
    """The file with the published client for it."""
    shared: str = ""
    """A folder for what processes tell each other; "": there is one process."""
    parent: int = field(default_factory=os.getpid)
    """The server's first process: its workers end with it, even with one that is gone before they have begun."""


def uvicorn_settings(plan: Plan) -> dict[str, Any]:
    """What `uvicorn.Config` takes."""
    values = plan.found.values
    tls = "http_server.tls"
    return {
        "app": _handed_over(plan) if plan.shared else partial(application, plan),
        "factory": True,
        "lifespan": "on",
        "ws": f"{__name__}:Protocol",
        "ws_per_message_deflate": values["websocket.compression"],
        "workers": values["http_server.workers"],
        "ssl_certfile": (values[f"{tls}.cert_pem"] or None) if values[f"{tls}.enabled"] else None,
        "ssl_keyfile": (values[f"{tls}.key_pem"] or None) if values[f"{tls}.enabled"] else None,
        "access_log": False,  # URLs may hold keys
        "server_header": False,
        "timeout_keep_alive": KEEP_ALIVE,
        "timeout_graceful_shutdown": max(1, round(values["shutdown.timeout"])),
    }


def _handed_over(plan: Plan) -> str:
    """Leave the plan where workers, which are new processes, find it. Returns the name of what they call."""
    path = Path(plan.shared, "plan")
    path.write_bytes(pickle.dumps(plan))
    os.environ[PLAN] = str(path)
    return f"{__name__}:worker"


def worker() -> Any:
    """The application of a worker."""
    plan: Plan = pickle.loads(Path(os.environ[PLAN]).read_bytes())  # noqa: S301 (our own file, in a folder that only we may write to)
    try:
        return application(plan)
    except HubbubError as error:
        logger.error("this worker cannot start: %s", error)
        raise SystemExit(FAILED) from None


class Protocol(WebSocketProtocol):
    """uvicorn's WebSockets, within the bounds of the configuration. A process serves one."""

    limits: ClassVar[Limits | None] = None
    hub: ClassVar[Hub | None] = None
    _tells_of_each: ClassVar[bool] = False  # whoever connects again and again would fill the log


def application(plan: Plan) -> Any:
    """The application of this process. Raises: Misuse: it cannot be made any more, as where a key set is gone."""
    values = plan.found.values
    made = parts(plan.found)
    if made is None:
        raise Misuse(str(plan.found.mistakes[-1]))
    if made.broker == LOCAL and plan.shared:
        made.broker = f"{LOCAL}{plan.shared}/relay.sock"  # of this server's own, whatever else runs here
    limits = replace(made.limits, **plan.limits)
    rt = realtime(plan.found, made, limits) if plan.load is None else plan.load()
    Protocol.limits, Protocol.hub = limits, rt.hub
    api = None
    if not values["http_api.disabled"]:
        api = Api(
            rt,
            key=values["http_api.key"],
            insecure=values["http_api.insecure"],
            max_body=values["http_api.max_body_size"],
            prefix=values["http_api.handler_prefix"],
            transport_errors=values["http_api.error_mode"] == "transport",
        )
    siblings = Siblings(plan.shared, rt, api)
    rest = Starlette(routes=_routes(plan, rt, siblings), lifespan=_lifespan(plan, rt, made, siblings))
    served = Front(api, rest)
    return TrustedHostMiddleware(served, allowed_hosts=HERE, www_redirect=False) if plan.page else served


def _routes(plan: Plan, rt: Realtime, siblings: Siblings) -> list[BaseRoute]:
    values = plan.found.values
    path, sessions = values["websocket.handler_prefix"], rt.asgi()
    served: list[BaseRoute] = [WebSocketRoute(path, sessions), Route(path, sessions)]
    if values["health.enabled"]:
        served.append(Route(values["health.handler_prefix"], health))
    if values["prometheus.enabled"]:

        async def metrics(_: Request) -> Response:
            return Response(await siblings.page(), headers={"content-type": CONTENT_TYPE})

        served.append(Route(values["prometheus.handler_prefix"], metrics))
    return [*served, *(of_page(plan.client) if plan.page else ())]


def _lifespan(
    plan: Plan, rt: Realtime, made: Parts, siblings: Siblings
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        await siblings.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE, 20, 20)
        tasks = [
            asyncio.create_task(supervise("fetching the keys of tokens", partial(keep_fresh, url, tokens.replace_keys)))
            for url, tokens in _fetched(plan.found, made)
        ]
        tasks.append(asyncio.create_task(_join(rt)))
        if plan.shared:
            tasks.append(asyncio.create_task(_end_with(plan.parent)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await siblings.stop()
            await rt.close()

    return lifespan


async def _end_with(parent: int) -> None:
    """End when the server's first process is gone: nobody could stop this worker any more."""
    while os.getppid() == parent:  # noqa: ASYNC110 (nobody tells)
        await asyncio.sleep(1.0)
    logger.error("the parent of this worker is gone")
    signal.raise_signal(signal.SIGTERM)


async def _join(rt: Realtime) -> None:
    """Be a node among others from the start, not only when somebody connects."""
    with contextlib.suppress(BrokerUnavailable):
        await rt.info()


def _fetched(found: Configuration, made: Parts) -> list[tuple[str, Tokens]]:
    """The endpoints of key sets, and whose keys they are."""
    several = (("client.token", made.tokens), ("client.subscription_token", made.subscription_tokens))
    return [
        (url, tokens) for head, tokens in several if tokens and (url := found.values[f"{head}.jwks_public_endpoint"])
    ]
