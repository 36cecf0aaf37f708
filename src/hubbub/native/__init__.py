"""Which twin works: the compiled one, or the pure Python one, and that it is never chosen in silence.

There is no compiled part in this version. `HUBBUB_NATIVE=0` chooses pure Python, `HUBBUB_NATIVE=1` refuses to start
without the compiled part; left out, what is there is used. `hubbub doctor` and a log line at the start say which.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from hubbub.errors import Misuse

__all__ = ["active", "choose", "describe"]


def choose(environment: Mapping[str, str], built: bool) -> bool:
    """Whether the compiled part is used.

    Args:
        built: whether it is there.

    Raises: Misuse: it is demanded and not there, or the variable has another value than 0 and 1.
    """
    wish = environment.get("HUBBUB_NATIVE", "")
    if wish not in ("", "0", "1"):
        raise Misuse(f"HUBBUB_NATIVE is 0 (pure Python) or 1 (compiled, or refuse to start), not {wish!r}")
    if wish == "1" and not built:
        raise Misuse(
            "HUBBUB_NATIVE=1 demands the compiled part, and this installation has none:"
            " unset the variable to run on pure Python"
        )
    return built and wish != "0"


def active() -> bool:
    """Whether the compiled part works here. Called wherever something starts that it would work for.

    Raises: Misuse: see `choose`.
    """
    return choose(os.environ, built=False)


def describe() -> str:
    """One phrase for the log and for `hubbub doctor`. Raises: Misuse: see `choose`."""
    return "compiled" if active() else "pure Python"
