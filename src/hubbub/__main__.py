"""`hubbub` and `python -m hubbub`: the command line, where its extra is installed."""

from __future__ import annotations

import sys

from hubbub.errors import HubbubError

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        from hubbub.cli import app
        from hubbub.cli.options import pass_over_kubernetes
    except ImportError as error:
        if error.name is None or error.name.startswith("hubbub"):
            raise
        sys.exit(f"hubbub: the command line needs the package {error.name!r}: pip install 'hubbub[serve]'")
    pass_over_kubernetes()
    try:
        app()
    except HubbubError as error:
        sys.exit(f"hubbub: {error}")
    except OSError as error:
        sys.exit(f"hubbub: {error if error.filename is not None else error.strerror or error}")


if __name__ == "__main__":
    main()
