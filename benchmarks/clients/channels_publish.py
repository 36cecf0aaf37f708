"""Publishing by a Redis layer of Django Channels: messages per second to a group with one member, as JSON.

    channels_publish.py PORT core|pubsub SECONDS WARM

Tasks of one event loop call `group_send`, so many at once that more bring nothing. The core layer keeps 300 messages
of the member's, which reads none; the pub/sub layer keeps nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

TASKS = 64


async def main(port: int, kind: str, seconds: float, warm: float) -> dict[str, float]:
    hosts = [f"redis://127.0.0.1:{port}"]
    layer = RedisChannelLayer(hosts, capacity=300) if kind == "core" else RedisPubSubChannelLayer(hosts)
    await layer.group_add("room", await layer.new_channel())
    message, sent, over = {"type": "say", "data": b"x" * 64}, 0, False

    async def send() -> None:
        nonlocal sent
        while not over:
            await layer.group_send("room", message)
            sent += 1

    tasks = [asyncio.create_task(send()) for _ in range(TASKS)]
    await asyncio.sleep(warm)
    before, cpu, began = sent, time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    done, spent, wall = sent - before, time.process_time() - cpu, time.monotonic() - began
    over = True
    await asyncio.gather(*tasks)
    return {"publications_per_s": done / wall, "cpu_us": spent * 1e6 / done}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))))
