"""The server that tests of signals and of a full descriptor table run: PORT-OR-PATH LOOP WORKERS DESCRIPTORS."""

from __future__ import annotations

import os
import resource
import sys

import hubbub


class Program(hubbub.Handler):
    """Echoes; `flood` is answered with more than any socket takes at once, `pid` with the process."""

    def message(self, data: str | bytes) -> None:
        if data == "flood":
            for number in range(200):
                self.write(f"{number}:" + "x" * 100_000)
        elif data == "pid":
            self.write(str(os.getpid()))
        else:
            self.write(data)


if __name__ == "__main__":
    where, loop, workers, descriptors = sys.argv[1:]
    if int(descriptors):
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (int(descriptors) // 2, int(descriptors))
        )  # it takes all that it may
    limits = hubbub.Limits(max_backlog=64 * 1024 * 1024, max_connections=10_000, close_timeout=1)
    several = int(workers) > 1
    hubbub.run(
        Program,
        port=int(where),
        loop=loop,
        workers=int(workers),
        limits=limits,
        started=None if several else lambda server: print(server.port, flush=True),
    )
