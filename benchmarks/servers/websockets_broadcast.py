"""The same room on the websockets library, at its best: `broadcast`, without compression, on uvloop."""

from __future__ import annotations

import logging
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

members: set[ServerConnection] = set()


async def room(connection: ServerConnection) -> None:
    members.add(connection)
    try:
        async for data in connection:
            broadcast(members, data)
    finally:
        members.discard(connection)


async def main() -> None:
    logging.disable()  # it would complain of the load's abrupt end
    port = int(sys.argv[1])
    async with serve(room, "127.0.0.1", port, compression=None, ping_interval=None, backlog=4096) as server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
