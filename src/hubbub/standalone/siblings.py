"""The workers of one server tell each other their numbers, so that whichever Prometheus asks answers for all.

Each listens on a Unix socket in a folder that the server has made, under the lowest number that is free, and tells who
connects its samples as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hubbub.api import Api
from hubbub.api.counts import Counts
from hubbub.api.metrics import Sample, exposition, samples
from hubbub.realtime import Realtime
from hubbub.system import lock_file, needs_unix

__all__ = ["Siblings"]

TIMEOUT = 1.0  # seconds for all others to answer
MOST = 256  # workers
ALONE = "one serves, or several machines do with redis:// or nats://"


class Siblings:
    """This process among the others.

    Args:
        folder: where they meet; "": there are no others.
    """

    def __init__(self, folder: str, rt: Realtime, api: Api | None) -> None:
        self._folder = Path(folder) if folder else None
        self._rt = rt
        self._counts = Counts(()) if api is None else api.counts
        self._number = 0
        self._held: Any = None  # the lock on the number
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Take a number, and listen."""
        if self._folder is None:
            return
        needs_unix("several workers", ALONE)
        for number in range(MOST):
            self._held = lock_file(self._folder / f"{number}.lock")
            if self._held is not None:
                self._number = number
                break
        path = self._path(self._number)
        path.unlink(missing_ok=True)  # of a worker that was killed
        self._server = await asyncio.start_unix_server(self._tell, path)

    async def stop(self) -> None:
        """Let the number go."""
        if self._server is not None:
            self._server.close()
            self._path(self._number).unlink(missing_ok=True)
            os.close(self._held)
            self._server = None

    async def page(self) -> bytes:
        """What Prometheus reads. A sibling that does not answer in time is left out."""
        own = list(samples(self._rt, self._counts))
        if self._folder is None:
            return exposition([({}, own)])
        others = [int(path.stem) for path in self._folder.glob("*.metrics") if path.stem != str(self._number)]
        told = await asyncio.gather(*map(self._ask, sorted(others)))
        everybody = [(self._number, own), *((number, found) for number, found in told if found)]
        return exposition([(_label(number), found) for number, found in sorted(everybody, key=lambda one: one[0])])

    async def _tell(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(json.dumps(list(samples(self._rt, self._counts))).encode())
            await writer.drain()
            writer.close()

    async def _ask(self, number: int) -> tuple[int, Sequence[Sample]]:
        needs_unix("several workers", ALONE)
        try:
            async with asyncio.timeout(TIMEOUT):
                reader, writer = await asyncio.open_unix_connection(self._path(number))
                try:
                    found: list[Sample] = json.loads(await reader.read())
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError):
            return number, ()
        return number, found

    def _path(self, number: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{number}.metrics"


def _label(number: int) -> Mapping[str, str]:
    return {"worker": str(number)}
