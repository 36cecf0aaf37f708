"""What a check is, and how one is made, judged and told of."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from hubbub.testing.brokers.bench import Bench, Broken, Lacking

__all__ = ["Check", "Group", "Outcome", "judge"]

LIMIT = 60.0  # seconds for one check


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, and the function that finds out whether a broker keeps it."""

    group: str
    name: str
    promise: str
    needs: tuple[str, ...]
    """Methods of a bench, or traits."""
    function: Callable[[Bench], Awaitable[None]]

    def __str__(self) -> str:
        return f"{self.group}.{self.name}"

    async def __call__(self, bench: Bench) -> None:
        """Make it.

        Raises:
            Broken: the promise is not kept.
            Lacking: the bench cannot do what is needed.
        """
        for need in self.needs:
            if reason := bench.lacks(need):
                raise Lacking(reason)
        await bench.open()
        try:
            async with asyncio.timeout(LIMIT):
                await self.function(bench)
            bench.look_back()
        except Lacking:
            raise
        except TimeoutError as error:
            raise self._broken(f"something did not end within {LIMIT:g} s") from error
        except Broken as error:
            raise self._broken(str(error)) from None
        except Exception as error:
            raise self._broken(f"{type(error).__name__} was raised: {error}") from error
        finally:
            await bench.end()

    def run(self, bench: Bench) -> None:
        """Make it on an event loop of its own. Raises: as above."""
        asyncio.run(self(bench))

    def _broken(self, came: str) -> Broken:
        return Broken(f"{self}\n  promised: {self.promise}\n  came:     {came}")


class Group:
    """The checks of one file, in their order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.checks: list[Check] = []

    def check(self, *needs: str) -> Callable[[Callable[[Bench], Awaitable[None]]], Check]:
        """Makes a check of a function, whose docstring is the promise."""

        def make(function: Callable[[Bench], Awaitable[None]]) -> Check:
            promise = " ".join((inspect.getdoc(function) or "").split())
            check = Check(self.name, function.__name__, promise, needs, function)
            self.checks.append(check)
            return check

        return make


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one check."""

    check: Check
    word: Literal["PASS", "FAIL", "SKIP"]
    reason: str
    seconds: float


def judge(check: Check, bench: Bench) -> Outcome:
    """Make a check, and tell what became of it."""
    began = time.monotonic()
    try:
        check.run(bench)
    except Lacking as lacking:
        return Outcome(check, "SKIP", str(lacking), time.monotonic() - began)
    except Exception as error:
        return Outcome(check, "FAIL", str(error), time.monotonic() - began)
    return Outcome(check, "PASS", "", time.monotonic() - began)
