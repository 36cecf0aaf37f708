"""Which twin works: the compiled one, or the pure Python one, and that it is never chosen in silence.

`HUBBUB_NATIVE=0` chooses pure Python, `HUBBUB_NATIVE=1` refuses to start without the compiled part; left out, what is
there is used. `hubbub doctor` and a log line at the start say which. The C sources here know nothing of Python, the
`.pyx` files bind them, and their `.pyi` files say what each call does, its units, and whether the GIL is held.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from functools import cache
from types import ModuleType

from hubbub.errors import Misuse

__all__ = ["active", "choose", "compiled", "describe", "parts"]

PARTS = {"_codec": "frames", "_fanout": "fan-out", "_reactor": "sockets"}
ELSEWHERE = () if sys.platform == "win32" else ("_codec",)  # nothing for Windows; the others are made of Linux's epoll
COMPILED = "compiled"
LINUX_ALONE = "pure Python: it is compiled on Linux alone"
MODULES = tuple(PARTS) if sys.platform == "linux" else ELSEWHERE


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
    return choose(os.environ, not _missing())


def compiled(name: str) -> ModuleType | None:
    """That compiled module, for the one who chooses between it and its twin at import; None: take the twin.

    It never raises: a wish that cannot be met is refused by `active`, when something starts.
    """
    if name not in MODULES or os.environ.get("HUBBUB_NATIVE", "") not in ("", "1") or _missing():
        return None
    return importlib.import_module(f"hubbub.native.{name}")


def describe() -> str:
    """One phrase for the log and for `hubbub doctor`. Raises: Misuse: see `choose`."""
    if not active():
        return f"pure Python: {_missing() or 'HUBBUB_NATIVE=0 says so'}"
    pure = [part for part, what in parts().items() if what != COMPILED]
    return f"compiled, but for {' and '.join(pure)}" if pure else COMPILED


def parts() -> dict[str, str]:
    """The same for each part by itself, of which not every system has all. Raises: Misuse: see `choose`."""
    if not active():
        return dict.fromkeys(PARTS.values(), describe())
    here = {module: COMPILED if module in MODULES else LINUX_ALONE for module in PARTS}
    return {PARTS[module]: what for module, what in here.items()}


@cache
def _missing() -> str:
    """Why there is no compiled part; empty if it is there and complete."""
    importlib.import_module("hubbub.wire")  # which the compiled modules look into: it has to begin before they do
    if not MODULES:
        return "nothing is compiled for Windows"
    for name in MODULES:
        try:
            importlib.import_module(f"hubbub.native.{name}")
        except ImportError as error:
            if isinstance(error, ModuleNotFoundError):
                return "the compiled part was not built when this was installed"
            return f"the compiled part does not load: {error}"
    return ""
