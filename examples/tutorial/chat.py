"""The chat of the tutorial, with names, history, presence, and a page.

Run it here: CHAT_SECRET=$(openssl rand -hex 32) hubbub serve chat:app, and open http://127.0.0.1:4545/tea?name=Ann
"""

from dataclasses import dataclass
from os import environ

from starlette.applications import Starlette
from starlette.responses import FileResponse, PlainTextResponse
from starlette.routing import Mount, Route

from hubbub.realtime import Client, History, Namespace, Realtime, Tokens

tokens = Tokens(hmac=environ["CHAT_SECRET"])
rooms = Namespace(
    history=History(100, ttl=86400),  # the latest 100 lines of each room are kept, for a day
    force_recovery=True,  # who comes back gets exactly what it missed
    allow_history_for_subscriber=True,  # who is new may ask for what is kept
    presence=True,  # the server knows who is here
    allow_presence_for_subscriber=True,  # and says so
    join_leave=True,  # and tells who comes and goes
    force_push_join_leave=True,
)
rt = Realtime(tokens=tokens, namespaces={"chat": rooms})


@dataclass
class Line:
    text: str


@rt.on_subscribe("chat:*")
def subscribe(client: Client, channel: str) -> None:
    """Whoever has a token may come; raise Denied for who may not."""


@rt.on_publish("chat:*")
def say(client: Client, channel: str, line: Line) -> Line:
    return Line(line.text.strip()[:500])


async def page(request):
    return FileResponse("chat.html")


async def token(request):
    """Here an application checks a password or a cookie, and does not believe whoever asks."""
    return PlainTextResponse(tokens.make(request.query_params["name"], ttl=3600))


sessions = Mount("/connection", rt.asgi())
app = Starlette(routes=[sessions, Route("/token", token), Route("/{room}", page)])
