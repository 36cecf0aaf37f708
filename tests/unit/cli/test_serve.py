"""What `hubbub serve` takes for what, and what it says of everything else."""

from __future__ import annotations

import functools
import json
import logging
import os
from typing import Any

import pytest
from starlette.applications import Starlette

import hubbub
from hubbub.cli.applications import judge_application
from hubbub.cli.serve import _protocol
from hubbub.cli.standalone import _options


async def application(scope: Any, receive: Any, send: Any) -> None: ...


class Application:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class OldApplication:
    def __init__(self, scope: Any) -> None: ...
    async def __call__(self, receive: Any, send: Any) -> None: ...


class Chat(hubbub.Handler):
    pass


def wsgi(environ: Any, start_response: Any) -> Any: ...


def make_application(debug: bool = False) -> Any: ...


APPLICATIONS = [application, Application(), Application().__call__, OldApplication, Starlette(), lambda *given: None,
                functools.partial(application), functools.wraps(application)(lambda *given: None)]  # fmt: skip


@pytest.mark.parametrize("found", APPLICATIONS, ids=range(len(APPLICATIONS)))
def test_an_application_is_taken_for_one(found: Any) -> None:
    judge_application("x:C", found)


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        (json, "x:C is neither a Handler class nor an ASGI application, but a module"),
        (3, "nor an ASGI application, but an object of type int"),
        (wsgi, "nor an ASGI application, but a function$"),
        (os.getcwd, "but a function. If it makes an application, name what it makes"),
        (make_application, "but a function. If it makes an application"),
        (Application, "but the class Application, which is not derived from hubbub.Handler. If it makes"),
        (logging.Handler, "but the class Handler, which is not derived from hubbub.Handler"),
        (Chat(), "x:C is a handler, and each connection needs its own: name the class Chat"),
        (hubbub.Hub(), "x:C is a Hub: name the Handler class that is to be served, and the hub with --hub x:C"),
    ],
)  # fmt: skip
def test_what_is_neither_is_called_what_it_is(found: Any, complaint: str) -> None:
    with pytest.raises(hubbub.Misuse, match=complaint):
        judge_application("x:C", found)


def test_origins_are_those_of_what_is_served() -> None:
    origins = ["https://a.example"]
    made: Any = _protocol(None, origins, 1)
    assert (made.limits, made.allowed_origins) == (None, origins)
    assert _protocol(None, None, 2) == "hubbub.asgi:WebSocketProtocol"
    with pytest.raises(hubbub.Misuse, match="set them in a subclass"):
        _protocol(None, origins, 2)
    assert _options(None, {"allowed_origin": origins}) == {"client.allowed_origins": origins}
    with pytest.raises(hubbub.Misuse, match=r"Realtime\(allowed_origins"):
        _options("chat:rt", {"allowed_origin": origins})


def test_the_path_of_health_is_a_key_of_the_standalone_server() -> None:
    assert _options(None, {"health": "/live"}) == {"health.handler_prefix": "/live"}
    assert _options(None, {"health": ""}) == {"health.enabled": False}
