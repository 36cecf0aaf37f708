"""A chat with names, who is here, and what was said before: sessions of the Centrifuge protocol inside FastAPI.

First: npm install centrifuge; export CHAT_SECRET=$(openssl rand -hex 32) HUBBUB_BROKER=sqlite:chat.db
Run: uvicorn examples.realtime_chat:app --ws hubbub.asgi:WebSocketProtocol, and open http://127.0.0.1:8000/?name=Ann
"""

from dataclasses import dataclass
from os import environ

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from hubbub.realtime import Client, History, Namespace, Realtime, Tokens

tokens = Tokens(hmac=environ["CHAT_SECRET"])
rooms = Namespace(presence=True, allow_presence_for_subscriber=True, join_leave=True, force_push_join_leave=True,
                  history=History(100, ttl=86400), force_recovery=True, allow_history_for_subscriber=True)  # fmt: skip
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
    return HTMLResponse(r"""<!doctype html><title>hubbub</title><script src="/npm/centrifuge.js"></script>
<form><input name="text" placeholder="Say something" autofocus></form><p></p><pre></pre><script>
const getToken = () => fetch("/token" + (location.search || "?name=somebody")).then((reply) => reply.text());
const centrifuge = new Centrifuge(location.origin.replace(/^http/, "ws") + "/connection/websocket", { getToken });
const room = centrifuge.newSubscription("chat:lobby");
let lines = {};
const show = ({ offset, info, data }) => document.querySelector("pre").innerText = Object.values(
  Object.assign(lines, { [offset]: (info ? info.user : "server") + ": " + data.text })).join("\n");
const here = async () => document.querySelector("p").innerText = "Here: " +
  Object.values((await room.presence()).clients).map((one) => one.user).sort().join(", ");
const old = async () => (lines = {}, (await room.history({ limit: 100 })).publications.forEach(show));
room.on("subscribed", ({ recovered }) => recovered || old()).on("publication", show);
room.on("subscribed", here).on("join", here).on("leave", here).subscribe();
document.forms[0].onsubmit = ({ target }) => (room.publish({ text: target.text.value }), target.reset(), false);
centrifuge.connect();</script>""")
