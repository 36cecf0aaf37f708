"""`hubbub relay`: the process that joins the others of a machine, for those who want to run it as a service."""

from __future__ import annotations

from typing import Annotated

import typer

from hubbub.brokers import relay as process
from hubbub.brokers.places import place_beside

__all__ = ["relay"]


def relay(
    socket: Annotated[
        str,
        typer.Argument(
            envvar="HUBBUB_SOCKET",
            help="Path of its socket, or its name, that of `local:NAME`. Left out, that of `local:` or `sqlite:FILE`.",
        ),
    ] = "",
    sqlite: Annotated[
        str,
        typer.Option(
            envvar="HUBBUB_SQLITE", metavar="FILE", help="Keep histories in that file, as `sqlite:FILE` does."
        ),
    ] = "",
    synchronous: Annotated[
        str, typer.Option(envvar="HUBBUB_SYNCHRONOUS", help="Of SQLite: full, normal or off.")
    ] = "normal",
    linger: Annotated[
        float,
        typer.Option(
            envvar="HUBBUB_LINGER",
            metavar="SECONDS",
            help="End when there has been no process for so long; inf: never.",
        ),
    ] = float("inf"),
) -> None:
    """Join the processes of this machine whose hubs have `local:` as their broker.

    They start it themselves when there is none. As a service of its own it need not be started by any of them. Where
    another one is there already, it waits until that ends, and takes over. To systemd it says when it is ready.
    """
    socket = socket or (str(place_beside(sqlite)) if sqlite else "default")
    arguments = [socket, "--synchronous", synchronous, "--linger", str(linger), "--service"]
    process.main([*arguments, "--sqlite", sqlite] if sqlite else arguments)
