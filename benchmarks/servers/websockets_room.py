"""Rooms on the websockets library, at its best: `broadcast`, on uvloop."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections import defaultdict

import stall
import tls
import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

rooms: defaultdict[str, set[ServerConnection]] = defaultdict(set)


async def serve_one(connection: ServerConnection) -> None:
    path = connection.request.path
    if path == "/echo":
        async for data in connection:
            await connection.send(data)
        return
    members = rooms[path]
    members.add(connection)
    try:
        async for data in connection:
            broadcast(members, data)
    finally:
        members.discard(connection)


async def main() -> None:
    logging.disable()  # it would complain of the load's abrupt end
    stall.watch()
    deflate = "deflate" if os.environ.get("DEFLATE") else None
    settings = {"compression": deflate, "ping_interval": None, "backlog": 4096, "ssl": tls.context()}
    async with serve(serve_one, "127.0.0.1", int(sys.argv[1]), **settings):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(main())
