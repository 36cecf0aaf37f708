"""Parts that need other packages, which an extra brings: where one is not installed, the error names the extra."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["brought_by"]


@contextmanager
def brought_by(extra: str, what: str) -> Generator[None]:
    """What is imported meanwhile needs what that extra brings.

    Args: what: the part that is imported, as the error calls it.
    Raises: ModuleNotFoundError: a package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "hubbub").partition(".")[0]
        if package == "hubbub":
            raise
        said = f"{what} needs the package {package}: pip install 'hubbub[{extra}]'"
        raise ModuleNotFoundError(said, name=package) from None
