"""Rooms beside Django: its views answer HTTP and broadcast, hubbub's channels reach every WebSocket of the room.

Run it: uvicorn examples.django_chat:application --ws hubbub.asgi:WebSocketProtocol
"""

from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

import hubbub
import hubbub.asgi

# In a project of your own these stand in settings.py.
if not settings.configured:
    settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="an example has no secrets", ALLOWED_HOSTS=["*"])

hub = hubbub.Hub()


@csrf_exempt
def room(request: HttpRequest, name: str) -> JsonResponse:
    """A plain Django view: it runs in a thread of Django's, and a hub may be called from any."""
    if request.method == "POST":
        return JsonResponse({"handed_to": hub.broadcast(name, request.body.decode())})
    return JsonResponse({"members": hub.count(name)})


urlpatterns = [path("rooms/<str:name>", room)]
django = get_asgi_application()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """HTTP is Django's; a WebSocket at /rooms/NAME joins that room."""
    if scope["type"] != "websocket":
        await django(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    name = scope["path"].removeprefix("/rooms/")
    hub.join(name, hubbub.asgi.socket(scope, send))
    while (message := await receive())["type"] == "websocket.receive":
        hub.broadcast(name, message.get("text") or message["bytes"])
