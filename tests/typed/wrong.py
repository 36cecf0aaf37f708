"""Mistakes that programs make: `python tools/mistakes.py` sees to it that mypy and pyright find each of them."""

from __future__ import annotations

import hubbub

hub = hubbub.Hub()
named = hubbub.Hub[str]()


class Chat(hubbub.Handler):
    def message(self, data: str) -> None:
        hub.join("x", "not a socket")  # wrong
        hub.join("x", self)  # wrong: the handler, and not its socket
        hub.join("x", self.sockets)  # wrong
        hub.leave("x", self)  # wrong
        hub.leave_all(None)  # wrong
        hub.is_member(self.socket)  # wrong
        hub.broadcast("x", {"say": data})  # wrong
        hub.broadcast("x", data, exclude=self)  # wrong
        hub.broadcast("x", data, exclude=["me"])  # wrong
        named.join("x", self.socket)  # wrong: without its meta
        named.join("x", self.socket, 1)  # wrong
        for socket, meta in named.members("x"):
            socket.wrte(data)  # wrong
            socket.write(1)  # wrong
            meta.nonsense()  # wrong
        for member in hub.members("x"):
            member.socket.wrte(data)  # wrong
            member.index_in_shard  # wrong
        self.socket.wrte(data)  # wrong
        self.socket.subprotocol.upper()  # wrong: it may be None
        self.wrte(data)  # wrong
        self.close("bye")  # wrong

    def closed(self, reason: hubbub.Closed) -> None:
        reason.why  # wrong
        if reason.cause is hubbub.Cause.GONE:  # wrong
            pass

    def handshake(self, request: hubbub.Request) -> int:  # wrong: it chooses a subprotocol
        request.header  # wrong
        raise hubbub.Reject(403)  # wrong


hubbub.Hub(overflow="drop-olddest")  # wrong
hubbub.Hub(overflow=True)  # wrong
hubbub.Hub(limits={"max_backlog": 1})  # wrong
hubbub.Hub(writer=1)  # wrong
hubbub.Limits(max_backlogs=1)  # wrong
hubbub.run(Chat(), hub=hub)  # wrong: one handler for all
hubbub.run(Chat, hub=hubbub.Hub)  # wrong
hubbub.run(Chat, loop="twisted")  # wrong
hubbub.run(Chat, compression=True)  # wrong
hubbub.asgi.WebSocketProtocols  # wrong
hubbub.realtime.Namespace(force_recovery_mode="all")  # wrong
hubbub.realtime.Namespace(allowed_delta_types=["xdelta"])  # wrong
hubbub.nonsense  # wrong
