"""Sixty-four tasks publish through a real-time server's own interface, in process, and wait for each publication.

publishing.py BROKER SECONDS: prints how many were acknowledged per second, and the CPU of this process for each.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from hubbub.realtime import History, Namespace, Realtime

PUBLISHERS, CHANNELS = 64, 64


async def main(broker: str, seconds: float) -> None:
    rt = Realtime(broker=broker, insecure=True, namespaces={"": Namespace(history=History(300, 60))})
    done = 0

    async def publish(number: int) -> None:
        nonlocal done
        channel, data = f"room{number % CHANNELS}", b'{"text":"' + b"x" * 40 + b'"}'
        while True:
            await rt.publish(channel, data)
            done += 1

    tasks = [asyncio.create_task(publish(number)) for number in range(PUBLISHERS)]
    while done < PUBLISHERS:
        await asyncio.sleep(0.01)  # the relay starts
    await asyncio.sleep(0.5)
    before, clock, cpu = done, time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    while done == before:
        await asyncio.sleep(0.01)
    count, took, spent = done - before, time.monotonic() - clock, time.process_time() - cpu
    for task in tasks:
        task.cancel()
    await rt.close()
    print(json.dumps({"publications_per_s": count / took, "cpu_us": spent / count * 1e6, "cpu": spent / took}))


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(sys.argv[1], float(sys.argv[2])))
