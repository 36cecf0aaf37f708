"""A chat with names, who is here, and what was said before: sessions of the Centrifuge protocol inside FastAPI.

First: npm install centrifuge; export CHAT_SECRET=$(openssl rand -hex 32) HUBBUB_BROKER=sqlite:chat.db
Run it: uvicorn examples.realtime_chat:app --ws hubbub.asgi:WebSocketProtocol
Then open http://127.0.0.1:8000/?name=Ann in a tab, and another name in another.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from os import environ

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from hubbub.realtime import Client, History, Namespace, Realtime, Tokens

tokens = Tokens(hmac=environ.get("CHAT_SECRET") or secrets.token_hex(32))
rooms = Namespace(presence=True, allow_presence_for_subscriber=True, join_leave=True, force_push_join_leave=True,
                  history=History(100, timedelta(days=1)), force_recovery=True)  # fmt: skip
rt = Realtime(tokens=tokens, namespaces={"chat": rooms})
app = FastAPI()
app.mount("/connection", rt.asgi())
app.mount("/npm", StaticFiles(directory="node_modules/centrifuge/dist", check_dir=False))


@dataclass
class Line:
    text: str


@rt.on_subscribe("chat:*")
def subscribe(client: Client, channel: str) -> None: ...  # whoever has a token may come; raise Denied for who may not


@rt.on_publish("chat:*")
def say(client: Client, channel: str, line: Line) -> Line:
    return Line(line.text.strip()[:500])


@app.get("/token")  # here an application checks a password or a session, and does not believe whoever asks
def token(name: str) -> PlainTextResponse:
    return PlainTextResponse(tokens.make(name, ttl=3600))


@app.get("/")
def page() -> HTMLResponse:
    return HTMLResponse("""<!doctype html><title>hubbub</title><script src="/npm/centrifuge.js"></script>
<form><input name="text" placeholder="Say something" autofocus></form><p></p><ul></ul><script>
const show = (text) => document.querySelector("ul").appendChild(document.createElement("li")).append(text);
const getToken = () => fetch("/token" + (location.search || "?name=somebody")).then((reply) => reply.text());
const centrifuge = new Centrifuge(location.origin.replace(/^http/, "ws") + "/connection/websocket", { getToken });
const room = centrifuge.newSubscription("chat:lobby", { since: { offset: 0, epoch: "" } });
const here = async () => document.querySelector("p").innerText = "Here: " +
  Object.values((await room.presence()).clients).map((one) => one.user).sort().join(", ");
room.on("publication", ({ data, info }) => show(info.user + ": " + data.text));
room.on("subscribed", here).on("join", here).on("leave", here).subscribe();
document.forms[0].onsubmit = ({ target }) => (room.publish({ text: target.text.value }), target.reset(), false);
centrifuge.connect();</script>""")
