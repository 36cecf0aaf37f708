"""`python -m hubbub.testing.brokers memory:` makes every check over one broker, and prints a table."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from importlib import import_module

from hubbub.errors import Misuse
from hubbub.testing.brokers import CHECKS, Bench, bench_for, judge

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns: 0 if no check failed, else 1."""
    parser = argparse.ArgumentParser(prog="python -m hubbub.testing.brokers", description="Judge a broker.")
    parser.add_argument("url", nargs="?", default="memory:", help="of the broker")
    parser.add_argument("--bench", metavar="MODULE:CLASS", help="a Bench of your own, instead of a URL")
    parser.add_argument("-k", metavar="WORD", default="", help="only checks with this in their names")
    parser.add_argument("--largest", type=int, default=Bench.largest, metavar="BYTES", help="that a body may have")
    given = parser.parse_args(arguments)

    def bench() -> Bench:
        if given.bench is None:
            made = bench_for(given.url)
            made.largest = given.largest
            return made
        module, _, name = given.bench.partition(":")
        kind: type[Bench] = getattr(import_module(module), name)
        return kind()

    try:
        bench().broker()
    except Misuse as error:
        parser.error(str(error))
    counts: Counter[str] = Counter()
    for check in CHECKS:
        if given.k not in str(check):
            continue
        outcome = judge(check, bench())
        counts[outcome.word] += 1
        line = f"{outcome.word}  {outcome.seconds:6.2f} s  {check}"
        if outcome.word == "SKIP":
            line = f"{line:<60}  {outcome.reason}"
        elif outcome.word == "FAIL":
            line += f"\n{outcome.reason.removeprefix(str(check)).lstrip(chr(10))}"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    sys.stdout.write(f"{counts['PASS']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped\n")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
