"""Whether a process is one of several."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hubbub.hub.several import sharing, workers


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["/usr/bin/uvicorn", "chat:app", "--workers", "4"], {}, 4),
        (["/site-packages/uvicorn/__main__.py", "chat:app", "--workers=3"], {}, 3),
        (["uvicorn", "chat:app"], {"WEB_CONCURRENCY": "2"}, 2),
        (["uvicorn", "chat:app", "--workers", "1"], {"WEB_CONCURRENCY": "2"}, 1),
        (["gunicorn", "-w", "5", "chat:app"], {}, 5),
        (["gunicorn", "chat:app"], {}, 1),
        (["hypercorn", "chat:app", "-w", "2"], {}, 2),
        (["uvicorn", "chat:app", "--workers"], {}, 1),
        (["uvicorn", "chat:app", "--workers", "many"], {}, 1),
        (["hubbub", "serve", "chat:app", "--workers", "2"], {}, 2),
        (["/site-packages/hubbub/__main__.py", "serve", "chat:app"], {"HUBBUB_WORKERS": "2"}, 2),
        (["program.py", "--workers", "4"], {}, 1),
        (["program.py"], {"HUBBUB_WORKERS_NOW": "4"}, 4),
        ([], {}, 1),
    ],
)
def test_what_the_command_line_tells(arguments: list[str], environment: dict[str, str], expected: int) -> None:
    assert workers(arguments, environment) == expected


PROGRAM = """
import asyncio, logging, sys
logging.basicConfig(format="%(message)s")
import hubbub
from hubbub.realtime import Realtime
from support.client import RawClient

async def main(broker):
    if broker.startswith("sessions of "):
        hub = Realtime(broker=broker.removeprefix("sessions of ")).hub
    else:
        hub = hubbub.Hub(broker=broker)
    class Room(hubbub.Handler):
        def opened(self):
            hub.join("a", self.socket)
            hub.join("b", self.socket)
    async with hubbub.serve(Room, hub=hub, port=0) as server:
        for _ in range(2):
            (await RawClient.connect(server.port)).kill()
        await asyncio.sleep(0.1)

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("several", "broker", "lines"),
    [
        ("3", "", 1),
        ("1", "", 0),
        ("3", "memory:", 1),
        ("3", "local:", 0),
        ("3", "sessions of memory:", 1),
        ("3", "sessions of local:", 0),
    ],
)
def test_a_hub_that_is_a_part_only_says_so_once(several: str, broker: str, lines: int) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, broker],
        env={"HUBBUB_WORKERS_NOW": several, "PYTHONPATH": "tests"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert run.stderr.count("one of 3") == lines, run.stderr


def test_looking_for_others_leaves_no_descriptor_open() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    sharing()
    assert sorted(os.listdir("/proc/self/fd")) == before
