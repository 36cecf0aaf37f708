"""What a program may write, and what types it gets: nothing here is a mistake to mypy or pyright."""

from __future__ import annotations

from typing import Any, NamedTuple, assert_type

import hubbub


class User(NamedTuple):
    name: str


hub = hubbub.Hub()
users = hubbub.Hub[User](overflow="drop-oldest")
some: hubbub.Hub[User | None] = hubbub.Hub(overflow=hubbub.Overflow.LATEST)


class Chat(hubbub.Handler):
    async def handshake(self, request: hubbub.Request) -> str | None:
        assert_type(request.path, str)
        return request.subprotocols[0] if request.subprotocols else None

    def message(self, data: str) -> None:
        hub.join("x", self.socket)
        hub.join(("room", 3), self.socket, {"name": "Ann"})
        users.join("x", self.socket, User("Ann"))
        some.join("x", self.socket)
        some.join("x", self.socket, User("Ann"))
        hub.broadcast("x", data, exclude=self.socket)
        hub.broadcast("x", data, exclude=[self.socket])
        for socket, user in users.members("x"):
            assert_type(socket, hubbub.Socket)
            assert_type(user, User)
        for member in some.members("x"):
            assert_type(member.socket, hubbub.Socket)
            assert_type(member.meta, User | None)
        for _, meta in hub.members("x"):
            assert_type(meta, Any)

    def closed(self, reason: hubbub.Closed) -> None:
        assert_type(reason.cause, hubbub.Cause)


assert_type(hub, hubbub.Hub[Any])
assert_type(hubbub.__version__, str)
assert_type(hubbub.realtime.Namespace().force_positioning, bool)


async def endpoint(scope: dict[str, Any]) -> None:
    users.join("x", hubbub.asgi.socket(scope), User("Ann"))


def serve() -> None:
    hubbub.run(Chat, hub=users, loop="uvloop")
