"""Who is let in on the page on authentication, and beside Django, is who has logged in."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request

from support.asgi_servers import uvicorn_serving
from support.client import RawClient
from support.pages import Page
from support.processes import running
from support.serving import serving
from support.session_client import Peer

HOME = "Origin: https://chat.example.com\r\n"


@pytest.fixture
async def page(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Page]:
    monkeypatch.setenv("SECRET_KEY", "a secret of 32 random bytes or more")
    monkeypatch.delenv("HUBBUB_BROKER", raising=False)
    page = Page("how-to/authentication.md")
    await page.run(len(page.left))
    yield page
    await page.rt.close()


async def test_a_cookie_and_the_origin(page: Page) -> None:
    async with serving(page.Chat, hub=page.hub, allowed_origins=["https://chat.example.com"]) as server:
        for headers, status in (
            (f"{HOME}Cookie: session=3f7a\r\n", 101),
            (f"{HOME}Cookie: session=4444\r\n", 401),
            (HOME, 401),
            ("Cookie: session=3f7a\r\n", 101),  # no browser sends none
            ("Origin: https://evil.example\r\nCookie: session=3f7a\r\n", 403),
        ):
            client = await RawClient.connect(server.port, headers=headers)
            assert client.status == status
        ann = await RawClient.connect(server.port, headers=f"{HOME}Cookie: a=b; session=3f7a\r\n")
        ann.text("hi")
        assert await ann.read() == "ann: hi"


async def test_a_key_in_a_header(page: Page) -> None:
    async with serving(page.Feed) as server:
        for key, status in ("Bearer k-1234", 101), ("Bearer k-12345", 401), ("Basic k-1234", 401):
            client = await RawClient.connect(server.port, headers=f"Authorization: {key}\r\n")
            assert client.status == status
        assert client.headers["www-authenticate"] == "Bearer"


async def test_the_first_message(page: Page) -> None:
    page.names["WAIT"] = 0.1
    async with serving(page.Widget) as server:
        eve, ann, nobody = [await RawClient.connect(server.port) for _ in range(3)]
        eve.text("let me in")
        ann.text("3f7a")
        ann.text("hi")
        assert await ann.read() == "ann: hi"
        for client in eve, nobody:
            assert await client.read_close() == (4401, "log in first")
        await asyncio.sleep(0.1)
        ann.text("still here")
        assert await ann.read() == "ann: still here"


async def test_fastapi_has_one_login_for_http_websockets_and_sessions(page: Page) -> None:
    @page.app.get("/login")
    def login(request: Request, name: str) -> None:
        request.session["user"] = name

    frameworks = Page("how-to/frameworks.md")
    frameworks.left = [text for text in frameworks.left if "class Protocol" in text]
    await frameworks.run(1)
    async with (
        uvicorn_serving(page.app, ws=frameworks.Protocol) as (port, _),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        assert (await http.get("/token")).status_code == 401
        logged_in = await http.get("/login", params={"name": "ann"})
        cookie = logged_in.headers["set-cookie"].partition(";")[0]  # for https alone, so httpx does not send it
        assert "secure" in logged_in.headers["set-cookie"]
        for headers, status in (
            (f"{HOME}Cookie: {cookie}\r\n", 101),
            (f"Origin: https://evil.example\r\nCookie: {cookie}\r\n", 403),
            (HOME, 401),
        ):
            client = await RawClient.connect(port, "/rooms/lobby", headers)
            assert client.status == status, headers
        ann = await RawClient.connect(port, "/rooms/lobby", f"{HOME}Cookie: {cookie}\r\n")
        ann.text("hi")
        assert await ann.read() == "ann: hi"
        session = Peer(f"ws://127.0.0.1:{port}/connection/websocket")
        await session.connect(token=(await http.get("/token", headers={"Cookie": cookie})).json())
        assert "subscribe" in await session.subscribe("chat:lobby")
        assert (await http.post("/logout", headers={"Cookie": cookie})).status_code == 200
        assert await session.ended() == 3503
        page.hub.join(("user", "ann"), [*page.hub.members("lobby")][-1].socket)
        await page.log_out("ann")
        assert await ann.read_close() == (4401, "logged out")


SETTINGS = """
SECRET_KEY = "a secret of 32 random bytes or more"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware",
              "django.contrib.auth.middleware.AuthenticationMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
