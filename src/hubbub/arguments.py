"""What a caller passed, judged before anything is done with it: a wrong one is a Misuse that says what to pass."""

from __future__ import annotations

from operator import index
from typing import Any, TypeVar

from hubbub.errors import Misuse

__all__ = ["instance", "moment", "shown", "text", "whole"]

Kind = TypeVar("Kind")


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """That whole number; True and False are none. Raises: Misuse: something else, or beyond the bounds."""
    try:
        number = index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least or (most is not None and number > most):
        bounds = f"from {least} on" if most is None else f"from {least} to {most}"
        raise Misuse(f"{name} is a whole number {bounds}, not {shown(value)}")
    return number


def instance(name: str, value: Any, kind: type[Kind], advice: str) -> Kind | None:
    """That object, or None. Raises: Misuse: one of another kind."""
    if value is not None and not isinstance(value, kind):
        raise Misuse(f"{name} is {advice}, not {shown(value)}")
    return value


def text(name: str, value: Any) -> str:
    """That text. Raises: Misuse: something else."""
    if not isinstance(value, str):
        raise Misuse(f"{name} is a text, not {shown(value)}")
    return value


def moment(name: str, value: Any) -> float | None:
    """Those seconds since 1970, or None. Raises: Misuse: something else."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise Misuse(f"{name} is in seconds since 1970, as of time.time() + 600, or None, not {shown(value)}")
    return value


def shown(value: Any) -> str:
    """The value as an error tells it: no longer than a line."""
    if isinstance(value, type):
        return f"the class {value.__name__} itself"
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:100]}..."
