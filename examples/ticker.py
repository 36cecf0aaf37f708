"""A server inside a program's own event loop, fed by a plain thread. Run it: python examples/ticker.py"""

import asyncio
import itertools
import threading

import hubbub

hub = hubbub.Hub(overflow="latest")  # a slow reader gets the newest tick, not a queue of old ones


class Subscriber(hubbub.Handler):
    def opened(self) -> None:
        hub.join("ticks", self.socket)


def tick(stop: threading.Event) -> None:
    for number in itertools.count():
        if stop.wait(0.1):
            return
        hub.broadcast("ticks", f"tick {number}")


async def main(port: int = 4545) -> None:
    stop = threading.Event()
    async with hubbub.serve(Subscriber, hub=hub, port=port) as server:
        print(f"ws://127.0.0.1:{server.port}")
        threading.Thread(target=tick, args=(stop,), daemon=True).start()
        try:
            await asyncio.Event().wait()
        finally:
            stop.set()


if __name__ == "__main__":
    asyncio.run(main())