MIGRATION_MODULES = dict.fromkeys(["auth", "contenttypes", "sessions"])  # tables as they are now, for speed
ROOT_URLCONF = "shop.urls"
"""
URLS = """
from django.contrib.auth import alogin
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.urls import path

async def log_in(request):
    await alogin(request, await User.objects.aget(username="ann"), "django.contrib.auth.backends.ModelBackend")
    return HttpResponse()

def tell(request, way, number):
    from shop import asgi
    if way == "task":
        return HttpResponse(asgi.announce.delay(f"order-{number}", "shipped").get())
    return getattr(asgi, way)(request, number)

urlpatterns = [path("login", log_in), path("<str:way>/<int:number>", tell)]
"""
SESSIONS = """
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
before = application
async def application(scope, receive, send):
    await (sessions if scope["path"].startswith("/connection") else before)(scope, receive, send)
app.conf.task_always_eager = True
"""
USER = """
import django; django.setup()
from django.core.management import call_command
call_command("migrate", run_syncdb=True, verbosity=0)
from django.contrib.auth.models import User
User.objects.create_user("ann")
"""


async def test_django_has_one_login_for_views_websockets_and_sessions(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "settings.py").write_text(SETTINGS)
    (shop / "urls.py").write_text(URLS)
    (shop / "asgi.py").write_text("\n".join(Page("how-to/django.md").left) + SESSIONS)
    environment = {
        "DJANGO_SETTINGS_MODULE": "shop.settings", "HUBBUB_BROKER": "local:", "XDG_RUNTIME_DIR": str(tmp_path),
        "PYTHONPATH": str(tmp_path),
    }  # fmt: skip
    async with running([sys.executable, "-c", USER], cwd=tmp_path, env=environment) as made:
        assert await made.wait() == 0
    command = [sys.executable, "-m", "hubbub", "serve", "shop.asgi:application", "--port", "0"]
    async with running(command, cwd=tmp_path, env=environment, stderr=asyncio.subprocess.STDOUT) as server:
        assert server.stdout is not None
        while b"listening on" not in (line := await asyncio.wait_for(server.stdout.readline(), 20)):
            assert line, "it has ended"
        port = int(line.decode().partition("http://127.0.0.1:")[2].split()[0].rstrip("/"))
        await shopping(port)
        server.terminate()
        await server.communicate()


async def shopping(port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        cookie = (await http.get("/login")).headers["set-cookie"].partition(";")[0]
        home = f"Origin: https://shop.example.com\r\nCookie: {cookie}\r\n"
        for headers in "Origin: https://shop.example.com\r\n", f"Origin: https://evil.example\r\nCookie: {cookie}\r\n":
            assert (await RawClient.connect(port, "/rooms/order-7", headers)).status == 403
        ann = await RawClient.connect(port, "/rooms/order-7", home)
        ann.text("hi")
        assert await ann.read() == "ann: hi"
        for way, status, said in ("pay", 204, "paid"), ("pay_elsewhere", 204, "paid"), ("task", 200, "shipped"):
            assert (await http.get(f"/{way}/7")).status_code == status
            assert await ann.read() == said
        while RawClient.alive:  # for a quick stop
            RawClient.alive.pop().kill()
    session = Peer(f"ws://127.0.0.1:{port}/connection/websocket")
    await session.open(additional_headers={"Cookie": cookie})
    assert "connect" in await session.ask(connect={})
    assert "subscribe" in await session.subscribe("order:7")
    await session.close()
    nobody = await Peer(session.url).open()
    assert (await nobody.ask(connect={}))["error"]["code"] == 103
    await nobody.close()
