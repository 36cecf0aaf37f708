"""Coverage-guided fuzzing of what clients say to a server of sessions, in both dialects.

    python tests/fuzz/commands.py [SECONDS]        `make fuzz` runs it; what it finds is in reports/fuzz

An input is a conversation, which a real server is told over a socket: it has to answer as the protocol says.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))
with atheris.instrument_imports(include=["hubbub.realtime"]):
    from support.commands import Conversing, conversation

ROOT = Path(__file__).parents[2]


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    corpus, found = ROOT / ".cache" / "fuzz" / "commands", ROOT / "reports" / "fuzz"
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(3501)
    for number in range(200):
        (corpus / f"seed-{number}").write_bytes(chance.randbytes(chance.randrange(20, 300)))
    runner = asyncio.Runner()
    begun = Conversing.begun()
    conversing = runner.run(begun.__aenter__())

    def one(data: bytes) -> None:
        runner.run(conversing.say(*conversation(data)))

    flags = [f"-max_total_time={seconds}", "-max_len=600", f"-artifact_prefix={found}/"]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
